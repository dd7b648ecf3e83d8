"""Trials in processes of their own: what befalls one, an interrupt, the orchestrator's death."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FATES = {
    "raises": ("failed", "ValueError: the user's own mistake"),
    "exits": ("failed", "SystemExit: the user's own exit"),
    "ends_the_process": ("crashed", "the process ended with exit code 3 before it answered"),
    "kills_itself": ("crashed", "killed by signal SIGKILL"),
    "out_of_memory": ("oom", "MemoryError: no room"),
    "sleeps": ("timeout", "stopped after its time limit of 2 s"),
    "grandchild": ("timeout", "stopped after its time limit of 2 s"),
    "not_a_number": ("diverged", ""),
    "not_for_this": ("skipped", "there is nothing to tune here"),
    "well": ("done", ""),
}


def arms(*fates: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": fate, "set": {"task.fate": fate, **more}} for fate in fates]


@pytest.fixture(scope="module")
def fates(make_project: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One sweep in which everything befalls some trial; tests only read it."""
    project = make_project(tmp_path_factory.mktemp("fates"))
    project.recipe(arms=arms(*FATES), seeds=1, claims=[])
    own = ("executor.timeout_s=2", "executor.slots=4")
    project.answer = project.run("tiny", *own, executor="local")
    return project


def row(project: Any, arm: str) -> dict[str, str]:
    (found,) = [r for r in project.table("tiny/trials.csv") if r["arm"] == arm]
    return dict(found)


@pytest.mark.parametrize("fate", FATES)
def test_what_befalls_a_trial_is_a_row_in_the_table(fates: Any, fate: str) -> None:
    status, error = FATES[fate]
    found = row(fates, fate)
    assert found["status"] == status
    assert found["error"].splitlines()[:1] == ([error] if error else [])


def test_a_sweep_with_failures_says_so_and_exits_1(fates: Any) -> None:
    assert fates.answer.code == 1
    (line,) = [x for x in fates.answer.out.splitlines() if x.startswith("Not every trial ended")]
    assert "2 failed" in line and "2 crashed" in line and "1 oom" in line and "2 timeout" in line
    assert "diverged" not in line and "skipped" not in line


@pytest.mark.parametrize(
    "fate, attempts", [("kills_itself", "2"), ("ends_the_process", "1"), ("sleeps", "1")]
)
def test_only_a_death_by_signal_is_tried_once_more(fates: Any, fate: str, attempts: str) -> None:
    assert row(fates, fate)["attempt"] == attempts


@pytest.mark.parametrize("fate", ["well", "raises", "ends_the_process"])
def test_a_trials_output_is_kept_in_its_log(fates: Any, fate: str) -> None:
    log = fates.folder / "outputs/trials" / row(fates, fate)["trial_id"] / "log-1.txt"
    assert f"seed 0 went {fate}" in log.read_text()


def test_what_was_reported_before_the_end_is_kept(fates: Any) -> None:
    steps = [r["step"] for r in fates.table("tiny/curves.csv") if r["arm"] == "kills_itself"]
    assert steps == ["0", "1", "2"]


def test_show_tells_the_error_and_the_end_of_the_log(fates: Any) -> None:
    answer = fates.cli("show", row(fates, "raises")["trial_id"])
    assert "ValueError: the user's own mistake" in answer.out
    assert "end of outputs/trials/" in answer.out and "raise ValueError" in answer.out


def test_failures_stand_until_they_are_retried(fates: Any) -> None:
    before = sum(fates.attempts().values())
    again = fates.run("tiny", executor="inline")
    assert (again.code, sum(fates.attempts().values())) == (1, before)
    own = ("executor.timeout_s=1", "executor.slots=4")
    fates.run("tiny", *own, "--retry", executor="local")
    assert sum(fates.attempts().values()) == before + 7
    assert row(fates, "raises")["attempt"] == "2"


def test_a_diverged_trial_alone_is_a_result(project: Any) -> None:
    project.recipe(arms=arms("not_a_number"), claims=[])
    assert project.run("tiny").code == 0
    assert project.attempts() == {"done": 3, "diverged": 3}


def processes_in(folder: Path) -> set[int]:
    """Everything that runs in this folder or below."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.add(int(entry.name))
        except OSError:
            continue
    return {pid for pid in found if alive(pid)}


def pids(project: Any, name: str = "pid") -> list[int]:
    files = (project.folder / "outputs" / "trials").glob(str(Path("*", "work", name)))
    return [int(text) for file in files if (text := file.read_text())]


def test_no_child_outlives_the_orchestrator_by_a_second(
    project: Any, wait_until: Callable[..., None]
) -> None:
    project.recipe(arms=arms("sleeps", "busy_in_c", "grandchild"), seeds=1, claims=[])
    begun = project.start(
        "run", "tiny", "--recipes", "recipes", "--allow", "instant", "executor.slots=3"
    )
    wait_until(lambda: len(pids(project)) == 3 and pids(project, "helper"))
    for trial_id, seed_config in project.sql("SELECT trial_id, config FROM trials"):
        if '"fate": "sleeps"' in seed_config:
            work = project.folder / "outputs/trials" / trial_id / "work/pid"
            os.kill(int(work.read_text()), signal.SIGSTOP)
    everything = {*pids(project), *pids(project, "helper")}
    assert len(everything) == 4 and all(map(alive, everything))
    os.kill(begun.pid, signal.SIGKILL)
    begun.communicate()
    wait_until(lambda: not any(map(alive, everything)), seconds=1.0)
    wait_until(lambda: not processes_in(project.folder), seconds=5.0)  # the fork server too


def test_no_grandchild_outlives_its_trial(fates: Any) -> None:
    (helper,) = pids(fates, "helper")
    assert not alive(helper)


def done(project: Any) -> int:
    try:
        return int(project.attempts().get("done", 0))
    except Exception:  # noqa: BLE001 - the store is not there yet
        return 0


def test_after_kill_9_the_same_command_finishes_and_repeats_no_finished_trial(
    project: Any, wait_until: Callable[..., None]
) -> None:
    words = ("run", "tiny", "--recipes", "recipes", "--allow", "instant", "executor.slots=2")
    project.recipe(
        baseline={"task._target_": "instant.train", "optim.lr": 0.1, "task.seconds": 0.2}
    )
    begun = project.start(*words)
    wait_until(lambda: done(project) >= 3)
    os.kill(begun.pid, signal.SIGKILL)
    begun.communicate()
    before = {t for (t,) in project.sql("SELECT trial_id FROM trials WHERE status = 'done'")}
    running = {t for (t,) in project.sql("SELECT trial_id FROM trials WHERE status = 'running'")}
    assert 3 <= len(before) < 9 and running
    assert project.cli(*words).code == 0
    attempts = project.sql("SELECT trial_id, attempt, status FROM attempts")
    assert {t for t, n, _ in attempts if n > 1} == running
    assert {(n, status) for t, n, status in attempts if t in running} == {
        (1, "cancelled"),
        (2, "done"),
    }
    assert {(n, status) for t, n, status in attempts if t in before} == {(1, "done")}
    assert project.attempts() == {"done": 9, "cancelled": len(running)}
    assert {r["verdict"] for r in project.table("reproduction.csv")} == {
        "reproduced",
        "contradicted",
    }


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_an_interrupt_lets_what_runs_end_and_the_same_command_goes_on(
    project: Any, wait_until: Callable[..., None], executor: str
) -> None:
    words = ("run", "tiny", "--recipes", "recipes", "--allow", "instant", f"executor={executor}")
    project.recipe(baseline={"task._target_": "instant.train", "task.seconds": 0.3}, seeds=2)
    begun = project.start(*words, "executor.slots=1")
    wait_until(lambda: done(project) >= 1)
    before = done(project)
    os.killpg(begun.pid, signal.SIGINT)  # as a terminal sends it: to the whole group
    out, err = begun.communicate(timeout=20)
    assert begun.returncode == 130, err
    assert "Interrupted: what ran has ended; the same command goes on from here." in out
    if executor == "local":  # inline, nothing is said while a trial has the process
        assert "Interrupted: waiting for 1 running trials; once more stops them now." in out
    assert before <= done(project) <= before + 2 < 6
    assert "failed" not in project.attempts() and "crashed" not in project.attempts()
    assert len(project.table("tiny/trials.csv")) == 6
    assert project.run("tiny").code == 0
    assert project.attempts()["done"] == 6


def test_one_sweep_at_a_time_and_its_second_interrupt_stops_it_at_once(
    project: Any, wait_until: Callable[..., None]
) -> None:
    project.recipe(arms=arms("sleeps"), seeds=1, claims=[])
    begun = project.start(
        "run", "tiny", "--recipes", "recipes", "--allow", "instant", "executor.slots=1"
    )
    wait_until(lambda: pids(project))
    second = project.run("tiny")
    assert second.code == 2
    assert f"another sweep (process {begun.pid}) is writing to outputs: wait for it" in second.err
    assert ["tiny", "2", "1", "0", "0", "1", "0", "0"] in [
        line.split() for line in project.cli("status").out.splitlines()
    ]  # reading goes on beside it
    os.kill(begun.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        begun.communicate(timeout=0.5)
    os.kill(begun.pid, signal.SIGINT)
    _, err = begun.communicate(timeout=10)
    assert (begun.returncode, err) == (130, "")
    assert project.attempts() == {"done": 1, "cancelled": 1}
    assert not any(map(alive, pids(project)))


def test_files_of_the_user_hide_no_library(project: Any) -> None:
    for name in ("grp", "random", "json", "typing", "numpy", "torch", "yaml"):
        project.write(f"{name}.py", "raise RuntimeError('this file was imported')\n")
    script = str(Path(sys.executable).with_name("sweeper"))
    words = ("run", "tiny", "--recipes", "recipes", "--allow", "instant", "seeds=1")
    ended = subprocess.run(
        [script, *words], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended


def test_files_of_the_user_hide_no_library_of_python_m(project: Any) -> None:
    for name in ("grp", "random"):
        project.write(f"{name}.py", "raise RuntimeError('this file was imported')\n")
    assert project.run("tiny", "seeds=1").code == 0
