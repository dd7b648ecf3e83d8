"""A sweep seen and stopped from another terminal, and its log."""

import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sweeper.store_file import lock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux sends them")

RUN = ("run", "tiny", "--recipes", "recipes", "--allow", "instant")


@pytest.fixture
def running(project: Any, wait_until: Callable[..., None]) -> Any:
    """A sweep of two trials, of which one is done and one sleeps; project.begun is its process."""
    arms = [{"name": "sleeps", "set": {"task.fate": "sleeps"}}]
    project.recipe(arms=arms, seeds=1, claims=[])
    project.begun = project.start(*RUN, "executor.devices=[cpu]", "executor.slots=1")
    wait_until(lambda: statuses(project) == ["done", "running"])
    return project


def statuses(project: Any) -> list[str]:
    try:
        return sorted(status for (status,) in project.sql("SELECT status FROM trials"))
    except Exception:  # noqa: BLE001 - the store is not there yet
        return []


def test_status_tells_what_runs_where_and_since_when(running: Any) -> None:
    answer = running.cli("status")
    assert answer.code == 0
    lines = [line.split() for line in answer.out.splitlines()]
    assert " ".join(lines[0]) == "plan trials done diverged skipped running waiting failed"
    assert lines[1] == ["tiny", "2", "1", "0", "0", "1", "0", "0"]
    host = socket.gethostname()
    assert f"Process {running.begun.pid} on {host} is running these:" in answer.out
    assert re.search(r"^ [0-9a-f]{16} +tiny +sleeps +0 +1 +0:00:\d\d *$", answer.out, re.MULTILINE)


def test_status_is_watched_until_the_sweep_ends(
    running: Any, wait_until: Callable[..., None]
) -> None:
    watching = running.start("status", "--watch")
    with pytest.raises(Exception, match="timed out"):
        watching.communicate(timeout=3)
    os.kill(running.begun.pid, signal.SIGKILL)
    running.begun.communicate()
    out, err = watching.communicate(timeout=20)
    assert (watching.returncode, err) == (0, "")
    assert "No sweep is running." in out
    assert ["tiny", "2", "1", "0", "0", "0", "1", "0"] in [x.split() for x in out.splitlines()]


def test_cancel_lets_what_runs_end(project: Any, wait_until: Callable[..., None]) -> None:
    baseline = {"task._target_": "instant.train", "optim.lr": 0.1, "task.seconds": 2}
    project.recipe(baseline=baseline, seeds=2)
    begun = project.start(*RUN, "executor.devices=[cpu]", "executor.slots=1")
    wait_until(lambda: "running" in statuses(project))
    answer = project.cli("cancel")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        f"process {begun.pid} ends once what runs has ended; --now does not wait for that.\n"
    )
    _, err = begun.communicate(timeout=30)
    assert (begun.returncode, err) == (130, "")
    assert project.attempts().keys() == {"done"} and project.attempts()["done"] < 6


def test_cancel_now_stops_what_runs_and_loses_nothing(running: Any) -> None:
    answer = running.cli("cancel", "--now")
    assert answer.code == 0 and "stops now" in answer.out
    _, err = running.begun.communicate(timeout=20)
    assert (running.begun.returncode, err) == (130, "")
    assert running.attempts() == {"done": 1, "cancelled": 1}
    assert statuses(running) == ["done", "waiting"]


def test_with_no_sweep_there_is_nothing_to_cancel(project: Any, here: Callable[..., Any]) -> None:
    nothing = "sweeper: no sweep is writing to outputs: there is nothing to cancel.\n"
    assert (here("cancel").code, here("cancel").err) == (2, nothing)
    assert not (project.folder / "outputs").exists()
    here(*RUN, "executor=inline")
    assert (here("cancel", "--now").code, here("cancel").err) == (2, nothing)


def test_a_sweep_of_another_host_is_cancelled_there(project: Any, here: Callable[..., Any]) -> None:
    from sweeper.folders import Outputs

    outputs = Outputs(project.folder / "outputs")
    held = lock(outputs)
    outputs.lock.write_text("77 elsewhere\n")
    assert here("cancel").err == (
        "sweeper: the sweep that writes to outputs runs on elsewhere as process 77: cancel it "
        "there.\n"
    )
    assert here(*RUN).err.startswith(
        "sweeper: another sweep (process 77 on elsewhere) is writing to outputs: wait for it, stop "
        "it (`sweeper cancel`), or choose another folder with --outputs DIR."
    )
    os.close(held)


def test_the_log_tells_each_start_and_each_end(project: Any) -> None:
    arms = [{"name": f, "set": {"task.fate": f}} for f in ("raises", "kills_itself")]
    project.recipe(arms=arms, seeds=1, claims=[])
    project.run("tiny", "executor.slots=1", "executor.devices=[cpu]", executor="local")
    lines = (project.folder / "outputs/sweeper.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    said = [re.sub(r"[0-9a-f]{16}", "ID", line[20:]) for line in lines]
    said = [re.sub(r"\([\d.e-]+ s on", "(S on", line) for line in said]
    assert said == [
        "tiny: 3 arms, 3 trials, 0 done already",
        "trial ID (baseline, seed 0): attempt 1 starts",
        "trial ID (baseline, seed 0): done (S on cpu; 1 of 3 trials)",
        "trial ID (raises, seed 0): attempt 1 starts",
        "trial ID (raises, seed 0): failed: ValueError: the user's own mistake (S on cpu; 2 of 3 "
        "trials)",
        "trial ID (kills_itself, seed 0): attempt 1 starts",
        "trial ID (kills_itself, seed 0): crashed, tried once more: killed by signal SIGKILL (S on "
        "cpu; 2 of 3 trials)",
        "trial ID (kills_itself, seed 0): attempt 2 starts",
        "trial ID (kills_itself, seed 0): crashed: killed by signal SIGKILL (S on cpu; 3 of 3 "
        "trials)",
        "tiny: every trial is answered",
        "ended",
    ]
