"""One suite for every executor: what it must do with the jobs it is given.

To let another executor join, add its name to `EXECUTORS` and make it in `executor`.
"""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import RayCluster

from sweeper.executors.devices import Slot
from sweeper.executors.inline import InlineExecutor
from sweeper.executors.job import Ended, Executor, Job, Reported
from sweeper.executors.local import LocalExecutor
from sweeper.settings import Executor as Settings

EXECUTORS = ("inline", "local", "ray")
SLOTS = 4
TASKS = """
import os
import signal
import sys
import threading
import time

import sweeper


def well(config, *, seed, device, report, workdir):
    for step in range(config["task"].get("steps", 3)):
        report(step, loss=seed + step)
    return {"result": seed * 2}


def raises(config, *, seed, device, report, workdir):
    report(0, loss=1.0)
    raise ValueError("the user's own mistake")


def infinite(config, *, seed, device, report, workdir):
    report(0, loss=1.0)
    return {"result": float("inf")}


def lingers(config, *, seed, device, report, workdir):
    threading.Thread(target=time.sleep, args=(600,)).start()
    return {"result": 1.0}


def ends_by_a_nameless_signal(config, *, seed, device, report, workdir):
    os.kill(os.getpid(), signal.SIGRTMIN + 1)


def unprintable(config, *, seed, device, report, workdir):
    print("half a character: \\udc80")
    raise ValueError("half a character: \\udc80")


def many_points(config, *, seed, device, report, workdir):
    began = time.perf_counter()
    for step in range(100_000):
        report(step, loss=float(step))
    return {"seconds": time.perf_counter() - began}


def talks(config, *, seed, device, report, workdir):
    for _ in range(2000):
        print("x" * 1000)
        print("y" * 1000, file=sys.stderr)

    return {"result": 1.0}


def until_pruned(config, *, seed, device, report, workdir):
    for step in range(10_000):
        try:
            report(step, loss=float(step))
        except Exception:
            (workdir / "swallowed").touch()
        time.sleep(0.001)
    return {"result": 1.0}


def checkpoints(config, *, seed, device, report, workdir):
    kept = workdir / "step"
    begin = int(kept.read_text()) + 1 if kept.exists() else 0
    for step in range(begin, config["task"].get("steps", 400)):
        kept.write_text(str(step))
        report(step, loss=float(step))
        time.sleep(0.01)
    return {"began_at": begin}


def deaf(config, *, seed, device, report, workdir):
    report(0, loss=1.0)
    if config["task"].get("handler") == "exits":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    elif config["task"].get("handler") == "default":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        time.sleep(0.01)


def pool(config, *, seed, device, report, workdir):
    worker = os.fork()
    if worker == 0:
        time.sleep(600)
    os.kill(worker, signal.SIGTERM)
    return {"result": float(os.waitpid(worker, 0)[1])}


def forks(config, *, seed, device, report, workdir):
    forked = os.fork()
    if forked == 0:
        report(99, loss=99.0)
        sys.exit(0)
    ended = os.waitpid(forked, 0)[1]
    report(0, loss=1.0)
    return {"result": float(os.waitstatus_to_exitcode(ended))}


def out_of_memory(config, *, seed, device, report, workdir):
    (workdir / "began").touch()
    began = lambda: len(list(workdir.parent.parent.glob("*/work/began")))
    while not config["task"].get("at_once") and began() < 2:
        time.sleep(0.01)
    raise MemoryError("no room")


def greedy(config, *, seed, device, report, workdir):
    import numpy
    import torch

    kind = config["task"]["kind"]
    taken = []
    for _ in range(64):
        if kind == "torch":
            taken.append(torch.ones(1 << 22))
        elif kind == "numpy":
            taken.append(numpy.ones(1 << 21))
        else:
            taken.append("x" * (1 << 24))
        report(len(taken), mib=len(taken) * 16.0)
    return {"result": 1.0}


def text(config, *, seed, device, report, workdir):
    return "done"


def where(config, *, seed, device, report, workdir):
    assert device == "cpu" and config.task.note == "a note"
    with (workdir / "kept").open("a") as file:
        file.write("again ")
    return {"visits": len((workdir / "kept").read_text().split())}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("jobs")
    (made / "tasks.py").write_text(TASKS)
    return made


@pytest.fixture(scope="module")
def on_ray(folder: Path) -> Iterator[Executor]:
    """One for the whole module: each start of a worker on a node takes seconds."""
    from sweeper.executors.ray_connect import make

    cluster, where = RayCluster(), Settings(name="ray").model_dump()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        try:
            cluster.add(cpus=2, gpus=0)
            made = make(where, folder)
            yield made
            made.close()
        finally:
            cluster.close()


@pytest.fixture(params=EXECUTORS)
def executor(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Executor]:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    if request.param == "ray":
        yield request.getfixturevalue("on_ray")
        return
    made = InlineExecutor() if request.param == "inline" else LocalExecutor([Slot("cpu")] * SLOTS)
    yield made
    made.close()


@pytest.fixture
def job(folder: Path, request: pytest.FixtureRequest) -> Callable[..., Job]:
    """job(task, number): an attempt at a trial with a folder of its own."""

    def make(task: str, number: int = 0, attempt: int = 1, **more: Any) -> Job:
        trial_id = f"{request.node.name}-{task}-{number}"
        config = {"task": {"_target_": f"tasks.{task}", **more}}
        return Job(
            trial_id, attempt, number, config, str(folder / trial_id), str(folder / "cache"),
            allowed=["tasks"],
        )  # fmt: skip

    return make


def run(
    executor: Executor,
    jobs: list[Job],
    judge: Callable[[Reported], bool] = lambda reported: False,
    seconds: float = 60.0,
) -> list[Ended]:
    """Hand over jobs as there is room until all have ended."""
    waiting, ended = list(jobs), list[Ended]()
    deadline = time.monotonic() + seconds
    while len(ended) < len(jobs):
        while waiting and executor.room() > 0:
            executor.start(waiting.pop(0))
        ended += executor.events(judge)
        assert time.monotonic() < deadline, f"{len(ended)} of {len(jobs)} ended"
    return ended


def test_a_job_that_returns_is_done_with_its_metrics_and_its_curve(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [job("well", 5)])
    assert (ended.ending.status, ended.ending.error, ended.mend) == ("done", "", "")
    assert ended.ending.metrics == {"loss": 7, "result": 10}
    assert ended.ending.curve == {"step": [0, 1, 2], "loss": [5, 6, 7]}
    assert ended.device.split("@")[0] == "cpu" and ended.ending.duration_s > 0
    assert ended.ending.versions.keys() >= {"sweeper", "python"}
    assert ended.ending.read == ["task.steps"]


def test_a_job_that_raises_is_failed_with_the_exception_and_keeps_what_it_reported(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [job("raises")])
    assert ended.ending.status == "failed" and not ended.ending.is_chance
    assert ended.ending.error.splitlines()[0] == "ValueError: the user's own mistake"
    assert ended.ending.curve == {"step": [0], "loss": [1.0]}


def test_a_job_that_returns_infinity_is_diverged(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [job("infinite")])
    assert ended.ending.status == "diverged"
    assert math.isinf(ended.ending.metrics["result"])


def test_reports_arrive_in_their_order_while_the_job_runs(
    executor: Executor, job: Callable[..., Job]
) -> None:
    seen: list[Reported] = []
    run(executor, [job("well", 1, steps=50)], lambda reported: bool(seen.append(reported)))
    assert [r.step for r in seen] == list(range(50))
    assert seen[0].attempt == 1 and seen[-1].metrics == {"loss": 50}


def test_a_job_that_is_given_up_ends_as_pruned_at_its_next_report(
    executor: Executor, job: Callable[..., Job]
) -> None:
    pruned = job("until_pruned")
    (ended,) = run(executor, [pruned], lambda reported: reported.step >= 5)
    assert (ended.ending.status, ended.ending.error) == ("pruned", "")
    assert 5 <= len(ended.ending.curve["step"]) < 5000
    assert not (Path(pruned.folder) / "work/swallowed").exists()  # a BaseException


def test_only_the_job_that_is_judged_badly_is_given_up(
    executor: Executor, job: Callable[..., Job]
) -> None:
    bad, good = job("until_pruned", 1), job("well", 2)
    ended = run(executor, [bad, good], lambda reported: reported.trial_id == bad.trial_id)
    assert {e.job.trial_id: e.ending.status for e in ended} == {
        bad.trial_id: "pruned", good.trial_id: "done",
    }  # fmt: skip


def test_a_job_may_end_before_it_hears_that_it_was_given_up(
    executor: Executor, job: Callable[..., Job]
) -> None:
    ended = run(executor, [job("well", n) for n in range(40)], lambda reported: True)
    assert {e.ending.status for e in ended} <= {"done", "pruned"}


def test_a_hundred_thousand_reports_never_block_the_job(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [job("many_points")])
    assert ended.ending.status == "done"
    assert ended.ending.duration_s < 60  # a second or two, on a machine with nothing else to do
    assert len(ended.ending.curve["step"]) == 100_000
    assert ended.ending.curve["loss"][-1] == 99_999.0


def test_a_job_may_write_more_than_a_pipe_holds(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [job("talks")])
    assert ended.ending.status == "done"


def test_what_is_no_mapping_of_numbers_is_answered_with_the_mend(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [job("text")])
    assert ended.mend == (
        "tasks.text returned str where a mapping of names to numbers is due: end it with, for "
        'example, `return {"val_loss": loss}`.'
    )


def test_code_that_was_not_allowed_is_answered_with_the_mend(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [replace(job("well"), allowed=[])])
    assert ended.mend.startswith("_target_ 'tasks.well' is not allowed: add --allow tasks")


def test_the_work_folder_is_kept_between_attempts(
    executor: Executor, job: Callable[..., Job]
) -> None:
    jobs = [job("where", attempt=n, note="a note") for n in (1, 2)]
    assert [run(executor, [one])[0].ending.metrics["visits"] for one in jobs] == [1, 2]


def test_three_hundred_short_jobs_all_end_well(executor: Executor, job: Callable[..., Job]) -> None:
    jobs = [job("well", n) for n in range(300)]
    ended = run(executor, jobs)
    assert {e.ending.status for e in ended} == {"done"}
    assert sorted(e.job.seed for e in ended) == list(range(300))
    assert all(e.ending.metrics["result"] == 2 * e.job.seed for e in ended)


def test_there_is_room_again_once_a_job_has_ended(
    executor: Executor, job: Callable[..., Job]
) -> None:
    room = executor.room()
    executor.start(job("well", 1))
    assert executor.room() == room - 1
    while not executor.events(lambda reported: False):
        pass
    assert executor.room() >= room


def test_dropped_jobs_are_those_that_have_not_begun(
    executor: Executor, job: Callable[..., Job]
) -> None:
    executor.start(job("well", 1))
    dropped = executor.drop()
    ended: list[Ended] = []
    deadline = time.monotonic() + 10
    while not dropped and not ended and time.monotonic() < deadline:
        ended = executor.events(lambda reported: False)
    assert len(dropped) + len(ended) == 1
    assert executor.events(lambda reported: False) == []


def test_an_ending_survives_as_plain_json(executor: Executor, job: Callable[..., Job]) -> None:
    (ended,) = run(executor, [job("well", 3)])
    assert json.loads(json.dumps(vars(ended.ending))) == vars(ended.ending)


def test_text_that_is_not_unicode_is_recorded_escaped(
    executor: Executor, job: Callable[..., Job]
) -> None:
    (ended,) = run(executor, [job("unprintable")])
    assert ended.ending.status == "failed"
    assert ended.ending.error == "ValueError: half a character: \\udc80"


@pytest.mark.parametrize("executor", ["local"], indirect=True)
def test_a_thread_left_running_holds_no_slot(executor: Executor, job: Callable[..., Job]) -> None:
    (ended,) = run(executor, [job("lingers")], seconds=30.0)
    assert ended.ending.status == "done" and ended.ending.metrics == {"result": 1.0}


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no real-time signals here")
@pytest.mark.parametrize("executor", ["local"], indirect=True)
def test_a_signal_without_a_name_is_a_row_too(executor: Executor, job: Callable[..., Job]) -> None:
    (ended,) = run(executor, [job("ends_by_a_nameless_signal")])
    assert ended.ending.status == "crashed"
    assert ended.ending.error == f"killed by signal {signal.SIGRTMIN + 1}"


def after_first_report(executor: Executor, begun: Job, act: Callable[[], object]) -> Ended:
    """Start a job, act once it has reported, and give how it ended."""
    acted = False

    def judge(reported: Reported) -> bool:
        nonlocal acted
        if not acted:
            acted = True
            act()
        return False

    (ended,) = run(executor, [begun], judge)
    assert acted
    return ended


def test_a_preempted_job_keeps_what_it_reported(
    executor: Executor, job: Callable[..., Job]
) -> None:
    first = after_first_report(executor, job("checkpoints"), executor.preempt)
    assert (first.ending.status, first.ending.error) == (
        "preempted", "told to stop before it had ended",
    )  # fmt: skip
    reached = first.ending.curve["step"]
    assert reached == list(range(len(reached))) and 0 < len(reached) < 400


@pytest.fixture
def local(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LocalExecutor]]:
    """local(slots, grace_s): executors of the test's own making."""
    monkeypatch.chdir(folder)
    made: list[LocalExecutor] = []

    def make(slots: int = 1, grace_s: float = 20.0) -> LocalExecutor:
        made.append(LocalExecutor([Slot("cpu")] * slots, grace_s))
        return made[-1]

    yield make
    for each in made:
        each.close()


def pid_of(job: Job) -> int:
    """The process of a running job: it has its log open as standard output."""
    for place in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if job.folder in str(place.readlink()):
                return int(place.parent.parent.name)
        except OSError:
            continue
    raise AssertionError("no process writes to the job's log")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_job_that_somebody_else_tells_to_stop_is_preempted_and_goes_on(
    local: Callable[..., LocalExecutor], job: Callable[..., Job], number: int
) -> None:
    executor, begun = local(), job("checkpoints", number=number, steps=60)
    first = after_first_report(executor, begun, lambda: os.kill(pid_of(begun), number))
    assert first.ending.status == "preempted"
    (second,) = run(executor, [replace(begun, attempt=2)])
    assert second.ending.status == "done"
    assert second.ending.metrics["began_at"] == first.ending.curve["step"][-1] + 1


@pytest.mark.parametrize("handler", ["none", "exits", "default"])
def test_a_job_that_does_not_listen_is_preempted_all_the_same(
    local: Callable[..., LocalExecutor], job: Callable[..., Job], handler: str
) -> None:
    executor, begun = local(grace_s=0.5), job("deaf", handler=handler)
    ended = after_first_report(executor, begun, executor.preempt)
    assert ended.ending.status == "preempted"


def test_a_job_told_to_stop_and_killed_a_grace_later_is_preempted(
    local: Callable[..., LocalExecutor], job: Callable[..., Job]
) -> None:
    executor, begun = local(), job("deaf")

    def tell_and_kill() -> None:
        pid = pid_of(begun)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)
        with suppress(ProcessLookupError):  # it had not left its report yet, which ended it
            os.kill(pid, signal.SIGKILL)

    assert after_first_report(executor, begun, tell_and_kill).ending.status == "preempted"


def test_a_jobs_own_processes_end_at_sigterm_as_ever(
    local: Callable[..., LocalExecutor], job: Callable[..., Job]
) -> None:
    (ended,) = run(local(), [job("pool")])
    assert ended.ending.status == "done"
    assert ended.ending.metrics["result"] == signal.SIGTERM


def test_out_of_memory_beside_others_is_worth_a_try_alone(
    local: Callable[..., LocalExecutor], job: Callable[..., Job]
) -> None:
    ended = run(local(2), [job("out_of_memory", n) for n in range(2)])
    assert [(e.ending.status, e.ending.is_chance) for e in ended] == [("oom", True)] * 2
    (alone,) = run(local(2), [replace(job("out_of_memory", 3, at_once=True), alone=True)])
    assert (alone.ending.status, alone.ending.is_chance) == ("oom", False)


@pytest.mark.parametrize(
    "kind, error",
    [
        ("torch", "can't allocate memory"),
        ("numpy", "Unable to allocate 16.0 MiB"),
        ("text", "MemoryError"),
    ],
)
def test_more_than_its_share_of_memory_is_oom(
    local: Callable[..., LocalExecutor], job: Callable[..., Job], kind: str, error: str
) -> None:
    (ended,) = run(local(), [replace(job("greedy", kind=kind), memory_mib=300)])
    assert (ended.ending.status, ended.ending.is_chance) == ("oom", False)
    assert error in ended.ending.error
    assert 100 < (ended.ending.curve["mib"][-1] or 0) < 300


def test_a_dead_server_is_replaced_and_its_jobs_are_lost_not_crashed(
    local: Callable[..., LocalExecutor], job: Callable[..., Job]
) -> None:
    executor, begun = local(2), job("checkpoints")

    def kill_server() -> None:
        child = pid_of(begun)
        status = Path(f"/proc/{child}/status").read_text()
        os.kill(int(status.partition("PPid:")[2].split()[0]), signal.SIGKILL)

    ended = after_first_report(executor, begun, kill_server)
    assert (ended.ending.status, ended.ending.is_chance) == ("lost", True)
    assert ended.ending.error == (
        "the server that starts the trials' processes died, and it with it"
    )
    again = run(executor, [job("well", n) for n in range(6)])
    assert {(e.ending.status, e.ending.error) for e in again} == {("done", "")}


def test_a_fork_of_the_users_does_not_speak_for_the_job(
    local: Callable[..., LocalExecutor], job: Callable[..., Job]
) -> None:
    (ended,) = run(local(), [job("forks")])
    assert ended.ending.status == "done"
    assert ended.ending.metrics == {"loss": 1.0, "result": 1.0}
    assert ended.ending.curve == {"step": [0], "loss": [1.0]}


def test_jobs_that_are_just_beginning_are_preempted_too(
    local: Callable[..., LocalExecutor], job: Callable[..., Job]
) -> None:
    executor = local(3)
    jobs = [job("checkpoints", n) for n in range(3)]
    for each in jobs:
        executor.start(each)
    executor.preempt()  # while the server loads torch, say
    ended: list[Ended] = []
    deadline = time.monotonic() + 30
    while len(ended) < 3 and time.monotonic() < deadline:
        ended += executor.events(lambda reported: False)
    assert [e.ending.status for e in ended] == ["preempted"] * 3


def test_a_closing_executor_leaves_nothing_running_of_what_it_has_just_begun(
    local: Callable[..., LocalExecutor], job: Callable[..., Job]
) -> None:
    for number in range(3):
        executor = local(3)
        jobs = [job("deaf", 3 * number + n) for n in range(3)]
        for each in jobs:
            executor.start(each)
        time.sleep(0.02 * number)  # at once, and a little later
        began = time.monotonic()
        executor.close()
        assert time.monotonic() - began < 15
        for each in jobs:
            with pytest.raises(AssertionError, match="no process writes to the job's log"):
                pid_of(each)
