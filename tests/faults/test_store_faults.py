"""A store cut short at any byte, read by many while it is written, no longer than need be."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sweeper import store as store_module
from sweeper.errors import RequestError
from sweeper.folders import Outputs
from sweeper.records import Reader
from sweeper.store import Store
from sweeper.trial import Ending, Trial

FRAME_HEADER, PAGE = 24, 4096  # SQLite's log is a row of pages, each with a header

# Each ending is told on standard output once its turn is over: from then on it must not be lost.
KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from sweeper.folders import Outputs
from sweeper.store import Store
from sweeper.trial import Ending, Trial
outputs = Outputs(Path(sys.argv[1]))
empty = sqlite3.connect(outputs.store)
empty.executescript(f"PRAGMA page_size = {sys.argv[2]}; VACUUM")
empty.close()
with Store(outputs) as store:
    with store.turn():
        store.add_trials([Trial(f"{n:016x}", 0, {}) for n in range(12)])
    for n in range(12):
        with store.turn():
            trial = f"{n:016x}"
            store.end(trial, store.start(trial), "cpu", Ending("done", {"loss": n}), again=False)
        print(os.path.getsize(f"{outputs.store}-wal"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(folder: Path, page: int = PAGE) -> tuple[Outputs, list[int]]:
    """The store of a writer that was killed, and the length of its log after each result."""
    folder.mkdir()
    run = [sys.executable, "-c", KILLED, str(folder), str(page)]
    ended = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == -9
    lengths = [int(length) for length in ended.stdout.split()]
    outputs = Outputs(folder)
    assert len(lengths) == 12 and lengths[-1] == log_of(outputs).stat().st_size
    assert lengths[-1] % (FRAME_HEADER + page) == 32  # the log's own header
    return outputs, lengths


def log_of(outputs: Outputs) -> Path:
    return Path(f"{outputs.store}-wal")


def results(reader: Reader) -> int:
    """How many trials are done; those before the last of them all are, each with its value."""
    done = [t for t, status in sorted(reader.statuses().items()) if status == "done"]
    assert done == [f"{n:016x}" for n in range(len(done))]
    assert [dict(a.ending.metrics) for a in reader.answers(done)] == [
        {"loss": n} for n in range(len(done))
    ]
    assert reader._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return len(done)


def test_a_log_cut_at_any_byte_of_its_last_two_records_loses_what_was_cut_alone(
    tmp_path: Path,
) -> None:
    cut, lengths = killed(tmp_path / "killed", page=512)  # small pages, so that every byte has time
    assert lengths[-1] - lengths[-3] > 4 * 512
    for length in range(lengths[-1], lengths[-3] - 1, -1):  # each cut is a cut of the one before
        os.truncate(log_of(cut), length)
        Path(f"{cut.store}-shm").unlink(missing_ok=True)  # after a power cut there is none
        with Reader(cut) as reader:
            assert results(reader) == sum(end <= length for end in lengths)


def test_a_writer_opens_a_log_that_was_cut_and_goes_on(
    tmp_path: Path,
) -> None:
    cut, lengths = killed(tmp_path / "killed")
    boundaries = range(lengths[-3], lengths[-1], FRAME_HEADER + PAGE)
    at = {b + d for b in boundaries for d in (-1, 0, 1, 24)} | set(
        range(lengths[-3], lengths[-1], 331)
    )
    for length in sorted(at):
        outputs = Outputs(tmp_path / f"{length}")
        shutil.copytree(cut.root, outputs.root)
        os.truncate(log_of(outputs), length)
        with Store(outputs) as store:
            kept = results(store)
            assert kept == sum(end <= length for end in lengths)
            with store.turn():
                trial = f"{kept:016x}"
                ending = Ending("done", {"loss": kept})
                store.end(trial, store.start(trial), "cpu", ending, again=False)
        with Reader(outputs) as reader:
            assert results(reader) == kept + 1
        shutil.rmtree(outputs.root)


@pytest.mark.parametrize("seed", range(3))
def test_a_log_whose_last_record_was_scrambled_keeps_the_others(tmp_path: Path, seed: int) -> None:
    cut, lengths = killed(tmp_path / "killed")
    whole, chance = log_of(cut).read_bytes(), random.Random(seed)
    for _ in range(100):
        damaged = bytearray(whole)
        at = chance.randrange(lengths[-2] + 8, lengths[-1])
        damaged[at] ^= 1 << chance.randrange(8)
        log_of(cut).write_bytes(damaged)
        Path(f"{cut.store}-shm").unlink(missing_ok=True)
        with Reader(cut) as reader:
            assert results(reader) == len(lengths) - 1
    log_of(cut).write_bytes(whole + chance.randbytes(3 * PAGE))
    Path(f"{cut.store}-shm").unlink()
    with Reader(cut) as reader:
        assert results(reader) == len(lengths)


READ = """
import json, sys
from pathlib import Path
from sweeper.folders import Outputs
from sweeper.records import Reader
outputs, over = Outputs(Path(sys.argv[1])), Path(sys.argv[2])
reads, last, wrong = 0, 0, []
while not over.exists() and not wrong:
    try:
        with Reader(outputs) as reader:
            done = list(reader.statuses().values()).count("done")
    except Exception as error:
        if reads or "holds no results yet" not in str(error):
            wrong.append(repr(error))
        continue
    if done < last:
        wrong.append(f"{last} results became {done}")
    reads, last = reads + 1, done
print(json.dumps([reads, last, wrong]))
"""
COMMITS, READERS, CLOSED_EVERY = 5000, 8, 50


@pytest.fixture
def readers(tmp_path: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    """Eight processes that open, read and close the store, over and over."""
    read = [sys.executable, "-c", READ, str(tmp_path / "outputs"), str(tmp_path / "over")]
    started = [subprocess.Popen(read, stdout=subprocess.PIPE, text=True) for _ in range(READERS)]
    yield started
    for reader in started:
        reader.kill()
        reader.communicate()


def test_eight_readers_meet_no_error_while_a_writer_comes_and_goes(
    readers: "list[subprocess.Popen[str]]", tmp_path: Path
) -> None:
    outputs, longest = Outputs(tmp_path / "outputs"), 0
    for first in range(0, COMMITS, CLOSED_EVERY):
        trials = [f"{n:016x}" for n in range(first, first + CLOSED_EVERY)]
        with Store(outputs) as store:
            with store.turn():
                store.add_trials(Trial(trial_id, 0, {}) for trial_id in trials)
            for trial_id in trials:
                with store.turn():
                    attempt = store.start(trial_id)
                    store.end(trial_id, attempt, "cpu", Ending("done"), again=False)
            longest = max(longest, log_of(outputs).stat().st_size)
    (tmp_path / "over").touch()
    for reader in readers:
        out, _ = reader.communicate(timeout=60)
        reads, last, wrong = json.loads(out)
        assert wrong == []
        assert reads > 20 and last > 0
    assert longest < 64 << 20
    with Reader(outputs) as reader:
        assert list(reader.statuses().values()) == ["done"] * COMMITS


def written(store: Store, turns: int) -> int:
    """Write so many turns; the length of the log then."""
    for _ in range(turns):
        with store.turn():
            store.add_trials([Trial(f"{time.monotonic_ns():016x}", 0, {"x": "y" * 4000})])
    return log_of(store.outputs).stat().st_size


def test_the_log_begins_anew_once_the_reader_that_kept_it_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_LOG_BYTES", 200_000)
    outputs = Outputs(tmp_path / "outputs")
    with Store(outputs) as store:
        store._db.execute("PRAGMA wal_autocheckpoint = 0")  # as if readers always overlapped
        assert written(store, 20) < 200_000
        with Reader(outputs) as reader:
            reader._db.execute("BEGIN")
            before = reader.statuses()
            began = time.monotonic()
            kept = written(store, 40)
            assert kept > 400_000  # it cannot be shortened under the reader's feet
            assert time.monotonic() - began < 20  # and the sweep waits for no reader
            assert reader.statuses() == before
        assert written(store, 40) < kept
        assert len(store.statuses()) == 100


def test_a_read_leaves_no_transaction_open_that_would_keep_the_log(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "outputs")
    with Store(outputs) as store:
        with store.turn():
            store.add_trials([Trial(f"{n:016x}", 0, {}) for n in range(50)])
            for n in range(50):
                trial = f"{n:016x}"
                store.end(trial, store.start(trial), "cpu", Ending("done"), again=False)
        with Reader(outputs) as reader:
            answers = reader.answers(reader.statuses())
            next(iter(answers))  # the rest is asked for later
            reader.durations(), reader.plan_names(), reader.find_trials("0"), reader.turns("none")
            with store.turn():
                store.add_trials([Trial("new", 0, {})])
            (is_busy, *_) = store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert is_busy == 0
            assert len(list(answers)) == 49


def test_a_store_that_has_only_been_created_holds_no_results_yet(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path)
    for make in (outputs.store.touch, lambda: sqlite3.connect(outputs.store).close()):
        make()
        with pytest.raises(RequestError, match="holds no results yet: start with `sweeper run"):
            Reader(outputs)
    with closing(sqlite3.connect(outputs.store)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(RequestError, match="holds no results yet: start with `sweeper run"):
        Reader(outputs)


def test_another_program_that_keeps_the_store_to_itself_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = Outputs(tmp_path / "outputs")
    with Store(outputs) as store, closing(sqlite3.connect(outputs.store)) as other:
        other.execute("BEGIN IMMEDIATE")
        store._db.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(RequestError, match=r"another program keeps .* close it and run"):
            store.cancel_running()
        other.rollback()
        assert store.cancel_running() == 0
