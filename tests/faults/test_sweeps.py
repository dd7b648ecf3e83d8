"""Sweeps in which trials die, the orchestrator is killed, and the machine wants its place back.

A training function of the test's own notes what it does in a file of its own, so that what the
store says can be held against what happened.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from processes import alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

NOTED = '''
"""Counts to `task.steps` and notes it; `task.fate` befalls it half-way."""

import json
import os
import signal
import time


def train(config, *, seed, device, report, workdir):
    task = config.task
    notes = open("notes", "a")

    def note(what, **more):
        line = {"trial": workdir.parent.name, "pid": os.getpid(), "at": time.time(), "what": what}
        notes.write(json.dumps({**line, **more}) + "\\n")  # one short write: lines stay whole
        notes.flush()

    kept = workdir / "step"
    first = int(kept.read_text()) + 1 if kept.exists() else 0
    note("begins", step=first, visible=os.environ["CUDA_VISIBLE_DEVICES"])
    for step in range(first, task.steps):
        if step == task.steps // 2:
            befall(task.get("fate", "well"))
        time.sleep(task.get("seconds", 1.0) / task.steps)
        if task.get("checkpoints"):
            kept.with_suffix(".new").write_text(str(step))
            kept.with_suffix(".new").rename(kept)
        note("did", step=step)
        report(step, train_loss=config.optim.lr / (step + 1) + seed / 1000)
    note("ends")
    return {"val_loss": 2 * config.optim.lr * (1 + seed / 100)}


def befall(fate):
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fate == "exits":
        os._exit(3)
    if fate == "hoards":
        held = [bytearray(1 << 24) for _ in range(64)]
    if fate == "out_of_memory":
        raise MemoryError("no room")
    if fate == "raises":
        raise ValueError("the user's own mistake")
'''


@dataclass(frozen=True)
class Stretch:
    """What one process did of one trial, by its own notes."""

    trial: str
    visible: str
    first: int  # step
    last: int
    began: float
    ended: float
    is_whole: bool

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def stretches(project: Any) -> list[Stretch]:
    notes: dict[int, list[dict[str, Any]]] = {}
    for line in (project.folder / "notes").read_text().splitlines():
        note = json.loads(line)
        notes.setdefault(note["pid"], []).append(note)
    return [
        Stretch(
            made[0]["trial"], made[0]["visible"], made[0]["step"],
            max((n["step"] for n in made if n["what"] == "did"), default=made[0]["step"] - 1),
            made[0]["at"], made[-1]["at"], made[-1]["what"] == "ends",
        )
        for made in notes.values()
    ]  # fmt: skip


@pytest.fixture
def noted(project: Any) -> Callable[..., tuple[str, ...]]:
    """noted(arms, seeds, **task): a recipe `noted` of such trials; returns the words to run it."""
    project.write("noted.py", NOTED)

    def make(arms: Sequence[Mapping[str, Any]], seeds: int, **task: Any) -> tuple[str, ...]:
        baseline = {"task._target_": "noted.train", "optim.lr": 0.1, "task.steps": 10}
        baseline |= {f"task.{key}": value for key, value in task.items()}
        project.recipe("noted", baseline=baseline, arms=list(arms), seeds=seeds, claims=[])
        own = ("--recipes", "recipes", "--allow", "noted", "executor.preload_torch=false")
        return ("run", "noted", *own)

    return make


def rates(count: int) -> list[dict[str, Any]]:
    return [
        {"name": f"rate_{n}", "set": {"optim.lr": round(0.2 + n / 10, 1)}} for n in range(count)
    ]


def measured(project: Any, outputs: str = "outputs") -> list[dict[str, str]]:
    """trials.csv without times, attempt and device."""
    rows = project.table("noted/trials.csv", outputs)
    return [
        {k: v for k, v in r.items() if k not in ("attempt", "device", "duration_s")} for r in rows
    ]


def finished(project: Any, outputs: str = "outputs") -> dict[str, int]:
    """The attempt that answered each finished trial."""
    done = "SELECT trial_id, attempt FROM trials WHERE status = 'done'"
    try:
        return dict(project.sql(done, outputs))
    except Exception:  # noqa: BLE001 - the store is not there yet
        return {}


def wall_s(project: Any, outputs: str = "outputs") -> float:
    """From the first start to the last end."""
    ((seconds,),) = project.sql("SELECT max(ended_at) - min(started_at) FROM attempts", outputs)
    return float(seconds)


@pytest.mark.alone
def test_four_deaths_in_24_trials_are_told_apart_and_cost_the_others_nothing(
    project: Any, noted: Callable[..., tuple[str, ...]], wait_until: Callable[..., None]
) -> None:
    deaths = {
        "killed": ("crashed", "killed by signal SIGKILL"),
        "segfault": ("crashed", "killed by signal SIGSEGV"),
        "exits": ("crashed", "the process ended with exit code 3 before it answered"),
        "hoards": ("oom", "MemoryError"),
    }
    on = ("executor.devices=[cpu]", "executor.slots=2", "executor.memory_mib=256")
    words = noted(rates(23), 1, seconds=0.3)
    undisturbed = project.start(*words, *on, "--outputs", "undisturbed")
    wait_until(lambda: finished(project, "undisturbed"))  # both at once: the machine is as noisy
    dying = [{"name": fate, "set": {"task.fate": fate}} for fate in deaths]
    noted([*rates(19), *dying], 1, seconds=0.3)
    disturbed = project.cli(*words, *on)
    undisturbed.communicate(timeout=60)
    assert (undisturbed.returncode, disturbed.code) == (0, 1)
    rows = {r["arm"]: r for r in project.table("noted/trials.csv")}
    assert Counter(r["status"] for r in rows.values()) == {"done": 20, "crashed": 3, "oom": 1}
    found = {fate: (rows[fate]["status"], rows[fate]["error"].splitlines()[0]) for fate in deaths}
    assert found == deaths
    assert {rows[f]["attempt"] for f in ("killed", "segfault")} == {"2"}  # tried once more
    assert {rows[f]["attempt"] for f in ("exits", "hoards")} == {"1"}  # the code's own doing
    assert wall_s(project) <= 1.15 * wall_s(project, "undisturbed")


@pytest.fixture
def control_group(wait_until: Callable[..., None]) -> Iterator[Path]:
    """A control group of 700 MiB within our own, where we may make one."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    paths = {controllers: path for _, controllers, path in (x.split(":", 2) for x in lines)}
    is_v1 = "memory" in paths
    root = Path("/sys/fs/cgroup", "memory" if is_v1 else "")
    made = root / paths.get("memory", paths.get("", "")).lstrip("/") / f"sweeper-test-{os.getpid()}"
    try:
        made.mkdir()
        limit = made / ("memory.limit_in_bytes" if is_v1 else "memory.max")
        limit.write_text(str(700 << 20))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    wait_until(lambda: _removed(made))


def _removed(made: Path) -> bool:
    """A process that is dead already may still count as one of the group."""
    with suppress(OSError):
        made.rmdir()
    return not made.exists()


def test_a_kill_by_the_kernel_for_want_of_memory_is_told_from_any_other(
    project: Any, noted: Callable[..., tuple[str, ...]], control_group: Path
) -> None:
    fates = ("hoards", "killed")
    words = noted([{"name": f, "set": {"task.fate": f}} for f in fates], 1, seconds=0.1)
    on = ("executor.devices=[cpu]", "executor.slots=1")
    joining = f'echo $$ > {control_group}/cgroup.procs && exec "$@"'
    command = ["sh", "-c", joining, "sh", sys.executable, "-m", "sweeper", *words, *on]
    begun = project.start(*words, *on, command=command)
    _, err = begun.communicate(timeout=60)
    assert begun.returncode == 1, err
    found = {
        r["arm"]: (r["status"], r["error"].splitlines()[:1])
        for r in project.table("noted/trials.csv")
    }
    assert found == {
        "baseline": ("done", []),
        "hoards": (
            "oom", ["killed by the kernel: the machine, or its share of it, is out of memory"],
        ),
        "killed": ("crashed", ["killed by signal SIGKILL"]),
    }  # fmt: skip


def test_thirty_kills_of_the_orchestrator_lose_nothing_and_repeat_nothing(
    project: Any, noted: Callable[..., tuple[str, ...]], wait_until: Callable[..., None]
) -> None:
    chance = random.Random(20)
    words = (*noted(rates(7), 5, seconds=0.5), "executor.devices=[cpu]", "executor.slots=2")
    acknowledged: dict[str, int] = {}
    for _ in range(30):
        begun = project.start(*words)
        if chance.random() < 0.5:  # some die while they start, some while trials run
            wait_for_progress(project, wait_until)
        time.sleep(chance.uniform(0.0, 1.0))
        assert begun.poll() is None
        os.kill(begun.pid, signal.SIGKILL)
        begun.communicate()
        now = finished(project)
        assert now.items() >= acknowledged.items()
        acknowledged = now
    assert project.cli(*words).code == 0
    assert finished(project).items() >= acknowledged.items() and len(finished(project)) == 40
    assert project.attempts().keys() == {"done", "cancelled"} and project.attempts()["done"] == 40
    done = stretches(project)
    (project.folder / "notes").unlink()
    assert project.cli(*words, "--outputs", "undisturbed").code == 0
    last = {s.trial: s for s in sorted(done, key=lambda s: s.ended)}  # of each trial
    in_flight = [s for s in done if s is not last[s.trial]]
    assert len(in_flight) <= 60  # at each kill one a slot
    undisturbed_s = sum(s.seconds for s in stretches(project))
    in_flight_s = sum(s.seconds for s in in_flight)
    assert sum(s.seconds for s in done) <= 1.05 * (undisturbed_s + in_flight_s)
    assert measured(project) == measured(project, "undisturbed")
    for table in ("arms.csv", "claims.csv", "curves.csv"):
        ours, theirs = (project.folder / o / "noted" / table for o in ("outputs", "undisturbed"))
        assert ours.read_bytes() == theirs.read_bytes()


GRACE_S = 10.0


@pytest.mark.parametrize("whom", ["orchestrator", "trials"])
def test_preempted_ten_times_a_checkpointing_trial_loses_a_step_and_no_retry(
    project: Any, noted: Callable[..., tuple[str, ...]], whom: str, wait_until: Callable[..., None]
) -> None:
    chance = random.Random(8)
    on = ("executor.devices=[cpu]", "executor.slots=2", "executor.grace_s=9")
    words = (*noted(rates(1), 2, steps=100, seconds=4.0, checkpoints=True), *on)
    begun = project.start(*words)
    for _ in range(10):
        running = wait_for_progress(project, wait_until)
        time.sleep(chance.uniform(0, 0.3))
        if whom == "orchestrator":
            told_at = time.monotonic()
            os.kill(begun.pid, chance.choice((signal.SIGTERM, signal.SIGUSR2)))
            wait_until(lambda gone=running: not any(map(alive, gone)), seconds=GRACE_S)
            _, err = begun.communicate(timeout=30)  # it ends soon after its children, unkilled
            assert (begun.returncode, err) == (130, "")
            assert time.monotonic() - told_at < GRACE_S + 30
            begun = project.start(*words)
        else:
            for pid in running:
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_S
            while any(map(alive, running)) and time.monotonic() < deadline:
                time.sleep(0.01)
            for pid in filter(alive, running):
                os.kill(pid, signal.SIGKILL)
    _, err = begun.communicate(timeout=90)
    assert begun.returncode == 0, err
    assert project.attempts().keys() == {"done", "preempted"}
    assert project.attempts()["done"] == 4 and project.attempts()["preempted"] >= 10
    by_trial: dict[str, list[Stretch]] = {}
    for stretch in sorted(stretches(project), key=lambda s: s.began):
        by_trial.setdefault(stretch.trial, []).append(stretch)
    for parts in by_trial.values():
        for before, after in pairwise(parts):
            assert after.first >= before.last  # at most the step under way was done again
    steps = [r["step"] for r in project.table("noted/curves.csv") if r["arm"] == "rate_0"]
    assert Counter(steps) == dict.fromkeys(map(str, range(100)), 2)  # curves are whole


def wait_for_progress(project: Any, wait_until: Callable[..., None]) -> list[int]:
    """The processes of trials that run, once one of them has begun and done something new."""
    notes = project.folder / "notes"
    had = notes.stat().st_size if notes.exists() else 0
    wait_until(lambda: notes.exists() and notes.stat().st_size > had)
    pids = {json.loads(line)["pid"] for line in notes.read_text().splitlines()}
    return [pid for pid in pids if alive(pid)]


def test_400_trials_of_random_length_and_fate_on_8_shared_devices(
    project: Any, noted: Callable[..., tuple[str, ...]]
) -> None:
    chance = random.Random(9)
    fates = ["well"] * 40 + ["killed", "segfault", "exits", "raises", "out_of_memory"]
    arms = [
        {
            "name": f"arm_{n}",
            "set": {
                "optim.lr": 0.2 + n / 1000,
                "task.fate": chance.choice(fates),
                "task.seconds": round(min(6.0, 1.5 * chance.lognormvariate(0.0, 0.5)), 3),
            },
        }
        for n in range(399)
    ]
    words = noted(arms, 1, seconds=1.0, steps=4)
    devices = [f"cuda:{n}" for n in range(8)]
    on = (f"executor.devices=[{','.join(devices)}]", "executor.per_device=2")
    begun = project.start(*words, *on)
    _, err = begun.communicate(timeout=240)
    assert begun.returncode == 1, err
    fate_of = {a["name"]: a["set"]["task.fate"] for a in arms} | {"baseline": "well"}
    expected = {
        "well": ("done", "1"), "killed": ("crashed", "2"), "segfault": ("crashed", "2"),
        "exits": ("crashed", "1"), "raises": ("failed", "1"),
    }  # fmt: skip
    rows = project.table("noted/trials.csv")
    assert len(rows) == 400
    for row in rows:
        if fate_of[row["arm"]] == "out_of_memory":  # alone only if it had company before
            assert row["status"] == "oom" and row["attempt"] in "12"
        else:
            assert (row["status"], row["attempt"]) == expected[fate_of[row["arm"]]], row
    done = stretches(project)
    alone = alone_stretches(project, done)
    assert alone and {s.visible for s in done} == set("01234567")
    assert device_of_attempts(project) == Counter((s.trial, s.visible) for s in done)
    for device in "01234567":
        here = [s for s in done if s.visible == device]
        assert most_at_once(here) <= 2
        for one in alone:
            if one.visible == device:
                assert [s for s in here if overlap(s, one)] == [one]
    assert utilisation(project, {s.trial for s in alone}) >= 0.95


def alone_stretches(project: Any, done: Sequence[Stretch]) -> list[Stretch]:
    """The second attempts at trials that ran out of memory beside others."""
    again = {t for (t,) in project.sql(
        "SELECT trial_id FROM attempts WHERE status = 'oom' AND attempt = 2"
    )}  # fmt: skip
    return [max((s for s in done if s.trial == t), key=lambda s: s.began) for t in sorted(again)]


def device_of_attempts(project: Any) -> Counter[tuple[str, str]]:
    return Counter(project.sql("SELECT trial_id, device FROM attempts"))


def overlap(a: Stretch, b: Stretch) -> bool:
    return a.began < b.ended and b.began < a.ended


def most_at_once(here: Sequence[Stretch]) -> int:
    changes = sorted([(s.began, 1) for s in here] + [(s.ended, -1) for s in here])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def utilisation(project: Any, alone: set[str]) -> float:
    """Shares in use from the first start to the last; one alone has both of its device's."""
    attempts = project.sql("SELECT trial_id, attempt, started_at, ended_at FROM attempts")
    first, last = min(a[2] for a in attempts), max(a[2] for a in attempts)
    used = sum(
        (min(ended, last) - started) * (2 if trial in alone and attempt == 2 else 1)
        for trial, attempt, started, ended in attempts
        if started < last
    )
    return float(used / (16 * (last - first)))
