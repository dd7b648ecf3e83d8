"""Metric expressions, evaluated on runs."""

import numpy as np
import pytest

from sweeper.evidence.measures import Grid, comparable, measure
from sweeper.evidence.runs import Run

nan, inf = np.nan, np.inf


def curve(values, steps=None, name="val_loss", **more):
    steps = list(range(1, len(values) + 1)) if steps is None else steps
    return {"curve": {"step": steps, name: values}, **more}


def evaluate(make_study, metric, values, settings=None, **more):
    stated = {"goal": "down"} if metric.startswith("best_of") else {}  # it has none of its own
    plan, runs = make_study(values, {metric: settings or stated}, **more)
    return measure(metric, plan.read_recipe(), Grid.of(plan, runs))


@pytest.mark.parametrize(
    ("metric", "entry", "expected"),
    [
        pytest.param("val_loss", {"metrics": {"val_loss": 0.3}}, 0.3, id="the final value"),
        pytest.param("val_loss", curve([0.5, 0.2, None]), 0.2, id="else the curve's last"),
        pytest.param("best(val_loss)", curve([0.5, None, 0.2, 0.4]), 0.2, id="best of a loss"),
        pytest.param("best(val_loss)", curve([nan, 0.2]), 0.2, id="NaN is never best"),
        pytest.param(
            "best(val_accuracy)", curve([0.5, 0.2], name="val_accuracy"), 0.5, id="of an accuracy"
        ),
        pytest.param("tail(val_loss)", curve([9, 8, 3]), 3, id="the tail has a point at least"),
        pytest.param(
            "tail(val_loss)", curve([*range(27), 5, 1, 9]), 5, id="the median of the last tenth"
        ),
        pytest.param("at(val_loss, 5)", curve([0.3, 0.2], [1, 5]), 0.2, id="at a step"),
        pytest.param("epochs_to(val_loss, 0.25)", curve([0.3, 0.2, 0.1], [2, 4, 6]), 4, id="first"),
        pytest.param("epochs_to(val_loss, 0.25)", curve([0.3, 0.26]), inf, id="never is worst"),
        pytest.param(
            "epochs_to(val_accuracy, 0.9)", curve([0.5, 0.9], name="val_accuracy"), 2, id="upwards"
        ),
        pytest.param("val_loss", "diverged", inf, id="diverged is worst"),
        pytest.param("val_accuracy", "diverged", -inf, id="diverged is worst, upwards"),
        pytest.param("best(val_loss)", curve([0.1], status="diverged"), inf, id="never averaged"),
        pytest.param("val_loss", nan, inf, id="a reported NaN is worst"),
    ],
)
def test_a_run_becomes_a_number(make_study, metric, entry, expected) -> None:
    result = evaluate(make_study, metric, {"baseline": [entry]})
    assert result.values.tolist() == [[pytest.approx(expected)]]
    assert result.why.tolist() == [[""]]


@pytest.mark.parametrize(
    ("metric", "entry", "why"),
    [
        ("val_loss", "failed", "failed"),
        ("val_loss", "waiting", "waiting"),
        ("at(val_loss, 7)", curve([0.1]), "without 'val_loss' at step 7"),
        ("epochs_to(val_loss, 1)", {"metrics": {"val_loss": 1}}, "without a curve of 'val_loss'"),
        (
            "val_loss", {"metrics": {"train_loss": 1, "steps": 3}},
            "no run reports 'val_loss'; reported are steps, train_loss",
        ),
        ("tail(best(val_loss))", curve([1]), "without tail(…), which takes a reported name"),
    ],
)  # fmt: skip
def test_what_is_not_measured_has_a_reason(make_study, metric, entry, why) -> None:
    result = evaluate(make_study, metric, {"baseline": [entry]})
    assert np.isnan(result.values).all()
    assert result.why.tolist() == [[why]]


def test_a_single_run_that_does_not_report_is_told_from_a_name_nobody_reports(make_study) -> None:
    result = evaluate(make_study, "val_loss", {"baseline": [1.0, {"metrics": {"other": 1}}]})
    assert result.why.tolist() == [["", "without 'val_loss'"]]


def test_a_recipe_may_keep_what_a_diverged_run_measured(make_study) -> None:
    entries = [curve([0.4, 0.3], status="diverged"), curve([nan], status="diverged"), "diverged"]
    result = evaluate(make_study, "val_loss", {"baseline": entries}, {"of_diverged": "measured"})
    assert result.values.tolist() == [[0.3, inf, inf]]


def test_spread_is_the_distance_from_the_median_of_the_arm(make_study) -> None:
    values = {"baseline": [1.0, 2.0, 6.0, "failed"], "a": [1.0, "diverged", 2.0]}
    result = evaluate(make_study, "spread(val_loss)", values)
    assert result.values[0].tolist() == pytest.approx([1, 0, 4, nan], nan_ok=True)
    assert result.values[1].tolist() == pytest.approx([1, inf, 0, nan], nan_ok=True)


LADDER = {
    "baseline": {"optim.lr": 0.1, "train.batch_size": 8},
    "lr_0.01": {"optim.lr": 0.01, "train.batch_size": 8},
    "batch_16": {"optim.lr": 0.1, "train.batch_size": 16},
    "both": {"optim.lr": 0.01, "train.batch_size": 16},
}


def test_along_an_axis_each_group_of_arms_has_its_own_answer(make_study) -> None:
    values = {
        "baseline": [0.5, "diverged", 0.9], "lr_0.01": [0.4, 0.8, 0.8],
        "batch_16": [0.2, 0.2, "failed"], "both": [0.3, 0.3, 0.1],
    }  # fmt: skip
    best = evaluate(make_study, "best_of(optim.lr, val_loss)", values, axes=LADDER)
    assert best.values[0].tolist() == best.values[1].tolist() == [0.01, 0.01, 0.01]
    assert best.values[2].tolist() == pytest.approx([0.1, 0.1, nan], nan_ok=True)
    assert best.why[3].tolist() == ["", "", "without a value at every optim.lr"]
    metric = "largest_of(optim.lr, val_loss, 0.5)"
    largest = evaluate(make_study, metric, values, axes=LADDER)
    assert largest.values[1].tolist() == [0.1, -inf, -inf]
    assert largest.values[2].tolist() == pytest.approx([0.1, 0.1, nan], nan_ok=True)


def test_functions_along_an_axis_nest(make_study) -> None:
    values = {"baseline": [curve([0.1, 0.6])], "lr_0.01": [curve([0.7, 0.5])]}
    axes = {name: {"optim.lr": LADDER[name]["optim.lr"]} for name in values}
    for metric, expected in [
        ("best_of(optim.lr, tail(val_loss))", 0.01),
        ("best_of(optim.lr, best(val_loss))", 0.1),
    ]:
        result = evaluate(make_study, metric, values, axes=axes)
        assert result.values.tolist() == [[expected], [expected]]


@pytest.mark.parametrize(
    ("axis", "why"),
    [
        ("depth", "no arms differ in 'depth'; they do in data"),
        ("data", "axis 'data' holds no numbers"),
    ],
)
def test_an_axis_that_cannot_be_ranked_has_a_reason(make_study, axis, why) -> None:
    axes = {"baseline": {"data": "digits"}, "a": {"data": "captcha"}}
    values = {"baseline": [1.0], "a": [2.0]}
    result = evaluate(make_study, f"best_of({axis}, val_loss)", values, axes=axes)
    assert result.why.tolist() == [[why], [why]]


def test_logs_are_compared_and_what_has_none_is_not_measured(make_study) -> None:
    result = evaluate(make_study, "val_loss", {"baseline": [100.0, 0.0, "diverged", "failed"]})
    logs = comparable(result, log=True)
    assert logs.values[0].tolist() == pytest.approx([2, nan, inf, nan], nan_ok=True)
    assert logs.why[0].tolist() == ["", "without a log10 (not above zero)", "", "failed"]


def test_the_runs_of_a_search_and_missing_runs_are_no_answers(make_study) -> None:
    plan, runs = make_study({"baseline": [1.0, 2.0]}, {"val_loss": {}})
    searched = Run("baseline", 1, "search", "s", "done", metrics={"val_loss": 9.0})
    result = measure("val_loss", plan.read_recipe(), Grid.of(plan, [runs[0], searched]))
    assert result.why.tolist() == [["", "waiting"]]
    assert result.values[0, 0] == 1.0


def test_the_goals_of_functions_are_their_own(make_study) -> None:
    metrics = ["epochs_to(val_accuracy, 0.9)", "spread(val_accuracy)", "best(val_accuracy)",
               "largest_of(optim.lr, val_loss, 1)"]  # fmt: skip
    recipe = make_study({"baseline": [1.0]}, {m: {} for m in metrics})[0].read_recipe()
    assert [recipe.goal(metric) for metric in metrics] == ["down", "down", "up", "up"]
