"""Results on a disk that fills up, and on one that may only be read."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sweeper.folders import Outputs
from sweeper.records import Reader

# Each trial reports a curve that no compression shortens, and prints a good deal.
WORDY = """
import random


def train(config, *, seed, device, report, workdir):
    noise = random.Random(seed)
    for step in range(300):
        report(step, train_loss=noise.random())
    print("\\n".join(str(noise.random()) for _ in range(1000)))
    return {"train_loss": config.optim.lr}
"""


@pytest.fixture
def wordy(project: Any) -> Any:
    project.write("instant.py", WORDY)
    project.recipe(claims=[])
    return project


def done(outputs: Outputs) -> dict[str, int]:
    """The attempts at each trial that is done."""
    with Reader(outputs) as reader:
        found = [t for t, status in reader.statuses().items() if status == "done"]
        return {trial_id: len(reader.attempts(trial_id)) for trial_id in found}


def filled(begun: Any, disk: Any) -> tuple[str, float]:
    """What a sweep says on stderr until it ends, and for how long the disk was full by then."""
    full_since: list[float] = []

    def watch() -> None:
        while begun.poll() is None and not full_since:
            if disk.free < 16 << 10:
                full_since.append(time.monotonic())
            time.sleep(0.01)

    watching = threading.Thread(target=watch)
    watching.start()
    _, err = begun.communicate(timeout=90)
    watching.join()
    return err, time.monotonic() - full_since[0] if full_since else 0.0


@pytest.mark.parametrize("executor, size, seeds", [("inline", "3m", 400), ("local", "1m", 20)])
def test_a_full_disk_is_one_message_and_nothing_recorded_is_lost(
    wordy: Any, make_disk: Callable[[str], Any], executor: str, size: str, seeds: int
) -> None:
    disk = make_disk(size)
    outputs = Outputs(disk.folder / "outputs")
    words = ("tiny", f"seeds={seeds}", "--outputs", str(outputs.root), "--recipes", "recipes")
    own = ("--allow", "instant", f"executor={executor}")
    begun = wordy.start("run", *words, *own)
    err, was_full_s = filled(begun, disk)
    assert begun.returncode == 2, err
    assert was_full_s < 30  # it does not wait for room
    (said,) = [line for line in err.splitlines() if line.startswith("sweeper: ")]
    assert "make room" in said
    before = done(outputs)
    assert 0 < len(before) < 3 * seeds
    disk.change("size=64m")
    again = wordy.cli("run", *words, *own)
    assert (again.code, again.err) == (0, "")
    after = done(outputs)
    assert len(after) == 3 * seeds
    assert {trial_id: after[trial_id] for trial_id in before} == before  # none ran twice
    assert len(wordy.table("tiny/trials.csv", str(outputs.root))) == 3 * seeds


def test_a_log_without_room_loses_lines_and_ends_nothing(make_disk: Callable[[str], Any]) -> None:
    log = make_disk("8k").folder / "log-1.txt"
    run = (
        "import os, sys; from pathlib import Path; from sweeper.executors.log import log_to\n"
        "log_to(Path(sys.argv[1])); print('first'); print('x' * 100_000); print('last')\n"
        "sys.stdout.flush(); os._exit(7)"
    )
    for path in (log, log.parent / "not there" / "log-1.txt"):
        ended = subprocess.run([sys.executable, "-c", run, path], capture_output=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"", b"")
    assert log.read_text().startswith("first\nxxx") and log.stat().st_size == 8192


@pytest.fixture(scope="module")
def swept(make_project: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder in which the tiny recipe has been run; tests copy it."""
    project = make_project(tmp_path_factory.mktemp("swept"))
    assert project.run("tiny").code == 0
    return project


KILLED = """
import os, signal, sys
from pathlib import Path
from sweeper.folders import Outputs
from sweeper.store import Store
from sweeper.trial import Trial
with Store(Outputs(Path(sys.argv[1]))) as store:
    with store.turn():
        store.add_trials([Trial("feedfeedfeedfeed", 0, {"task": {"_target_": "late"}})])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["closed", "killed", "killed, without -shm"])
def read_only(
    swept: Any, make_disk: Callable[[str], Any], request: pytest.FixtureRequest
) -> tuple[Path, bool]:
    """Results on a read-only disk, as they are left behind; and if there is a result in the log."""
    disk = make_disk("8m")
    outputs = Outputs(disk.folder / "outputs")
    shutil.copytree(swept.folder / "outputs", outputs.root)
    if was_killed := request.param != "closed":
        kill = [sys.executable, "-c", KILLED, str(outputs.root)]
        assert subprocess.run(kill, check=False).returncode == -9
        assert Path(f"{outputs.store}-wal").stat().st_size > 0
    if request.param == "killed, without -shm":
        Path(f"{outputs.store}-shm").unlink()
    disk.change("ro")
    return outputs.root, was_killed


def test_results_on_a_read_only_disk_are_shown_whole(
    here: Callable[..., Any], read_only: tuple[Path, bool]
) -> None:
    root, was_killed = read_only
    before = sorted(path.name for path in root.iterdir())
    answer = here("status", "--outputs", str(root))
    assert (answer.code, answer.err) == (0, "")
    (row,) = [line.split() for line in answer.out.splitlines() if line.startswith(" tiny")]
    assert row[:3] == ["tiny", "9", "9"]
    latest = here("show", "feedfeed", "--outputs", str(root))
    assert (latest.code == 0) == was_killed
    assert ("late" in latest.out) == was_killed
    assert sorted(path.name for path in root.iterdir()) == before


def test_a_read_only_disk_is_named_to_who_would_write_to_it(
    here: Callable[..., Any], project: Any, read_only: tuple[Path, bool]
) -> None:
    root, _ = read_only
    compare = here("compare", "--outputs", str(root))
    assert (compare.code, compare.err) == (
        2,
        f"sweeper: cannot write {root / 'tiny' / 'trials.csv'} (Read-only file system): mend that, "
        "or go on in a copy of the results on another disk, with --outputs DIR; nothing that was "
        "recorded is lost.\n",
    )
    run = here(
        "run", "tiny", "--recipes", "recipes", "--allow", "instant", "--outputs", str(root)
    )  # fmt: skip
    assert (run.code, run.err) == (
        2,
        f"sweeper: cannot write to {root} (Read-only file system): choose another with --outputs "
        "DIR.\n",
    )


# All is imported while the interpreter's own files may still be read.
AS_NOBODY = """
import os, sys
from sweeper.cli import _guarded
own, foreign = sys.argv[1:]
assert _guarded(["status", "--outputs", own]) == _guarded(["show", "x", "--outputs", own]) - 2 == 0
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.stderr.write("now ")
for words in (["status"], ["show", "feed"]):
    assert _guarded([*words, "--outputs", foreign]) == 0
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root becomes another")
def test_results_in_a_folder_of_somebody_else_are_shown(swept: Any) -> None:
    with TemporaryDirectory() as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        outputs = Outputs(Path(folder) / "outputs")
        shutil.copytree(swept.folder / "outputs", outputs.root)
        kill = [sys.executable, "-c", KILLED, str(outputs.root)]
        assert subprocess.run(kill, check=False).returncode == -9
        for path in (outputs.root, *outputs.root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        run = [sys.executable, "-c", AS_NOBODY, swept.folder / "outputs", outputs.root]
        ended = subprocess.run(run, capture_output=True, text=True, check=False)
        said = ended.stderr.rpartition("now ")[2]
        assert (ended.returncode, said) == (0, "")
        assert "late" in ended.stdout  # what the log alone holds
