"""An attempt that its executor lost sight of, and that comes back."""

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import sweeper
from sweeper.executors import make
from sweeper.executors.devices import Slot
from sweeper.executors.job import Ended, Job, Judge
from sweeper.executors.local import LocalExecutor
from sweeper.trial import Ending

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LEASE_S = 0.7
FREEZING = '''
"""The first attempt at seed 0 of the first arm stops dead; the test wakes it."""

import os
import signal
import time


def train(config, *, seed, device, report, workdir):
    report(0, train_loss=1.0)
    first = workdir / "pid"
    if config.task.get("freezes") and not seed and not first.exists():
        first.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
        (workdir / "thawed").touch()
    elif first.exists():
        for _ in range(int(10 * config.task.second_s)):  # heard of all the while
            time.sleep(0.1)
            report(0, train_loss=1.0)
    for step in range(1, 4):
        time.sleep(0.1)
        report(step, train_loss=1.0 / step)
    return {"train_loss": config.optim.lr + seed / 1000}
'''


class ForgetfulExecutor(LocalExecutor):
    """Gives an attempt up that it has not heard of for its lease, as one beyond a network does."""

    def __init__(self, slots: int) -> None:
        super().__init__([Slot("cpu")] * slots)
        self._heard: dict[tuple[str, int], tuple[float, Job]] = {}
        self._given_up: set[tuple[str, int]] = set()

    def start(self, job: Job) -> None:
        self._heard[job.trial_id, job.attempt] = time.monotonic(), job
        super().start(job)

    def events(self, judge: Judge) -> list[Ended]:
        def hear(reported: Any) -> bool:
            key = reported.trial_id, reported.attempt
            if key in self._heard:
                self._heard[key] = time.monotonic(), self._heard[key][1]
            return judge(reported)

        ended = super().events(hear)
        for event in ended:
            self._heard.pop((event.job.trial_id, event.job.attempt), None)
        return [*ended, *self._silent()]

    def _silent(self) -> list[Ended]:
        late = [
            job for at, job in self._heard.values()
            if not job.is_check and time.monotonic() - at > LEASE_S
        ]  # fmt: skip
        for job in late:
            del self._heard[job.trial_id, job.attempt]
            self._given_up.add((job.trial_id, job.attempt))
            self._shares.remove(job)
        self._place()
        lost = Ending("lost", error="not heard of for its lease", is_chance=True)
        return [Ended(job, "cpu", lost) for job in late]

    def _released(self, event: Ended) -> Ended:
        if (event.job.trial_id, event.job.attempt) in self._given_up:
            return event  # its share was free long ago
        return super()._released(event)


@pytest.mark.parametrize(
    "second_s, first_status, second_status",
    [(0.0, "superseded", "done"), (3.0, "done", "superseded")],
    ids=["the-second-is-first", "the-first-is-first"],
)
def test_of_two_attempts_one_is_accepted_and_the_other_superseded(
    project: Any,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., None],
    second_s: float,
    first_status: str,
    second_status: str,
) -> None:
    project.write("freezing.py", FREEZING)
    baseline = {"task._target_": "freezing.train", "optim.lr": 0.1, "task.second_s": second_s}
    arms = [{"name": f"rate_{n}", "set": {"optim.lr": 0.2 + n / 10}} for n in range(2)]
    arms.append({"name": "freezes", "set": {"task.freezes": True}})
    project.recipe("noted", baseline=baseline, arms=arms, seeds=5, claims=[])
    monkeypatch.chdir(project.folder)
    # Three threads: a frozen attempt still has one, as it still has a machine elsewhere.
    monkeypatch.setattr(make, "make_executor", lambda *where: ForgetfulExecutor(3))
    monkeypatch.setattr("sweeper.executors.local.LocalExecutor.room", room_of_two)

    def thaw() -> None:
        at = "SELECT trial_id FROM attempts WHERE attempt = 2"
        if not second_s:
            at += " AND status = 'done'"
        wait_until(lambda: rows_of(project, at))
        ((frozen,),) = project.sql(at)
        pid = (project.folder / "outputs/trials" / frozen / "work/pid").read_text()
        os.kill(int(pid), signal.SIGCONT)

    waking = threading.Thread(target=thaw)
    waking.start()
    own = {"recipes": ["recipes"], "allow": ["freezing"]}
    tables = sweeper.run("noted", {"executor.devices": "[cpu]"}, "outputs", **own)
    waking.join()
    rows = tables["noted"].trials
    assert list(rows["status"]) == ["done"] * 20
    attempts = project.sql("SELECT trial_id, attempt, status, metrics FROM attempts")
    ((frozen, _, _, _),) = [a for a in attempts if a[1] == 2]
    both = {n: (status, metrics) for t, n, status, metrics in attempts if t == frozen}
    assert {n: status for n, (status, _) in both.items()} == {1: first_status, 2: second_status}
    assert both[1][1] == both[2][1] == '{"train_loss": 0.1}'  # what came too late is kept
    assert sum(status == "done" for _, _, status, _ in attempts) == 20
    assert (project.folder / "outputs/trials" / frozen / "work/thawed").exists()
    (row,) = [r for _, r in rows.iterrows() if r["trial_id"] == frozen]
    assert row["attempt"] == (1 if first_status == "done" else 2)


def rows_of(project: Any, query: str) -> list[Any]:
    try:
        return list(project.sql(query))
    except sqlite3.Error:  # the store is not there yet
        return []


def room_of_two(executor: LocalExecutor) -> int:
    """How many of three slots may be used: the third is for what was given up."""
    return max(0, executor._shares.room - 1)
