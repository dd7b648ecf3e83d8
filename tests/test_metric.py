"""The small language of metrics: what it reads, what it refuses, what it computes."""

# ruff: noqa: E501 - a case of a table is a line

import math
from typing import Any

import pytest

from sweeper.errors import RequestError
from sweeper.metric import MetricExpression, of_run, parse


def named(name: str) -> MetricExpression:
    return MetricExpression("", (name,))


@pytest.mark.parametrize(
    "text, expected",
    [
        pytest.param("val_loss", named("val_loss"), id="a-name"),
        pytest.param("  val_loss ", named("val_loss"), id="spaces-around"),
        pytest.param("grad_norm.first-layer", named("grad_norm.first-layer"), id="dots-and-dashes"),
        pytest.param("best(val_loss)", MetricExpression("best", (named("val_loss"),)), id="best"),
        pytest.param("tail ( val_loss )", MetricExpression("tail", (named("val_loss"),)), id="spaces-within"),
        pytest.param("at(val_loss, 5)", MetricExpression("at", (named("val_loss"), 5.0)), id="at"),
        pytest.param("epochs_to(val_loss, 1e-3)", MetricExpression("epochs_to", (named("val_loss"), 1e-3)), id="epochs-to"),
        pytest.param("spread(best(loss))", MetricExpression("spread", (MetricExpression("best", (named("loss"),)),)), id="nested"),
        pytest.param(
            "largest_of(optim.lr, tail(loss), 0.5)",
            MetricExpression("largest_of", ("optim.lr", MetricExpression("tail", (named("loss"),)), 0.5)),
            id="along-an-axis",
        ),
    ],
)  # fmt: skip
def test_a_metric_is_read(text: str, expected: MetricExpression) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        pytest.param("", "metric '' is neither a reported name nor a function of one: write val_loss, best(val_loss) or at(val_loss, 5).", id="nothing"),
        pytest.param("val loss", "metric 'val loss' is neither a reported name nor a function of one", id="two-words"),
        pytest.param("-val_loss", "is neither a reported name", id="an-expression"),
        pytest.param("best(val_loss", "is neither a reported name", id="open-parenthesis"),
        pytest.param("bset(loss)", "metric 'bset(loss)': there is no function 'bset'. Did you mean 'best'", id="no-such-function"),
        pytest.param("best()", "metric 'best()': best takes (metric), but got 0 arguments.", id="no-argument"),
        pytest.param("at(loss)", "metric 'at(loss)': at takes (metric, number), but got 1 argument.", id="too-few"),
        pytest.param("best(a, b)", "best takes (metric), but got 2 arguments.", id="too-many"),
        pytest.param("at(loss, five)", "metric 'at(loss, five)': 'five' is not a number.", id="no-number"),
        pytest.param("best_of(1, loss)", "metric 'best_of(1, loss)': '1' is not the name of an axis.", id="no-axis"),
        pytest.param("at(loss, nan)", "'nan' is not a number", id="nan"),
        pytest.param("best(a)) + (b)", "is neither a reported name", id="unbalanced"),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(text)
    assert message in str(refused.value)


def test_the_name_at_the_bottom_is_what_must_be_reported() -> None:
    assert parse("largest_of(optim.lr, tail(val_loss), 0.5)").name == "val_loss"


CURVE: dict[str, Any] = {
    "step": [1, 2, 3, 4],
    "loss": [4.0, 1.0, None, 2.0],
    "accuracy": [0.2, 0.9, 0.7, 0.8],
}


@pytest.mark.parametrize(
    "text, value",
    [
        ("loss", 1.5),  # as returned
        ("accuracy", 0.8),  # as last reported
        ("best(loss)", 1.0),
        ("best(accuracy)", 0.9),
        ("tail(loss)", 2.0),
        ("at(loss, 2)", 1.0),
        ("at(loss, 3)", None),
        ("at(loss, 9)", None),
        ("epochs_to(loss, 1)", 2),
        ("epochs_to(accuracy, 0.8)", 2),
        ("epochs_to(loss, 0.5)", math.inf),
        ("missing", None),
        ("best(missing)", None),
        ("best(final)", 7.0),
    ],
)
def test_a_runs_own_number(text: str, value: float | None) -> None:
    metrics = {"loss": 1.5, "final": 7.0}
    assert of_run(parse(text), metrics, CURVE, is_down="accuracy" not in text) == value


def test_the_tail_is_the_median_of_the_last_tenth() -> None:
    curve = {"step": list(range(30)), "loss": [9.0] * 27 + [1.0, 5.0, 2.0]}
    assert of_run(parse("tail(loss)"), {}, curve, is_down=True) == 2.0
