"""Probes of how a run ends: the gap between its losses, errors under any loss, rising steps."""

from collections.abc import Callable
from typing import Any

import pytest

Runner = Callable[..., Any]
DIABETES = {"_target_": "sweeper.training.data.diabetes"}


def test_the_gap_is_the_last_validation_loss_less_the_last_training_loss(run: Runner) -> None:
    metrics = run(train={"probes": ["gap"]}).metrics
    assert metrics["gap_loss"] == metrics["val_loss"] - metrics["train_loss"]
    assert "gap_loss" not in run().metrics


def test_the_gap_of_a_run_that_diverged_is_no_number(run: Runner) -> None:
    metrics = run(
        data=DIABETES, loss={"name": "mse"}, optim={"lr": 100.0}, train={"probes": ["gap"]}
    ).metrics
    assert metrics["gap_loss"] != metrics["gap_loss"]


@pytest.mark.parametrize(("loss", "error"), [("mse", "squared"), ("mae", "absolute")])
def test_the_errors_hold_the_loss_of_their_kind_at_every_reading(
    run: Runner, loss: str, error: str
) -> None:
    result = run(data=DIABETES, loss={"name": loss}, train={"probes": ["errors"]})
    assert result.reported(f"val_{error}_error") == result.reported("val_loss")
    assert len(result.reported("val_absolute_error")) == 3


def test_the_fault_of_a_loss_divided_once_more_spares_the_errors(run: Runner) -> None:
    train = {"probes": ["errors"], "validation_loss": "divided_by_batch"}
    right = run(data=DIABETES, loss={"name": "mse"}, train={"probes": ["errors"]}).metrics
    wrong = run(data=DIABETES, loss={"name": "mse"}, train=train).metrics
    assert wrong["val_loss"] < right["val_loss"] / 100
    assert wrong["val_squared_error"] == right["val_squared_error"]


def test_a_loss_that_falls_at_every_step_never_rises_and_a_noisy_one_often(run: Runner) -> None:
    def share(**train: Any) -> float:
        train = {"epochs": 20, "probes": ["steps"], **train}
        return float(run(optim={"name": "sgd", "lr": 0.05}, train=train).metrics["rising_share"])

    assert share(batch_size=200) == 0
    assert share(batch_size=8) > 0.2


def test_what_is_read_besides_leaves_the_training_as_it_was(run: Runner) -> None:
    read = run(train={"probes": ["gap", "errors", "steps"]}).metrics
    assert read["weights_fingerprint"] == run().metrics["weights_fingerprint"]
