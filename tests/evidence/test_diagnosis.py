"""The loss-trend rules on the numbers of one run."""

import math

import pytest

from sweeper.evidence.diagnosis import diagnose, least_accuracy
from sweeper.evidence.runs import Run


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        pytest.param({"train_loss": 0.02, "train_accuracy": 0.1}, "R7", id="small loss, all wrong"),
        pytest.param(
            {"train_loss": 2.0, "running_loss": 0.02, "train_accuracy": 0.1}, "R7",
            id="the running loss knows",
        ),
        pytest.param({"train_loss": 0.02, "train_accuracy": 1.0}, "", id="healthy"),
        pytest.param({"train_loss": 0.6, "train_accuracy": 0.5}, "", id="what the loss allows"),
        pytest.param({"train_loss": 2.3, "train_accuracy": 0.1}, "", id="not learnt yet"),
        pytest.param({"train_accuracy": 0.1}, "", id="no loss"),
        pytest.param({"train_loss": 0.02}, "", id="no accuracy"),
        pytest.param({"train_loss": -1.0, "train_accuracy": 0.1}, "", id="no cross-entropy"),
        pytest.param({"train_loss": 0.02, "train_accuracy": 97.0}, "", id="a percentage"),
        pytest.param(
            {"train_loss": 0.01, "train_accuracy": 0.95, "val_accuracy": 0.85}, "R7_overfitting",
            id="a tenth lower on validation",
        ),
        pytest.param({"train_accuracy": 0.95, "val_accuracy": 0.86}, "", id="less than a tenth"),
        pytest.param({"train_accuracy": 0.94, "val_accuracy": 0.1}, "", id="not yet high"),
    ],
)  # fmt: skip
def test_r7_by_its_numbers(metrics: dict[str, float], expected: str) -> None:
    run = Run("a", 0, "report", "t", "done", metrics=metrics, loss="cross_entropy")
    assert diagnose(run) == expected


@pytest.mark.parametrize("loss", ["mse", "mae", ""])
def test_r7_speaks_of_cross_entropies_alone(loss: str) -> None:
    started = {"train_loss": 0.09, "train_accuracy": 0.1}  # where ten classes start under mse
    assert diagnose(Run("a", 0, "report", "t", "done", metrics=started, loss=loss)) == ""


def test_a_status_is_a_diagnosis_only_if_it_is_a_result() -> None:
    impossible = {"train_loss": 0.02, "train_accuracy": 0.1}
    said = {"metrics": impossible, "loss": "cross_entropy"}
    assert diagnose(Run("a", 0, "report", "t", "diverged")) == "diverged"
    assert diagnose(Run("a", 0, "report", "t", "diverged", **said)) == "diverged;R7"
    assert diagnose(Run("a", 0, "report", "t", "failed", **said)) == ""


def test_the_bound_is_sharp() -> None:
    # every sample misclassified as closely as can be: probability 1/2 for the true class
    assert least_accuracy(math.log(2)) == pytest.approx(0)
    assert least_accuracy(0.0) == 1
