"""Folders of results that came from somewhere else: what lies in them is data."""

# ruff: noqa: E501 - a case of a table is a line

import ast
import json
import os
import pickle
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweeper


class Bomb:
    """Unpickled, it makes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


READERS = (("compare",), ("status",), ("show", ""), ("plan", "tiny", "--recipes", "recipes"))


def answers(stored: Any) -> Iterator[Any]:
    """Of every command that reads the results, and of a run."""
    yield from (stored.cli(*command) for command in READERS)
    yield stored.run(allow="instant")


def change(stored: Any, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(stored.folder / "outputs/sweeper.sqlite")) as db, db:
        assert db.execute(statement, values).rowcount != 0


def blob(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode())


PLAN = {"recipe_name": "tiny", "recipe": {}, "arms": [], "cells": [], "overrides": []}
ROWS: dict[str, tuple[str, Any]] = {
    "a plan is a pickle": ("UPDATE plans SET plan = ?", "pickle"),
    "a plan is a packed pickle": ("UPDATE plans SET plan = ?", "packed"),
    "a plan is no plan": ("UPDATE plans SET plan = ?", blob([1, 2])),
    "a plan is of something else": ("UPDATE plans SET plan = ?", blob({"name": "x", "allow": ["evil"]})),
    "a plan has arms of text": ("UPDATE plans SET plan = ?", blob({**PLAN, "name": "tiny", "arms": "x"})),
    "a plan leads out": ("UPDATE plans SET name = '../../escaped', plan = ?", blob({**PLAN, "name": "../../escaped"})),
    "a plan is at the root": ("UPDATE plans SET name = ?, plan = x''", "/tmp/escaped_of_sweeper"),
    "a curve is a pickle": ("UPDATE attempts SET curve = ?", "pickle"),
    "metrics are a pickle": ("UPDATE attempts SET metrics = ?", "pickle"),
    "metrics are a list": ("UPDATE attempts SET metrics = ?", "[1]"),
    "versions are no JSON": ("UPDATE attempts SET versions = ?", "os.system('touch canary')"),
    "a config names evil": ("UPDATE trials SET config = ?", json.dumps({"task": {"_target_": "evil.touch"}})),
    "a config is a pickle": ("UPDATE trials SET config = ?", "pickle"),
    "a config is a number": ("UPDATE trials SET config = ?", "1"),
    "a view calls functions": ("INSERT INTO meta VALUES ('allow', ?)", "evil"),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_rows_that_were_planted_in_the_store_are_data(stored: Any, what: str) -> None:
    statement, value = ROWS[what]
    pickled = pickle.dumps(Bomb(stored.canary))
    value = {"pickle": pickled, "packed": zlib.compress(pickled)}.get(str(value), value)
    change(stored, statement, value)
    for answer in answers(stored):
        assert answer.code in (0, 1, 2), answer
        assert "Traceback" not in answer.err + answer.out
    stored.untouched()
    assert not list(stored.folder.parent.rglob("escaped*"))
    assert not Path("/tmp/escaped_of_sweeper").exists()


def test_files_that_were_planted_in_the_results_are_never_unpickled(stored: Any) -> None:
    outputs = stored.folder / "outputs"
    bomb = pickle.dumps(Bomb(stored.canary))
    (trial, *_) = sorted((outputs / "trials").iterdir())
    for name in (
        "cache/joblib/sweeper/training/data/_digits/func_code.py",
        "cache/joblib/sweeper/training/data/_digits/0/output.pkl", "cache/x.pkl", "work/x.pt",
        f"trials/{trial.name}/work/checkpoint.pt", f"trials/{trial.name}/work/checkpoint.pkl",
        f"trials/{trial.name}/result.pkl", "tiny/figures.pkl", "tiny/curves.csv.pkl",
    ):  # fmt: skip
        (outputs / name).parent.mkdir(parents=True, exist_ok=True)
        (outputs / name).write_bytes(bomb)
    (trial / "config.json").write_text(json.dumps({"task": {"_target_": "evil.touch"}}))
    (outputs / "sweeper.lock").write_text("-1 somewhere\n")
    change(stored, "UPDATE trials SET status = 'waiting', attempt = NULL")
    assert [answer.code for answer in answers(stored)] == [0, 0, 2, 0, 0]
    stored.untouched()
    assert json.loads((trial / "config.json").read_text())["task"]["_target_"] == "instant.train"


def test_a_checkpoint_and_a_cache_that_were_planted_are_never_unpickled(trapped: Any) -> None:
    small = {"data": "captcha", "data.images": 40, "data.validation_samples": 10, "train.epochs": 1}
    trapped.recipe(baseline=small, arms=[], claims=[], seeds=1)
    assert trapped.run().code == 0
    outputs = trapped.folder / "outputs"
    (trial,) = (outputs / "trials").iterdir()
    kept = sorted((outputs / "cache").glob("*.npy"))
    assert len(kept) == 2
    for file in kept:
        np.save(file, np.array([Bomb(trapped.canary)], dtype=object), allow_pickle=True)
    (trial / "work").mkdir(exist_ok=True)
    (trial / "work/checkpoint.pt").write_bytes(pickle.dumps(Bomb(trapped.canary)))
    before = trapped.table("tiny/trials.csv")[0]["train_loss"]
    change(trapped, "UPDATE trials SET status = 'waiting', attempt = NULL")
    assert trapped.run().code == 0
    trapped.untouched()
    assert trapped.table("tiny/trials.csv")[0]["train_loss"] == before


@pytest.mark.parametrize("name", ["sweeper.lock", "sweeper.log", "config.json"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_link_or_a_pipe_among_the_results_leads_nowhere(
    stored: Any, name: str, kind: str
) -> None:
    precious = stored.write("precious", "kept")
    outputs = stored.folder / "outputs"
    found = outputs / name
    if name == "config.json":
        found = next((outputs / "trials").iterdir()) / name
    found.unlink(missing_ok=True)
    if kind == "link":
        found.symlink_to(precious)
    else:
        os.mkfifo(found)
    change(stored, "UPDATE trials SET status = 'waiting', attempt = NULL")
    assert all("Traceback" not in answer.err for answer in answers(stored))
    assert precious.read_text() == "kept"


def test_no_read_path_of_ours_unpickles() -> None:
    """joblib.load, pickle, marshal, shelve, yaml.load with another loader, weights_only=False."""
    found = []
    for path in Path(sweeper.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            text = (
                ast.unparse(node)
                if isinstance(node, ast.Call | ast.Import | ast.ImportFrom)
                else ""
            )
            function = text.partition("(")[0]
            bad = re.match(r"(import|from) (pickle|marshal|shelve|dill|cloudpickle)\b", text)
            bad = bad or re.search(
                r"(joblib\.(load|Memory)|read_pickle|(?<![.\w])(eval|exec))$", function
            )
            bad = bad or (function == "yaml.load" and "Loader=_UniqueKeys" not in text)
            bad = bad or (function == "torch.load" and "weights_only=True" not in text)
            bad = bad or (function == "np.load" and "allow_pickle=False" not in text)
            bad = bad or (function.endswith("recv") and "recv_bytes" not in function)
            if isinstance(node, ast.Call | ast.Import | ast.ImportFrom) and bad:
                found.append(f"{path.name}: {text}")
    assert found == []
