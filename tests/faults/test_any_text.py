"""Any text, as a name or as a value: a refusal or a record, never a formula, never code."""

# ruff: noqa: E501 - a case of a table is a line

import csv
import json
import random
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sweeper
from sweeper.evidence.csvfile import read_csv

PIECES = (
    *"=+-@\t\r\n\0 '\";,:|`$(){}[]<>&!#%^*~\\/._aZ09é漢\u200b\ufeff\u202e\x1b\x7f", "＝", "＋", "－", "＠",
    "../", "cmd|' /C calc'!A0", "=HYPERLINK(\"http://x\")", "${evil:}", "${oc.env:HOME}", "null",
    "!!python/name:os.system", "nan", "1e5", "-1.5", "\ud800", "--allow", "[bold]", "\x1b]0;x\x07",
    "os.system", "%s", "{0}", "true", "; touch canary", "$(touch canary)", "😀", "x" * 300,
)  # fmt: skip


def generated(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(PIECES, k=draw.randint(1, 6))) for _ in range(count)]


NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|-?inf", re.IGNORECASE)


def cells_of(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                yield from row


def assert_no_formula(outputs: Path) -> None:
    for cell in cells_of(outputs):
        bare = cell.lstrip("\ufeff\u200b" + "".join(map(chr, range(33))))
        assert not bare.startswith(tuple("=+-@＝＋－＠")) or NUMBER.fullmatch(cell), repr(cell)
        assert not cell.startswith(("\t", "\r", "\n")), repr(cell)


TAKER = """
def train(config, *, seed, device, report, workdir):
    report(0, **{config["task"]["metric"]: 1.5, "train_loss": 0.5})
    return {}
"""


def test_any_text_may_be_a_value_and_the_name_of_a_metric(trapped: Any) -> None:
    trapped.write("taker.py", TAKER)
    good = {t for t in generated(900, 1) if "${" not in t and "\ud800" not in t}
    good -= {t for t in good if NUMBER.fullmatch(t)}  # 1e5 is a number in a recipe
    texts, rest = sorted(good)[::4], sorted(good)
    arms = [
        {"name": f"arm{n}", "set": {"task.note": text, "task.rest": rest[4 * n : 4 * n + 4],
                                    "task.metric": f"m{text}"[:40]}}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    baseline = {
        "task._target_": "taker.train",
        "task.metric": "m",
        "task.note": "",
        "task.rest": [],
    }
    trapped.recipe(baseline=baseline, arms=arms, claims=[], seeds=1)
    answer = trapped.run(allow="taker")
    assert answer.code == 0, answer.err
    outputs = trapped.folder / "outputs"
    assert_no_formula(outputs)
    again = read_csv(outputs / "tiny/trials.csv")
    assert again["task.note"].tolist() == ["", *texts]
    configs = [json.loads(config) for (config,) in trapped.sql("SELECT config FROM trials")]
    assert {text for c in configs for text in c["task"]["rest"]} == good
    assert {text for cell in again["task.rest"] for text in json.loads(cell)} == good
    loaded = sweeper.load(outputs)
    assert loaded["task.note"].tolist() == ["", *texts]
    assert json.loads(loaded.to_json(orient="records"))[1]["task.note"] == texts[0]
    assert_plain(loaded)
    trapped.untouched()


def assert_plain(table: pd.DataFrame) -> None:
    """Columns of one plain type each, and what pyarrow makes of them where it is installed."""
    for name in table:
        types = {type(v) for v in table[name].dropna().tolist()}
        assert len(types) <= 1 and types <= {str, int, float, bool}, (name, types)
    if find_spec("pyarrow"):  # not among our requirements: pandas would read texts otherwise
        table.to_parquet("table.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet("table.parquet"), table, check_dtype=False)


def test_axes_of_several_types_are_columns_of_one(trapped: Any) -> None:
    trapped.write("taker.py", TAKER)
    for name, values in {"one": [1, 0.5, None, "a", [1], True], "two": [1, 2, 3]}.items():
        arms = [{"name": f"a{n}", "set": {"task.x": value}} for n, value in enumerate(values)]
        baseline = {"task._target_": "taker.train", "task.metric": "m", "task.x": 7}
        trapped.recipe(name, baseline=baseline, arms=arms, claims=[], seeds=1)
        assert trapped.run(allow="taker", recipe=name).code == 0
    table = sweeper.load(trapped.folder / "outputs")
    assert_plain(table)
    assert table["task.x"].tolist() == ["7", "1", "0.5", "null", "a", "[1]", "true", *"7123"]
    assert read_csv(trapped.folder / "outputs/two/trials.csv")["task.x"].tolist() == list("7123")


def test_any_text_may_be_typed_where_a_name_belongs(stored: Any) -> None:
    names = [name for name in generated(500, 2) if not name.startswith("-") and "\0" not in name]
    for n, name in enumerate(names):
        name = name.encode(errors="replace").decode()
        command = [("plan", name), ("compare", name), ("show", name), ("run", name)][n % 4]
        if "=" in name and command[0] in ("plan", "run"):
            command = ("compare", name)
        stored.refused(stored.cli(*command))
    found = {p.name for p in stored.folder.glob("outputs/*")}
    assert {name for name in found if not name.startswith("sweeper.")} == {
        "reproduction.csv",
        "tiny",
        "trials",
    }


def test_half_a_character_is_refused_as_a_value_and_kept_as_a_metrics_name(trapped: Any) -> None:
    trapped.write("taker.py", TAKER.replace('config["task"]["metric"]', '"m" + chr(0xd800)'))
    trapped.write("conf/extra/half.yaml", r'note: "half \ud800"')
    baseline = {"task._target_": "taker.train", "extra": "half"}
    trapped.recipe(baseline=baseline, arms=[], claims=[])
    refused = trapped.run("--conf", "conf", allow="taker")
    trapped.refused(refused, r"extra.note: 'half \ud800' cannot be recorded")
    trapped.recipe(baseline={"task._target_": "taker.train"}, arms=[], claims=[])
    assert trapped.run(allow="taker").code == 0
    assert trapped.table("tiny/trials.csv")[0][r"m\ud800"] == "1.5"


@pytest.mark.parametrize("place", ["--as", "an axis", "an arm", "a recipe", "a metric", "a claim"])
def test_a_name_that_is_none_is_refused(trapped: Any, place: str) -> None:
    good = re.compile(r"[\w.+=,-]+")
    texts = [t[:100] for t in generated(40, 3) if not good.fullmatch(t[:100])]
    for text in [t for t in texts if "/" not in t and "\0" not in t][:10]:
        text, words = text.encode(errors="replace").decode(), []
        arm = {"name": "other", "set": {"optim.lr": 0.3}}
        changes: dict[str, Any] = {"baseline": {}, "arms": [arm], "claims": []}
        if place == "--as":
            words = [f"--as={text}"]
        elif place == "an axis":
            words = [f"{text}=1"]
        elif place == "an arm":
            changes["arms"] = [{**arm, "name": text}]
        elif place == "a metric":
            changes["metrics"] = {f"{text}()": {}}
        elif place == "a claim":
            claim = {"id": text, "arm": "other", "kind": "worse", "statement": "s"}
            changes["claims"] = [claim]
        trapped.recipe(text if place == "a recipe" else "tiny", **changes)
        name = f"recipes/{text}.yaml" if place == "a recipe" else "tiny"
        if "=" not in name:
            trapped.refused(trapped.cli("plan", name, "--recipes", "recipes", *words))
