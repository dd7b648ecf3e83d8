"""What the durable store promises, on a real SQLite file with real processes beside it."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sweeper.errors import RequestError
from sweeper.folders import Outputs
from sweeper.plan import Cell, Plan, PlannedArm
from sweeper.records import Read, Reader
from sweeper.store import Store
from sweeper.trial import Ending, Trial

TRIAL = Trial("0123456789abcdef", 3, {"optim": {"lr": 0.1}})
OTHER = Trial("fedcba9876543210", 4, {"optim": {"lr": 0.2}})
DONE = Ending(
    "done", {"loss": 0.1 + 0.2}, {"step": [0, 1], "loss": [1.0, None]}, "", 1.5, {"python": "3.11"}
)
RECIPE = {"question": "?", "seeds": [0], "metrics": {"loss": {}}}
PLAN = Plan(
    "tiny", "tiny", RECIPE, (PlannedArm("baseline", None, {}),), (Cell("baseline", 0, "a"),)
)


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "outputs")


@pytest.fixture
def store(outputs: Outputs) -> Iterator[Store]:
    with Store(outputs) as opened:
        with opened.turn():
            opened.add_trials([TRIAL, OTHER])
        yield opened


def test_an_ending_is_read_back_as_it_was_written(store: Store) -> None:
    with store.turn():
        attempt = store.start(TRIAL.trial_id)
        store.end(TRIAL.trial_id, attempt, "cpu", DONE, again=False)
    with Reader(store.outputs) as reader:
        found = reader.answer(TRIAL.trial_id)
        assert found is not None and found.ending == DONE
        assert (found.attempt, found.device, found.status) == (1, "cpu", "done")
        assert reader.trial(TRIAL.trial_id) == (TRIAL, "done")
        assert reader.statuses() == {TRIAL.trial_id: "done", OTHER.trial_id: "waiting"}
        assert reader.durations() == {TRIAL.trial_id: 1.5}
        assert [a.trial_id for a in reader.answers([TRIAL.trial_id, OTHER.trial_id])] == [
            TRIAL.trial_id
        ]


def test_what_an_answer_ran_with_is_read_back(store: Store) -> None:
    ran = replace(DONE, sources={"net.py": "0a"}, data={"photos": "0b"})
    with store.turn():
        for trial, ending in ((TRIAL, ran), (OTHER, DONE)):
            store.end(trial.trial_id, store.start(trial.trial_id), "cpu", ending, again=False)
        store.keep(TRIAL.trial_id, 1, "0c")
    with Reader(store.outputs) as reader:
        found = {p.trial_id: p for p in reader.provenances()}
        assert found[OTHER.trial_id].fingerprint is None
        first = found[TRIAL.trial_id]
        assert (first.attempt, first.kept, first.versions) == (1, "0c", '{"python": "3.11"}')
        content = reader.content(first.fingerprint or "")
        assert content == {"sources": {"net.py": "0a"}, "data": {"photos": "0b"}}


def test_what_was_read_counts_over_the_attempts_that_may_have_left_something(store: Store) -> None:
    def ends(trial: Trial, *endings: Ending) -> None:
        for ending in endings:
            attempt = store.start(trial.trial_id)
            again = ending.status in ("preempted", "crashed")
            store.end(trial.trial_id, attempt, "cpu", ending, again=again)

    a, b, c = (replace(DONE, read=[key]) for key in ("a.x", "b.x", "c.x"))
    killed = Ending("crashed", is_chance=True)
    with store.turn():
        ends(TRIAL, a, replace(b, status="preempted"), c)  # the first was run again, from nothing
        ends(OTHER, killed, a)
    found = store.read_keys([TRIAL.trial_id, OTHER.trial_id, "0" * 16])
    assert found == {
        TRIAL.trial_id: Read(frozenset({"b.x", "c.x"}), is_whole=True),
        OTHER.trial_id: Read(frozenset({"a.x"}), is_whole=False),
    }
    store.forget([OTHER.trial_id])
    assert store.read_keys([OTHER.trial_id]) == {}


def test_a_turn_that_failed_writes_its_fingerprint_again(store: Store) -> None:
    ran = replace(DONE, sources={"net.py": "0a"})
    with pytest.raises(ZeroDivisionError), store.turn():
        store.end(TRIAL.trial_id, store.start(TRIAL.trial_id), "cpu", ran, again=False)
        raise ZeroDivisionError
    with store.turn():
        store.end(TRIAL.trial_id, store.start(TRIAL.trial_id), "cpu", ran, again=False)
    (found,) = store.provenances()
    assert store.content(found.fingerprint or "")["sources"] == {"net.py": "0a"}


def test_a_search_set_aside_twice_keeps_all_its_turns(store: Store) -> None:
    for number in (1, 2):
        with store.turn():
            store.add_turn("study", 0, {"ask": number})
            store.set_aside("study")
    assert store.turns("study") == []
    assert [store.turns(f"study before {n}") for n in (1, 2)] == [[{"ask": 1}], [{"ask": 2}]]


def test_nothing_of_a_turn_counts_before_its_end(store: Store) -> None:
    with Reader(store.outputs) as reader:
        with store.turn():
            store.start(TRIAL.trial_id)
            assert reader.attempts(TRIAL.trial_id) == []
        assert len(reader.attempts(TRIAL.trial_id)) == 1


def test_a_turn_that_raises_leaves_nothing_behind(store: Store) -> None:
    with pytest.raises(KeyError), store.turn():
        store.start(TRIAL.trial_id)
        store.save_plan(PLAN)
        raise KeyError("midway")
    assert store.attempts(TRIAL.trial_id) == []
    assert store.plan_names() == []
    with store.turn():  # the next one is as good as the first
        store.save_plan(PLAN)
    assert store.plan_names() == ["tiny"]


def test_a_plan_is_read_back_as_it_was_saved(store: Store) -> None:
    with store.turn():
        store.save_plan(PLAN)
    assert store.plan("tiny") == PLAN
    with pytest.raises(
        RequestError, match=r"'tny' was never run into .*outputs: its plans are tiny\.$"
    ):
        store.plan("tny")


def test_a_trial_that_is_asked_for_again_keeps_what_it_has(store: Store) -> None:
    with store.turn():
        store.end(TRIAL.trial_id, store.start(TRIAL.trial_id), "cpu", DONE, again=False)
        store.add_trials([TRIAL])
    assert store.statuses()[TRIAL.trial_id] == "done"


@pytest.mark.parametrize(
    "status, again, trial",
    [
        ("done", False, "done"),
        ("diverged", False, "diverged"),
        ("crashed", True, "waiting"),
        ("crashed", False, "crashed"),
        ("cancelled", False, "waiting"),
        ("preempted", False, "waiting"),
    ],
)
def test_only_a_final_ending_answers_its_trial(
    store: Store, status: str, again: bool, trial: str
) -> None:
    with store.turn():
        attempt = store.start(TRIAL.trial_id)
        store.end(TRIAL.trial_id, attempt, "cpu", Ending(status), again=again)
    assert store.statuses()[TRIAL.trial_id] == trial
    assert (store.answer(TRIAL.trial_id) is None) == (trial == "waiting")
    assert [a.status for a in store.attempts(TRIAL.trial_id)] == [status]


def test_attempts_count_from_one_also_after_the_store_was_closed(outputs: Outputs) -> None:
    for expected in (1, 2, 3):
        with Store(outputs) as store, store.turn():
            store.add_trials([TRIAL])
            assert store.start(TRIAL.trial_id) == expected


def test_what_an_orchestrator_left_running_is_cancelled_and_waits(outputs: Outputs) -> None:
    with Store(outputs) as store, store.turn():
        store.add_trials([TRIAL])
        store.start(TRIAL.trial_id)
    with Store(outputs) as store:
        assert store.cancel_running() == 1
        (attempt,) = store.attempts(TRIAL.trial_id)
        assert attempt.status == "cancelled"
        assert attempt.ending.error == "the orchestrator ended before this attempt did"
        assert store.statuses() == {TRIAL.trial_id: "waiting"}
        assert store.tally(TRIAL.trial_id, ("crashed", "lost")) == 0


def test_forgotten_trials_wait_and_their_attempts_stay(store: Store) -> None:
    with store.turn():
        store.end(TRIAL.trial_id, store.start(TRIAL.trial_id), "cpu", Ending("failed"), again=False)
        store.forget([TRIAL.trial_id])
    assert store.statuses()[TRIAL.trial_id] == "waiting" and store.answer(TRIAL.trial_id) is None
    assert [a.status for a in store.attempts(TRIAL.trial_id)] == ["failed"]


def test_the_turns_of_a_search_come_back_in_their_order(store: Store) -> None:
    with store.turn():
        for number in (0, 1, 10, 2):
            store.add_turn("study", number, {"ask": number})
    assert [turn["ask"] for turn in store.turns("study")] == [0, 1, 2, 10]
    assert store.turns("another") == []


def test_a_prefix_is_no_pattern(store: Store) -> None:
    assert store.find_trials("0123") == [TRIAL.trial_id]
    assert store.find_trials("") == [TRIAL.trial_id, OTHER.trial_id]
    assert store.find_trials("%") == store.find_trials("_") == []


def test_readers_never_fail_beside_a_writer(store: Store) -> None:
    failures: list[BaseException] = []
    counts: list[int] = []
    is_over = threading.Event()

    def read() -> None:
        try:
            while not is_over.is_set():
                with Reader(store.outputs) as reader:
                    counts.append(len(reader.attempts(TRIAL.trial_id)))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(100):
        with store.turn():
            store.start(TRIAL.trial_id)
    is_over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert len(counts) > 10 and max(counts) <= 100


def test_a_second_writer_is_refused_and_told_who_writes(store: Store) -> None:
    with pytest.raises(RequestError) as refused:
        Store(store.outputs)
    assert f"another sweep (process {os.getpid()}) is writing to {store.outputs.root}" in str(
        refused.value
    )
    assert str(refused.value).endswith(
        "wait for it, stop it (`sweeper cancel`), or choose another folder with --outputs DIR."
    )


HOLD = """
import sys, time
from pathlib import Path
from sweeper.folders import Outputs
from sweeper.store import Store
with Store(Outputs(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lock_dies_with_its_process(outputs: Outputs) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(outputs.root)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(RequestError, match=f"process {holder.pid}"):
            Store(outputs)
        holder.kill()
    with Store(outputs) as store:
        assert store.statuses() == {}


TORN = """
import os, signal, sys
from pathlib import Path
from sweeper.folders import Outputs
from sweeper.store import Store
from sweeper.trial import Trial
with Store(Outputs(Path(sys.argv[1]))) as store:
    with store.turn():
        store.add_trials([Trial("kept", 0, {})])
    with store.turn():
        store.add_trials([Trial("lost", 0, {})])
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_killed_within_a_turn_leaves_the_turns_before(outputs: Outputs) -> None:
    subprocess.run([sys.executable, "-c", TORN, str(outputs.root)], check=False)
    with Reader(outputs) as reader:
        assert reader.statuses() == {"kept": "waiting"}
    with Store(outputs) as store:
        assert store.statuses() == {"kept": "waiting"}


def edited(outputs: Outputs, statement: str) -> None:
    with closing(sqlite3.connect(outputs.store)) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize("open_", [Reader, Store])
def test_a_newer_schema_is_refused(outputs: Outputs, open_: Callable[[Outputs], object]) -> None:
    with Store(outputs):
        pass
    edited(outputs, "UPDATE meta SET value = '2' WHERE key = 'schema'")
    with pytest.raises(RequestError) as refused:
        open_(outputs)
    assert str(refused.value) == (
        f"{outputs.store} was written by a newer version of sweeper (store 2, this version reads "
        "1): upgrade sweeper, or choose another folder with --outputs DIR."
    )


@pytest.mark.parametrize("open_", [Reader, Store])
@pytest.mark.parametrize("content", [b"no store" * 999, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_refused_and_left_as_it_was(
    outputs: Outputs, open_: Callable[[Outputs], object], content: bytes
) -> None:
    outputs.root.mkdir()
    outputs.store.write_bytes(content)
    with pytest.raises(
        RequestError, match=r"is damaged or no store of sweeper \(.+\): move it away"
    ):
        open_(outputs)
    assert outputs.store.read_bytes() == content


def test_another_programs_database_is_refused(outputs: Outputs) -> None:
    outputs.root.mkdir()
    edited(outputs, "CREATE TABLE songs (title TEXT)")
    with pytest.raises(RequestError, match="is damaged or no store of sweeper"):
        Reader(outputs)


def test_a_folder_without_a_store_is_told_how_to_begin(outputs: Outputs) -> None:
    with pytest.raises(RequestError, match="holds no results yet: start with `sweeper run RECIPE`"):
        Reader(outputs)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused(outputs: Outputs) -> None:
    outputs.root.mkdir()
    outputs.root.chmod(0o500)
    with pytest.raises(RequestError, match=r"cannot write to .* \(Permission denied\)"):
        Store(outputs)


def test_a_full_disk_is_named_as_such(outputs: Outputs) -> None:
    with Store(outputs) as store:
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages + 1}")
        many = [Trial(f"{i:016x}", 0, {"x": "y" * 1000}) for i in range(100)]
        with pytest.raises(RequestError, match=r"the disk of .* is full: make room"), store.turn():
            store.add_trials(many)
        assert store.statuses() == {}


def test_a_page_found_damaged_while_reading_is_named_with_the_mend(outputs: Outputs) -> None:
    with Store(outputs) as store, store.turn():
        store.add_trials(Trial(f"{i:016x}", 0, {"x": "y" * 1000}) for i in range(300))
    whole = outputs.store.read_bytes()
    outputs.store.write_bytes(whole[: 8 * 4096] + b"\xa5" * (len(whole) - 8 * 4096))
    with pytest.raises(RequestError, match=r"is damaged .*: move it away"), Reader(outputs) as read:
        read.statuses()


def test_a_page_found_damaged_when_a_sweep_begins_frees_the_folder_again(outputs: Outputs) -> None:
    trials = [Trial(f"{i:016x}", 0, {"x": "y" * 1000}) for i in range(300)]
    with Store(outputs) as store, store.turn():
        store.add_trials(trials)
        for trial in trials:
            store.start(trial.trial_id)
    whole = outputs.store.read_bytes()
    outputs.store.write_bytes(whole[: 8 * 4096] + b"\xa5" * (len(whole) - 8 * 4096))
    with pytest.raises(RequestError, match=r"is damaged .*: move it away"):
        Store(outputs)
    outputs.store.unlink()
    with Store(outputs) as store:  # the lock was let go
        assert store.statuses() == {}
