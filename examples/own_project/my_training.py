"""A training function of one's own: logistic regression on random waves, in NumPy alone."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from my_data import spirals
from numpy.typing import NDArray

Array = NDArray[np.float64]


def train(
    config: Any, *, seed: int, device: str, report: Callable[..., None], workdir: Path
) -> Mapping[str, float]:
    """Fit by gradient descent; returns the last losses and accuracies.

    Reads its own keys under `task`: `lr`, `epochs`, `waves` (0 is the raw points) and
    `frequency`. Goes on from the checkpoint in `workdir` if an earlier attempt left one.
    """
    del device  # NumPy runs on the CPU
    task = config["task"]
    train_x, train_y, val_x, val_y = spirals(seed=0)
    lift = _waves(task["waves"], task["frequency"], np.random.default_rng(seed))
    train_x, val_x = lift(train_x), lift(val_x)
    weights, history = _restore(workdir, np.zeros(train_x.shape[1]))
    for epoch, metrics in enumerate(history):
        report(epoch, **metrics)  # the curve of an attempt is what that attempt reports
    for epoch in range(len(history), task["epochs"] + 1):
        if epoch:  # epoch 0 is the untrained model
            errors = _probabilities(train_x, weights) - train_y
            weights -= task["lr"] * train_x.T @ errors / len(train_y)
        metrics = {
            **_read("train", train_x, train_y, weights),
            **_read("val", val_x, val_y, weights),
        }
        history.append(metrics)
        if epoch % 20 == 0:
            _save(workdir, weights, history)
        report(epoch, **metrics)
    return history[-1]


def _waves(count: int, frequency: float, random: np.random.Generator) -> Callable[[Array], Array]:
    """Points (samples, 2) → cosines of random projections and a constant (samples, count + 1)."""
    directions = random.normal(0, frequency, (2, count))
    phases = random.uniform(0, 2 * np.pi, count)

    def lift(x: Array) -> Array:
        lifted = np.cos(x @ directions + phases) if count else x
        return np.hstack([lifted, np.ones((len(x), 1))])

    return lift


def _probabilities(x: Array, weights: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(x @ weights, -50, 50)))


def _read(part: str, x: Array, y: NDArray[np.int64], weights: Array) -> dict[str, float]:
    sure = np.clip(np.where(y == 1, p := _probabilities(x, weights), 1 - p), 1e-12, 1)
    return {
        f"{part}_loss": float(-np.log(sure).mean()),
        f"{part}_accuracy": float((sure > 0.5).mean()),
    }


def _save(workdir: Path, weights: Array, history: list[dict[str, float]]) -> None:
    """Write beside, then rename: a kill in between leaves the checkpoint before."""
    half = workdir / "checkpoint.half"
    half.write_text(json.dumps({"weights": weights.tolist(), "history": history}))
    half.replace(workdir / "checkpoint.json")


def _restore(workdir: Path, start: Array) -> tuple[Array, list[dict[str, float]]]:
    """The weights and readings of the last checkpoint, or `start` and none."""
    checkpoint = workdir / "checkpoint.json"
    if not checkpoint.is_file():
        return start, []
    kept = json.loads(checkpoint.read_text())
    return np.array(kept["weights"]), kept["history"]
