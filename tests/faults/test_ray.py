"""Faults of a Ray cluster: nodes that die and join, a driver killed, attempts frozen and thawed."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from processes import alive
from ray_cluster import RayCluster, parent_of

# Every start and end is a line in one file, so that nothing rests on what the store says.
WORK = '''
"""A training function that writes down what becomes of it."""

import os
import time
from pathlib import Path
from typing import Any


def note(what, workdir):
    line = f"{what} {workdir.parent.name} {os.getpid()} {workdir.name}\\n"
    with open(workdir.parents[3] / "diary", "a") as file:
        file.write(line)


def train(config, *, seed, device, report, workdir):
    is_last = config.optim.lr == 0.5 and seed == config.task.seeds - 1
    note("stays" if is_last and config.task.waits else "began", workdir)
    go = workdir.parents[3] / "go" / workdir.parent.name
    while config.task.waits and workdir.name == "work-1" and not go.exists():
        time.sleep(0.02)
    for step in range(4):
        report(step, train_loss=config.optim.lr / (step + 1))
        time.sleep(config.task.seconds / 4)
    note("ended", workdir)
    return {"train_loss": config.optim.lr + seed}
'''


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Two nodes of two (made up) GPUs."""
    made = RayCluster()
    try:
        for _ in range(2):
            made.add()
        yield made
    finally:
        made.close()


@pytest.fixture
def ask(project: Any) -> Callable[..., None]:
    """ask(seeds=…, seconds=…): the recipe `tiny` of a baseline and one arm that write a diary."""
    project.write("work.py", WORK)
    (project.folder / "go").mkdir()

    def write(seeds: int, seconds: float, *, waits: bool = False) -> None:
        project.recipe(
            baseline={
                "task._target_": "work.train", "task.seconds": seconds, "task.seeds": seeds,
                "task.waits": waits, "optim.lr": 0.1,
            },
            arms=[{"name": "larger", "set": {"optim.lr": 0.5}}],
            seeds=seeds, claims=None,
        )  # fmt: skip

    return write


def words(*more: str) -> tuple[str, ...]:
    own = ("--recipes", "recipes", "--allow", "work", "executor=ray")
    return ("run", "tiny", *own, *more)


def diary(project: Any) -> list[list[str]]:
    """[what, trial, pid, folder] in the order that it happened."""
    path = project.folder / "diary"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def running(project: Any) -> list[int]:
    """The processes of the trials that have begun and not ended."""
    ended = {pid for what, _, pid, _ in diary(project) if what == "ended"}
    return [int(line[2]) for line in diary(project) if line[2] not in ended]


def statuses(project: Any) -> dict[str, str]:
    with suppress(Exception):  # the store is not there yet
        return dict(project.sql("SELECT trial_id, status FROM trials"))
    return {}


def wait_until(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        pytest.param("", "the cluster's token is missing: copy its ~/.ray/auth_token", id="none"),
        pytest.param("wrong", "the cluster refuses our token: give the one it was", id="wrong"),
    ],
)
def test_a_cluster_lets_nobody_in_without_its_token(
    cluster: RayCluster, project: Any, tmp_path: Path, token: str, says: str
) -> None:
    mine = {**cluster.environment, "RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}
    del mine["RAY_AUTH_MODE"]  # we ask for a token by ourselves
    answer = project.run("tiny", executor="ray", **mine)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"sweeper: {says}") and answer.err.count("\n") == 1
    assert project.attempts() == {}


def test_a_cluster_without_a_token_is_not_taken_for_one_that_has_it(project: Any) -> None:
    cluster = RayCluster(auth="disabled")
    try:
        cluster.add(cpus=1, gpus=0)
        mine = {**cluster.environment, "RAY_AUTH_MODE": "token"}
        answer = project.run("tiny", executor="ray", **mine)
    finally:
        cluster.close()
    assert answer.code == 2 and answer.err.count("\n") == 1
    assert answer.err.startswith(
        "sweeper: the cluster cannot talk to this process (ActorDiedError:"
    )
    assert "or set RAY_AUTH_MODE=disabled here too" in answer.err
    assert not (project.folder / "outputs/.seen-by-every-node").exists()


def test_a_request_that_no_node_can_fulfil_names_what_was_asked(
    cluster: RayCluster, project: Any
) -> None:
    answer = project.run(
        "tiny", "executor.cpus_per_trial=64", executor="ray", **cluster.environment
    )
    assert answer.code == 2
    assert answer.err.startswith(
        "sweeper: no node of the Ray cluster has the 1 GPU and 64 CPU that a trial asks for: let "
    )


def test_a_sweep_outlives_a_dead_node_and_uses_one_that_joins(
    cluster: RayCluster, project: Any, ask: Callable[..., None]
) -> None:
    ask(seeds=20, seconds=1.0)
    sweep = project.start(*words(), **cluster.environment)
    wait_until(lambda: sum(line[0] == "ended" for line in diary(project)) >= 6)
    began = len(diary(project))
    wait_until(lambda: diary(project)[began:][-1:] and diary(project)[-1][0] == "began")
    killed_at = time.time()
    cluster.kill_node_of(running(project)[-1])  # the one that has the longest way to go
    cluster.add()
    out, err = sweep.communicate(timeout=90)
    assert (sweep.returncode, err) == (0, ""), out
    assert list(statuses(project).values()) == ["done"] * 40
    repeats = project.sql("SELECT started_at FROM attempts WHERE attempt > 1 ORDER BY started_at")
    assert 1 <= len(repeats) <= 4
    assert repeats[0][0] - killed_at < 45
    lost = project.sql("SELECT error FROM attempts WHERE status = 'lost'")
    assert len(lost) == len(repeats)
    assert all(text.startswith("node ") and " lost it: " in text for (text,) in lost)


def test_a_sweep_that_is_told_to_stop_takes_back_what_waits_in_rays_queue(
    cluster: RayCluster, project: Any, ask: Callable[..., None]
) -> None:
    ask(seeds=5, seconds=20.0)
    sweep = project.start(*words("executor.slots=10"), **cluster.environment)
    wait_until(lambda: running(project))
    sweep.send_signal(signal.SIGTERM)
    out, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, out + err
    assert project.attempts() == {"preempted": 10}
    errors = {e for (e,) in project.sql("SELECT error FROM attempts")}
    waited = "told to stop before it had begun"
    # one that began an instant ago has not been heard of, and counts as waiting
    assert waited in errors and errors <= {waited, "told to stop before it had ended"}
    wait_until(lambda: not any(map(alive, running(project))), 10)


def test_an_attempt_that_comes_back_after_its_lease_is_superseded(
    project: Any, ask: Callable[..., None]
) -> None:
    cluster = RayCluster()
    try:
        cluster.add(cpus=8, gpus=8)
        ask(seeds=11, seconds=0.0, waits=True)  # the last one of 22 stays
        more = ("executor.lease_s=3", "executor.slots=3")
        sweep = project.start(*words(*more), **cluster.environment)
        frozen: dict[str, list[int]] = {}
        thawed: set[str] = set()

        def freeze_and_thaw() -> bool:
            for what, trial, pid, folder in diary(project):
                if what == "began" and folder == "work-1" and trial not in frozen:
                    frozen[trial] = [worker_of(int(pid)), int(pid)]
                    send(signal.SIGSTOP, frozen[trial])
            now = statuses(project)
            if not now:
                return False
            for trial in [t for t in frozen if now.get(t) == "done" and t not in thawed]:
                thawed.add(trial)
                (project.folder / "go" / trial).touch()
                send(signal.SIGCONT, frozen[trial])
            if project.attempts().get("superseded") == 21:
                for _, trial, *_ in diary(project):
                    (project.folder / "go" / trial).touch()
            return sweep.poll() is not None

        wait_until(freeze_and_thaw, 120)
        out, err = sweep.communicate()
        assert (sweep.returncode, err) == (0, ""), out
    finally:
        cluster.close()
    assert len(frozen) == 21
    assert list(statuses(project).values()) == ["done"] * 22
    assert project.attempts() == {"done": 22, "superseded": 21}
    assert project.sql("SELECT DISTINCT attempt FROM trials ORDER BY 1") == [(1,), (2,)]


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, number)


def worker_of(pid: int) -> int:
    """Ray's worker, whose server of processes forked this one."""
    return parent_of(parent_of(pid))


def test_a_driver_killed_five_times_and_a_cluster_once_cost_no_finished_trial(
    cluster: RayCluster, project: Any, ask: Callable[..., None]
) -> None:
    ask(seeds=20, seconds=0.3)
    moments = random.Random(7)
    more = ("executor.slots=2",)
    for _ in range(5):
        before = len(diary(project))
        sweep = project.start(*words(*more), **cluster.environment)
        wait_until(lambda n=before: len(diary(project)) > n)
        time.sleep(moments.uniform(0, 1.5))
        sweep.kill()
        sweep.communicate()
        began = {int(pid) for what, _, pid, _ in diary(project) if what == "began"}
        wait_until(lambda pids=began: not any(map(alive, pids)), 10)
    assert "waiting" in statuses(project).values()
    cluster.close()
    again = RayCluster()
    try:
        again.add(cpus=4, gpus=4)
        sweep = project.start(*words(*more), **again.environment)
        out, err = sweep.communicate(timeout=90)
        assert (sweep.returncode, err) == (0, ""), out
    finally:
        again.close()
    assert list(statuses(project).values()) == ["done"] * 40
    twice = project.sql(
        "SELECT trial_id FROM attempts WHERE status = 'done' GROUP BY 1 HAVING count(*) > 1"
    )
    assert twice == []
