"""What is read of a search: its tables, and what is to be mended before its arm is believed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sweeper.evidence.tables import build, write
from sweeper.plan import ConcludedSearch, Plan, Proposal

LR = {"low": 0.0001, "high": 1.0, "log": True}
TOLD = (0.5, 0.4, 0.1, 0.2)
RATES = (0.9, 0.01, 0.02, 0.3)


def search(
    arm: str = "a",
    told: Sequence[float | str | tuple[float, ...]] = TOLD,
    values: Sequence[Mapping[str, Any]] = tuple({"optim.lr": rate} for rate in RATES),
    **changes: Any,
) -> ConcludedSearch:
    """A text in place of a told number is the status of a proposal that was told none."""
    proposals = []
    for number, (value, axes) in enumerate(zip(told, values, strict=True)):
        numbers = () if isinstance(value, str) else value if isinstance(value, tuple) else (value,)
        status = value if isinstance(value, str) else "done"
        if math.inf in numbers:
            status = "diverged"
        proposals.append(Proposal(number, axes, status, numbers, (f"t{number}",)))
    counts = [p for p in proposals if p.told]
    winner = min(counts, key=lambda p: p.told[0]).number if counts else None
    found = ConcludedSearch(
        arm, f"study/{arm}/0", ("val_loss",), ("down",), {"optim.lr": LR},
        {"name": "tpe", "seed": 0}, {"name": "none"}, "5.0.0", len(proposals), tuple(proposals),
        winner,
    )  # fmt: skip
    return replace(found, **changes)


@pytest.fixture
def searched(make_study):
    """searched(search, …): the tables of a study of arms a and b, with these searches."""

    def tables(*searches: ConcludedSearch, claims: Sequence[Mapping[str, Any]] = ()):
        plan, runs = make_study({"a": [1.0, 1.1], "b": [0.5, 0.7], "c": [0.8, 0.9]}, claims=claims)
        return build(replace(plan, searches=searches), runs)

    return tables


def test_a_search_is_a_row_with_its_budget_its_endings_and_its_best(searched) -> None:
    tables = searched(search(told=(math.inf, "failed", 0.1, "pruned")))
    (row,) = tables.further["searches"].to_dict("records")
    assert list(row) == [
        "recipe", "arm", "metric", "sampler", "pruner", "optuna", "budget", "n_told", "n_pruned",
        "n_diverged", "n_failed", "infeasible_share", "best", "best_number", "optim.lr", "warnings",
    ]  # fmt: skip
    assert row == {
        "recipe": "study", "arm": "a", "metric": "val_loss", "sampler": "tpe seed=0",
        "pruner": "none", "optuna": "5.0.0", "budget": 4, "n_told": 2, "n_pruned": 1,
        "n_diverged": 1, "n_failed": 1, "infeasible_share": 0.5, "best": 0.1, "best_number": 2,
        "optim.lr": 0.02, "warnings": "",
    }  # fmt: skip


def test_importance_stands_beside_its_floor_axis_by_axis(searched) -> None:
    axes = {"optim.lr": LR, "model.norm": {"choices": ["none", "batch"]}, "optim.decay": LR}
    scores = {"optim.lr": (0.9, 0.6), "model.norm": (0.1, 0.5)}
    table = searched(search(axes=axes, importance=scores)).further["importance"]
    assert list(table) == ["recipe", "arm", "axis", "importance", "floor", "verdict"]
    assert table["axis"].tolist() == list(axes)
    assert table["verdict"].tolist() == ["above the floor", "below the floor", ""]
    assert math.isnan(table["floor"].tolist()[-1])


def test_a_proposal_is_a_row_with_what_was_told_of_it(searched) -> None:
    values = [{"optim": "sgd", "optim.momentum": 0.5}, {"optim": "adam"}]
    tables = searched(search(told=(0.1, "failed"), values=values, axes={}))
    table = tables.further["proposals"]
    assert list(table) == [
        "recipe", "arm", "number", "status", "val_loss", "optim", "optim.momentum",
    ]  # fmt: skip
    assert table["status"].tolist() == ["done", "failed"]
    assert table["val_loss"].tolist() == pytest.approx([0.1, math.nan], nan_ok=True)
    assert table["optim.momentum"].tolist() == pytest.approx([0.5, math.nan], nan_ok=True)


def test_of_several_metrics_the_pareto_set_is_a_table(searched) -> None:
    told = ((0.1, 0.5), (0.2, 0.9), (0.3, 0.95), (0.4, 0.1))
    both = {"metrics": ("val_loss", "val_accuracy"), "goals": ("down", "up"), "pareto": (0, 1, 2)}
    tables = searched(search(told=told, **both))
    table = tables.further["pareto"]
    assert list(table) == ["recipe", "arm", "number", "status", *both["metrics"], "optim.lr"]
    assert table["number"].tolist() == [0, 1, 2]
    assert table["val_accuracy"].tolist() == [0.5, 0.9, 0.95]
    assert tables.further["searches"]["best"].tolist() == ["0.1, 0.5"]
    assert "pareto" not in searched(search()).further


WHOLE = {"low": 1, "high": 100, "integer": True}
AT_AN_END = [
    (LR, 0.00015, "at the lower end of the range: widen optim.lr below 0.0001"),
    (LR, 0.0001 * 10**0.21, ""),  # farther than 5 % of four decades
    (LR, 0.9, "at the upper end of the range: widen optim.lr above 1"),
    ({"low": 0.0, "high": 1.0}, 0.04, "at the lower end of the range: widen optim.lr below 0"),
    ({"low": 0.0, "high": 1.0}, 0.06, ""),
    (WHOLE, 100, "the upper end of the range: widen optim.lr above 100"),
    (WHOLE, 99, ""),
    ({"choices": [0.1, 0.2]}, 0.1, ""),
]  # fmt: skip


@pytest.mark.parametrize("axis, best, said", AT_AN_END)
def test_a_best_value_at_the_end_of_its_range_is_spoken_of(searched, axis, best, said) -> None:
    tables = searched(search(told=(0.1,), values=[{"optim.lr": best}], axes={"optim.lr": axis}))
    (warning,) = tables.warnings or ("",)
    assert warning.endswith(said) and bool(warning) == bool(said)
    assert tables.further["searches"]["warnings"].tolist() == [warning]


def test_where_all_diverged_no_end_of_a_range_is_spoken_of(searched) -> None:
    (warning,) = searched(search(told=(math.inf,) * 4)).warnings
    assert warning.startswith("in the search of 'a' 4 of 4 proposals diverged or failed")


def test_arms_that_finished_unequal_budgets_are_spoken_of(searched) -> None:
    warnings = searched(search("a"), search("b", told=(0.5, 0.4, 0.1, "failed"))).warnings
    assert warnings == (
        "the search of 'b' finished 3 proposals and that of 'a' 4: mend what kept the others from "
        "a result, and `sweeper run … --retry`",
    )


def test_a_search_that_mostly_came_to_no_result_is_spoken_of(searched) -> None:
    (warning,) = searched(search(told=(math.inf, math.inf, 0.1, math.inf))).warnings
    assert warning == (
        "in the search of 'a' 3 of 4 proposals diverged or failed: narrow its ranges to where "
        "trials come to a result"
    )
    assert searched(search(told=(math.inf, math.inf, 0.1, 0.2))).warnings == ()


def test_a_search_that_diverged_far_more_than_another_is_spoken_of(searched) -> None:
    (warning,) = searched(search("a"), search("b", told=(math.inf, math.inf, 0.1, 0.2))).warnings
    assert warning == (
        "in the search of 'b' 2 of 4 proposals diverged or failed, in that of 'a' 0 of 4: narrow "
        "its ranges to where trials come to a result"
    )


def test_a_search_that_was_told_nothing_is_spoken_of(searched) -> None:
    tables = searched(search(told=("failed", "failed", "oom", "failed")))
    (warning,) = tables.warnings
    assert warning == (
        "the search of 'a' was told of no proposal, so that the arm has no trials to report: "
        "`sweeper show TRIAL` says why those of trials.csv ended as they did"
    )
    assert tables.further["searches"]["best"].tolist() == [None]


CLAIMS = [
    {"id": "T1", "statement": "falls", "kind": "better", "arm": "b"},
    {"id": "T2", "statement": "falls", "kind": "better", "arm": "c", "reference": "b"},
    {"id": "T3", "statement": "falls", "kind": "reaches", "arm": "b", "level": 0.1},
]


def test_the_claims_that_rest_on_a_searched_arm_say_what_is_to_be_mended_first(searched) -> None:
    at_end = search("a", told=(0.1,), values=[{"optim.lr": 0.9}])
    fine = search("b", told=(0.1,), values=[{"optim.lr": 0.01}])
    reasons = searched(at_end, fine, claims=CLAIMS).claims["reason"].tolist()
    assert [": widen optim.lr above 1" in reason for reason in reasons] == [True, False, False]
    assert reasons[0].count("; the search of 'a' found its best optim.lr, 0.9, at the") == 1


def test_without_a_concluded_search_nothing_is_added(searched) -> None:
    tables = searched(claims=CLAIMS)
    with_silent = searched(search(), claims=CLAIMS)
    assert tables.further == {} and tables.warnings == ()
    assert tables.claims["reason"].tolist() == with_silent.claims["reason"].tolist()


def test_tables_of_a_search_that_is_no_longer_asked_for_go(searched, tmp_path) -> None:
    write(searched(search()), tmp_path)
    kept = {p.name for p in tmp_path.iterdir()}
    assert {"searches.csv", "importance.csv", "proposals.csv"} < kept
    write(searched(), tmp_path)
    left = {p.name for p in tmp_path.iterdir()}
    assert kept - left == {"searches.csv", "importance.csv", "proposals.csv"}


def test_a_plan_with_a_search_is_read_back_as_it_was(make_study) -> None:
    plan, _ = make_study({"a": [1.0]})
    plan = replace(plan, searches=(search(told=(math.inf, "failed", 0.1, 0.2)),))
    assert Plan.from_json(plan.to_json()).searches == plan.searches
