"""Least squares by stochastic gradient descent, where the truth is known by construction."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = 30
NOISE = 0.5  # standard deviation of what no weights explain


def train(
    config: Any, *, seed: int, device: str, report: Callable[..., None], workdir: Path
) -> Mapping[str, float]:
    """Fit on fresh samples at every step; returns the expected loss above the least possible.

    Reads its own keys under `task`: `lr`, `steps`, `batch_size` and `loss`, the `sum` or the `mean`
    over a batch. Inputs are standard normal, so the excess loss is the squared distance to the
    true weights, without an error of evaluation.
    """
    del device, workdir
    task = config["task"]
    random = np.random.default_rng(seed)
    truth = random.normal(size=WEIGHTS) / WEIGHTS**0.5
    weights = np.zeros(WEIGHTS)
    scale = 1 / task["batch_size"] if task["loss"] == "mean" else 1.0
    excess = float(truth @ truth)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(1, task["steps"] + 1):
            x = random.normal(size=(task["batch_size"], WEIGHTS))
            y = x @ truth + NOISE * random.normal(size=task["batch_size"])
            weights = weights - task["lr"] * scale * x.T @ (x @ weights - y)
            excess = float((weights - truth) @ (weights - truth))
            if step % 5 == 0:
                report(step, excess_loss=excess)
    return {"excess_loss": excess}
