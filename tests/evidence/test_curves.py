"""The curves of a recipe: the file that is written from texts has the bytes of the table."""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.evidence.csvfile import as_csv
from sweeper.evidence.curves import curves_table, write_curves
from sweeper.evidence.runs import Run
from sweeper.plan import Plan
from sweeper.records import WrittenCurve, decode_curve, encode_curve

PLAN = Plan("study", "study", {}, (), ())


def run_with(curve: Any, arm: str = "baseline") -> Run:
    return Run(arm, 3, "report", "0a", "done", curve=decode_curve(curve))


def written(runs: Sequence[Run], folder: Path, plan: Plan = PLAN) -> str:
    write_curves(plan, runs, folder / "curves.csv")
    return (folder / "curves.csv").read_bytes().decode()


NUMBERS = st.none() | st.floats(allow_subnormal=True)
NAMES = st.sampled_from(["val_loss", "arm", "a b", "=1", "x,y", 'say "x"', "[0]", "],", "größe"])


@st.composite
def curves(draw: st.DrawFn) -> dict[str, list[float | None]]:
    points = draw(st.integers(0, 4))
    steps: Any = list(range(points))
    if draw(st.booleans()):
        steps = [float(step) for step in steps]
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    column = st.lists(NUMBERS, min_size=points, max_size=points)
    return {"step": steps} | {name: draw(column) for name in names}


@given(st.lists(curves(), max_size=4))
def test_the_file_is_the_table_whatever_was_reported(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, list[float | None]]]
) -> None:
    runs = [run_with(encode_curve(curve)) for curve in found]
    folder = tmp_path_factory.mktemp("curves")
    assert written(runs, folder) == as_csv(curves_table(PLAN, runs))


def test_a_run_without_curve_leaves_no_line_and_names_that_need_it_are_quoted(tmp_path) -> None:
    curve = encode_curve({"step": [0, 1.0], "val_loss": [0.1, math.nan], "lr": [None, 1e-05]})
    runs = [run_with(None), run_with(curve, arm="a,b"), run_with(curve, arm="=1")]
    text = written(runs, tmp_path, replace(PLAN, name='"x"'))
    assert text == (
        "recipe,arm,seed,trial_id,step,train_loss,train_accuracy,val_loss,val_accuracy,lr\n"
        '"""x""","a,b",3,0a,0,,,0.1,,\n'
        '"""x""","a,b",3,0a,1,,,,,1e-05\n'
        '"""x""",\'=1,3,0a,0,,,0.1,,\n'
        '"""x""",\'=1,3,0a,1,,,,,1e-05\n'
    )


def test_a_long_curve_of_texts_is_thinned_as_one_of_numbers(tmp_path) -> None:
    long = encode_curve({"step": list(range(2500)), "val_loss": [1 / (1 + s) for s in range(2500)]})
    runs = [run_with(long)]
    text = written(runs, tmp_path)
    assert text == as_csv(curves_table(PLAN, runs)) and text.count("\n") == 1001


def test_one_step_that_is_not_whole_makes_every_step_a_float(tmp_path) -> None:
    runs = [run_with(encode_curve({"step": [step], "val_loss": [1.0]})) for step in (1, 0.5)]
    lines = written(runs, tmp_path).splitlines()[1:]
    assert [line.split(",")[4] for line in lines] == ["1.0", "0.5"]


@pytest.mark.parametrize(
    "value", [0.1, -0.0, 1e22, 1e-05, 5e-324, 1.7976931348623157e308, math.inf, -math.inf]
)
def test_a_number_of_a_curve_is_never_read_to_be_printed(value: float) -> None:
    curve = decode_curve(encode_curve({"step": [0], "val_loss": [value]}))
    assert isinstance(curve, WrittenCurve)
    assert curve.texts("val_loss") == [repr(value)] and curve["val_loss"] == [value]


@pytest.mark.parametrize(
    "text",
    [
        '{"step":[0],"loss":[1]}', '{"step":[0],"loss":["=1+1"]}', '{"step":[0],"loss":[[1.0]]}',
        '{"step":[0],"loss":[1.0,2.0]}', '{"step":[0.5],"loss":[1.0]}', '{"loss":[1.0]}',
        '{"step":[0],"loss":[true]}', '{"step": [0], "loss": [1.0]}', '{"step":[0],"a\\"b":[1.0]}',
        '{"step":[9007199254740993],"loss":[1.0]}', "{}",
    ],
)  # fmt: skip
def test_a_curve_as_we_do_not_write_it_is_read_in_full(text: str) -> None:
    curve = decode_curve(zlib.compress(text.encode()))
    assert isinstance(curve, dict) and curve == json.loads(text)


@pytest.mark.parametrize("text", ['{"step":[0],"loss":[01.0]}', '{"step":[0],"loss":[1.0,]}', "x"])
def test_a_curve_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)expecting"):
        decode_curve(zlib.compress(text.encode()))
