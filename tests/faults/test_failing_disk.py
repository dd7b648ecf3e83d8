"""Every write, fsync, rename … of a sweep made to fail once: one message or none, nothing lost."""

import csv
import errno
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from sweeper.folders import Outputs
from sweeper.records import Reader

TRIALS = 6
TABLE = Path("outputs/tiny/trials.csv")


def chosen(operations: list[str]) -> list[int]:
    """Of equal operations in a row the first and the last; of the trials' the first trial's."""
    found: list[int] = []
    seen: set[str] = set()
    for what, group in groupby(enumerate(operations, 1), key=lambda at: kind(at[1])):
        numbers = [number for number, _ in group]
        if "/trials/" not in operations[numbers[0] - 1] or what not in seen:
            found += sorted({numbers[0], numbers[-1]})
        seen.add(what)
    return found


def kind(operation: str) -> str:
    """What is done to which file, whichever trial's or temporary one it is."""
    what, _, path = operation.partition(" ")
    if path.startswith("/trials/"):
        return f"{what} {'/'.join(path.split('/')[3:])}"
    return f"{what} {path.rpartition('.')[0] if '/.' in path else path}"


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def answered(folder: Path) -> dict[str, int]:
    """The attempts at each trial that is done."""
    outputs = Outputs(folder / "outputs")
    with Reader(outputs) as reader:
        done = [t for t, status in reader.statuses().items() if status == "done"]
        return {trial_id: len(reader.attempts(trial_id)) for trial_id in done}


def expect_one_message_or_none(run: Any) -> None:
    assert run.code in (0, 2), (run.code, run.err, run.out)
    assert run.err.count("\n") == (run.code == 2), run.err
    for word in ("Traceback", "locked", "malformed", "answered:"):
        assert word not in run.err, run.err
    if run.code == 2:
        assert run.err.startswith("sweeper: "), run.err


def expect_whole_tables(folder: Path) -> None:
    for table in (folder / "outputs/tiny").glob("[!.]*.csv"):
        assert table.read_bytes().endswith(b"\n")
    if (folder / TABLE).exists():
        assert [row["status"] for row in rows(folder / TABLE)] == ["done"] * TRIALS


def expect_all_done(warm: Any, folder: Path, told: list[str]) -> None:
    """The same command again brings what is missing, and only that."""
    again = warm.run(folder)
    assert (again.code, again.err) == (0, "")
    attempts = answered(folder)
    assert len(attempts) == TRIALS
    assert {attempts[trial_id] for trial_id in told} <= {1}
    assert [row["status"] for row in rows(folder / TABLE)] == ["done"] * TRIALS


def test_any_operation_of_a_disk_may_fail_once(warm: Any, tmp_path: Path) -> None:
    """Of EIO and ENOSPC each is had by every second operation."""
    (tmp_path / "sound").mkdir()
    operations = warm.run(tmp_path / "sound").operations
    numbers = chosen(operations)
    kinds = {operations[number - 1].split()[0] for number in numbers}
    assert kinds >= {
        "create", "mkdir", "write", "pwrite64", "fdatasync", "ftruncate64", "rename", "unlink",
    }  # fmt: skip
    ended = set()
    for number in numbers:
        folder = tmp_path / f"{number}"
        folder.mkdir()
        run = warm.run(folder, number, (errno.EIO, errno.ENOSPC)[number % 2])
        expect_one_message_or_none(run)
        expect_whole_tables(folder)
        expect_all_done(warm, folder, run.told)
        ended.add((run.code, len(run.told)))
    assert ended >= {(0, TRIALS), (2, 0), (2, TRIALS)}  # absorbed, at the start, at the tables


def test_a_table_that_cannot_be_renamed_leaves_the_one_before(warm: Any, tmp_path: Path) -> None:
    (tmp_path / "sound").mkdir()
    assert warm.run(tmp_path / "sound", more=["seeds=1"]).code == 0
    before = (tmp_path / "sound" / TABLE).read_bytes()
    for word in ("create /tiny/.trials", "write /tiny/.trials", "rename /tiny/trials"):
        folder = shutil.copytree(tmp_path / "sound", tmp_path / word.replace("/", ""))
        run = warm.run(folder, 1, errno.ENOSPC, only=word)
        assert (run.code, run.err) == (
            2,
            f"sweeper: cannot write {folder / TABLE} (No space left on device): make room, or go "
            "on in a copy of the results on another disk, with --outputs DIR; nothing that was "
            "recorded is lost.\n",
        )
        assert (folder / TABLE).read_bytes() == before
        assert [p.name for p in (folder / "outputs/tiny").iterdir() if p.name[0] == "."] == []
        expect_all_done(warm, folder, run.told)


def test_a_users_code_that_finds_no_room_is_not_at_fault(here: Any, project: Any) -> None:
    project.write(
        "instant.py",
        "import errno\n\n\ndef train(config, *, seed, device, report, workdir):\n"
        "    raise OSError(errno.ENOSPC, 'No space left on device', 'weights.pt')\n",
    )
    own = ("--recipes", "recipes", "--allow", "instant", "executor=inline")
    answer = here("run", "tiny", *own)
    assert answer.code == 2
    (line,) = [line for line in answer.err.splitlines() if line.startswith("sweeper: ")]
    assert line == (
        "sweeper: recipe tiny: arm 'baseline': OSError: [Errno 28] No space left on device: "
        "'weights.pt': make room and run the same command again."
    )
    assert set(project.attempts()) == {"cancelled"}  # the trials wait
