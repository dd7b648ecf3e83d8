"""The four files, their columns, their order and their bytes."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.errors import RequestError
from sweeper.evidence.csvfile import as_csv, read_csv, write_csv
from sweeper.evidence.runs import Run
from sweeper.evidence.tables import build, reproduction, write
from sweeper.plan import Cell

TRIALS = (
    "recipe arm seed phase trial_id status attempt device duration_s epochs steps "
    "train_loss train_accuracy val_loss val_accuracy"
)
CURVE = {"step": [1, 2], "val_loss": [0.5, None], "train_loss": [0.7, 0.6], "grad": [1.0, 2.0]}
RUN = {"attempt": 1, "device": "cuda:0", "duration_s": 0.25, "curve": CURVE}


@pytest.fixture
def study(make_study):
    done = {**RUN, "metrics": {"steps": 40.0, "val_loss": 0.1 + 0.2, "zeta": 2.0}}
    claims = [
        {"id": "T1", "statement": "falls", "kind": "better", "arm": "lr=0.1", "documented": -0.5},
        {"id": "T2", "statement": "-1 is not run", "kind": "no_effect", "arm": "lr=0.1"},
    ]
    return make_study(
        {"baseline": [done, 1.0], "lr=0.1": ["failed", {**done, "status": "diverged"}]},
        {"train_loss": {"smallest_effect": 0.1}},
        claims,
        axes={
            "baseline": {"optim.lr": 0.01, "betas": None},
            "lr=0.1": {"optim.lr": 0.1, "betas": [0.9, 1]},
        },
    )  # fmt: skip


def test_a_trial_is_a_row_with_its_axes(study) -> None:
    plan, runs = study
    trials = build(plan, list(reversed(runs))).trials
    assert " ".join(trials.columns) == TRIALS + " grad zeta diagnosis error optim.lr betas"
    assert trials["trial_id"].tolist() == ["baseline-0", "baseline-1", "lr=0.1-0", "lr=0.1-1"]
    assert trials["betas"].tolist() == ["null", "null", "[0.9,1]", "[0.9,1]"]
    assert trials["epochs"].tolist() == [2, pd.NA, pd.NA, 2]
    assert trials["diagnosis"].tolist() == ["", "", "", "diverged;lr_too_large"]
    assert trials.loc[0, "val_loss"] == 0.1 + 0.2
    assert trials.loc[0, "grad"] == 2.0  # the last of its curve


def test_the_runs_of_a_search_come_after_the_reported_ones(study) -> None:
    plan, runs = study
    searched = Run("baseline", 0, "search", "s1", "done", axes={"optim.lr": 0.5})
    plan = replace(plan, cells=(Cell("baseline", 0, "s1", "search"), *plan.cells))
    trials = build(plan, [searched, *runs]).trials
    assert trials["phase"].tolist()[:3] == ["report", "report", "search"]
    assert trials.loc[2, "optim.lr"] == 0.5
    assert build(plan, [searched, *runs]).arms.loc[0, "n"] == 2


def test_curves_have_a_row_per_reported_step(study) -> None:
    curves = build(*study).curves
    assert " ".join(curves.columns) == (
        "recipe arm seed trial_id step train_loss train_accuracy val_loss val_accuracy grad"
    )
    assert curves["step"].tolist() == [1, 2, 1, 2]
    assert curves["val_loss"].tolist() == pytest.approx([0.5, np.nan] * 2, nan_ok=True)


def test_a_long_curve_is_thinned_and_keeps_its_ends(make_study) -> None:
    curve = {"step": list(range(1, 2501)), "train_loss": [1 / s for s in range(1, 2501)]}
    curves = build(*make_study({"baseline": [{"curve": curve}]})).curves
    steps = curves["step"].tolist()
    assert len(steps) == 1000 and steps[0] == 1 and steps[-1] == 2500
    assert set(np.diff(steps)) == {2, 3}
    assert curves["train_loss"].tolist() == [1 / step for step in steps]


def test_a_metric_named_like_a_column_hides_nothing(make_study) -> None:
    plan, runs = make_study({"baseline": [{"metrics": {"status": 3.0, "train_loss": 1.0}}]})
    trials = build(plan, runs).trials
    assert trials.loc[0, "status"] == "done"
    assert trials.loc[0, "status (metric)"] == 3.0


def test_writing_twice_gives_the_same_bytes(study, tmp_path) -> None:
    for _ in range(2):
        write(build(*study), tmp_path / "study")
        first = {p.name: p.read_bytes() for p in (tmp_path / "study").iterdir()}
    write(build(*study), tmp_path / "again")
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()}
    assert sorted(first) == [
        "arms.csv",
        "claims.csv",
        "comparisons.csv",
        "curves.csv",
        "trials.csv",
    ]
    line = first["trials.csv"].decode().splitlines()[1]
    assert line == (
        "study,baseline,0,report,baseline-0,done,1,cuda:0,0.25,2,40,"
        "0.6,,0.30000000000000004,,2.0,2.0,,,0.01,null"
    )


def test_a_plan_without_a_single_run_has_all_its_rows(study) -> None:
    tables = build(study[0], [])
    assert len(tables.trials) == len(tables.curves) == 0
    assert tables.arms["verdict"].tolist() == ["", "undecided"]
    assert tables.claims["reason"].tolist() == ["2 of 2 seeds dropped: 2 waiting"] * 2


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"), ("+a", "'+a"), ("-a", "'-a"), ("@a", "'@a"), ("\ta", "'\ta"),
        ("\ra", '"\'\ra"'), ("=a,b", "\"'=a,b\""), ('say "x"', '"say ""x"""'), ("a\nb", '"a\nb"'),
        (-1.5, "-1.5"), (-3, "-3"), (True, "true"), (None, ""), (float("nan"), ""),
        (float("-inf"), "-inf"), (1e-300, "1e-300"), ("a = b", "a = b"), ("-1.5", "-1.5"),
        ("+1e-3", "+1e-3"), ("-1+1", "'-1+1"), (" =1", "' =1"), ("\ufeff=1", "'\ufeff=1"),
        ("\u3000＝1", "'\u3000＝1"), ("－1", "'－1"), ("＠a", "'＠a"), ("\x00=1", "'\x00=1"),
        ("'=1", "''=1"), ("'quoted'", "'quoted'"), ("\na", '"\'\na"'), ("- item", "'- item"),
    ],
)  # fmt: skip
def test_a_cell_a_spreadsheet_would_run_is_escaped(value, written) -> None:
    column = pd.Series([value, "text"], dtype=object)
    assert as_csv(pd.DataFrame({"c": column})) == f"c\n{written}\ntext\n"


def test_equal_keys_of_other_types_are_other_cells() -> None:
    table = pd.DataFrame({"=c": pd.Series([1, True, 1.0], dtype=object)})
    assert as_csv(table) == "'=c\n1\ntrue\n1.0\n"


def test_a_csv_file_is_read_back_as_it_was(study, tmp_path) -> None:
    curves = build(*study).curves
    write_csv(curves, tmp_path / "curves.csv")
    again = pd.read_csv(tmp_path / "curves.csv")
    pd.testing.assert_frame_equal(again, curves, check_dtype=False)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(RequestError, match=r"cannot write .*t\.csv \(disk full\): mend that, or"):
        write_csv(pd.DataFrame({"a": [1]}), path)
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    assert path.read_text() == "old"


def test_the_reproduction_is_every_claim_built_or_read_back(study, tmp_path) -> None:
    claims = build(*study).claims
    write_csv(claims, tmp_path / "claims.csv")
    read = read_csv(tmp_path / "claims.csv")
    assert as_csv(reproduction([claims, claims])) == as_csv(reproduction([read, claims]))
    assert as_csv(reproduction([read])) == as_csv(claims)
    assert ",-0.5," in as_csv(claims) and ",'-1 is not run," in as_csv(claims)
    assert list(reproduction([]).columns) == list(claims.columns)


def test_epochs_that_are_not_whole_stay_as_reported(make_study) -> None:
    plan, runs = make_study({"baseline": [{"metrics": {"train_loss": 1.0, "epochs": 2.5}}]})
    assert build(plan, runs).trials.loc[0, "epochs"] == 2.5


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=2, max_size=2))
def test_any_text_is_read_back_as_it_was_and_is_no_formula(texts: list[str]) -> None:
    header, value = texts
    table = pd.DataFrame({"first": ["1"], f"_{header}": [value]})
    with TemporaryDirectory() as folder:
        write_csv(table, Path(folder) / "t.csv")
        again = read_csv(Path(folder) / "t.csv")
        with (Path(folder) / "t.csv").open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
    assert again.to_dict("list") == table.to_dict("list")
    for cell in cells:
        bare = cell.lstrip("\ufeff\u200b" + "".join(map(chr, range(33)))).lstrip()
        assert not bare.startswith(tuple("=+-@＝＋－＠\t\r\n")) or re.fullmatch(
            r"[-+]?[\d.e+-]+", bare
        )
