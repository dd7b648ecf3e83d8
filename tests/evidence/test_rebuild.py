"""From a store to its tables: each recipe reads what is its own, and they are written in turn."""

import csv
import io
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sweeper import cli, records
from sweeper.evidence.rebuild import load, rebuild, runs_of
from sweeper.folders import Outputs
from sweeper.plan import Cell, Plan, PlannedArm
from sweeper.records import Reader
from sweeper.store import Store
from sweeper.trial import Ending, Trial

CONFIG = {"task": {"_target_": "mine.train"}}
RECIPE = {"question": "?", "seeds": 3, "metrics": {"loss": {"smallest_effect": 0.1}}}


def plan_of(name: str, own: str, offset: float = 0.0) -> tuple[Plan, dict[str, Ending]]:
    """Two arms at three seeds, of which the baseline is every such plan's; with its endings."""
    arms = (PlannedArm("baseline", None, {}), PlannedArm(own, "baseline", {"lr": offset}))
    ids = {(arm.name, seed): f"{arm.name}-{seed}" for arm in arms for seed in range(3)}
    cells = tuple(Cell(arm, seed, trial_id) for (arm, seed), trial_id in ids.items())
    endings = {
        trial_id: _ending(seed + (offset if arm == own else 0.0))
        for (arm, seed), trial_id in ids.items()
    }
    return Plan(name, name, RECIPE, arms, cells), endings


def _ending(loss: float) -> Ending:
    curve = {"step": [0, 1], "loss": [9.5, loss]}
    return Ending("done", {"loss": loss}, curve, versions={"torch": "2"}, sources={"net.py": "0a"})


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    """Two recipes that share a baseline: nine trials; the last one of each waits."""
    found = Outputs(tmp_path / "outputs")
    with Store(found) as store, store.turn():
        for plan, endings in (plan_of("first", "a", 5.0), plan_of("second", "b", -5.0)):
            store.save_plan(plan)
            store.add_trials(Trial(trial_id, 0, CONFIG) for trial_id in endings)
            for trial_id, ending in list(endings.items())[:-1]:
                if store.answer(trial_id) is None:
                    store.end(trial_id, store.start(trial_id), "cpu", ending, again=False)
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_recipe_decodes_the_attempts_of_its_own_trials_alone(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    decode = records._attempt
    monkeypatch.setattr(records, "_attempt", lambda row: decoded.append(row[0]) or decode(row))
    with Reader(outputs) as reader:
        runs_of(reader.plan("second"), reader)
    assert sorted(decoded) == ["b-0", "b-1", "baseline-0", "baseline-1", "baseline-2"]


def test_no_query_of_a_recipe_walks_through_the_rows_of_all(outputs: Outputs) -> None:
    asked: list[str] = []
    with Reader(outputs) as reader:
        reader._db.set_trace_callback(asked.append)
        runs_of(reader.plan("first"), reader)
    with closing(sqlite3.connect(outputs.store)) as db:
        steps = {
            step[3]
            for query in asked
            if query.startswith("SELECT")
            for step in db.execute(f"EXPLAIN QUERY PLAN {query}")
        }
    assert any(step.startswith("SEARCH a ") for step in steps)
    assert [step for step in steps if step.startswith("SCAN") and "w VIRTUAL" not in step] == []


def test_a_trial_of_two_recipes_stands_in_the_tables_of_both(outputs: Outputs) -> None:
    assert [name for name, _ in rebuild(outputs, ["first", "second"])] == ["first", "second"]
    for name, own, losses in (
        ("first", "a", ["5.0", "6.0", ""]),
        ("second", "b", ["-5.0", "-4.0", ""]),
    ):
        trials = rows(outputs.recipe(name) / "trials.csv")
        assert [row["trial_id"] for row in trials[:3]] == [f"baseline-{seed}" for seed in range(3)]
        assert [row["loss"] for row in trials] == ["0.0", "1.0", "2.0", *losses]
        assert [row["status"] for row in trials] == ["done"] * 5 + ["waiting"]
        curves = rows(outputs.recipe(name) / "curves.csv")
        assert [row["loss"] for row in curves if row["arm"] == own] == [
            "9.5",
            losses[0],
            "9.5",
            losses[1],
        ]
    table = load(outputs)
    assert table["recipe"].tolist() == ["first"] * 6 + ["second"] * 6
    assert table["loss"].fillna(-99).tolist() == [0, 1, 2, 5, 6, -99, 0, 1, 2, -5, -4, -99]


def test_the_tables_of_a_recipe_are_written_before_the_next_is_read(outputs: Outputs) -> None:
    turns = rebuild(outputs, ["first", "second", "first"])
    name, built = next(turns)
    assert name == "first" and built.curves["loss"].tolist()[:2] == [9.5, 0.0]
    assert (outputs.recipe("first") / "curves.csv").exists()
    assert not outputs.recipe("second").exists() and not outputs.reproduction.exists()
    assert [name for name, _ in turns] == ["second"]
    assert outputs.reproduction.exists()


class Closed(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        if text:
            raise BrokenPipeError
        return 0


def test_every_table_is_written_for_a_reader_who_has_seen_enough(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert cli._guarded(["compare", "all", "--outputs", str(outputs.root)]) == 1
    assert (outputs.recipe("second") / "curves.csv").exists() and outputs.reproduction.exists()


def test_what_was_built_before_a_mistake_is_shown(
    outputs: Outputs, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "first", "frist", "--outputs", str(outputs.root)]
    assert cli._guarded(arguments) == 2
    shown = capsys.readouterr()
    assert "first — 5 done, 1 waiting" in shown.out
    assert shown.err == (
        f"sweeper: 'frist' was never run into {outputs.root}: its plans are first, second.\n"
    )
