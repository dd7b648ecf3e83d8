"""A small configuration, attempts at it that stop where a test says, and what they leave behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeper.errors import Preempted
from sweeper.training import checkpoint, loop, samples, weights

Curve = list[tuple[int, dict[str, float]]]
Runner = Callable[..., Any]
BASE: dict[str, dict[str, Any]] = {
    "data": {"_target_": "sweeper.training.data.digits", "train_samples": 200},
    "model": {"_target_": "sweeper.training.models.mlp", "hidden_units": 16},
    "init": {"name": "default"},
    "optim": {"name": "momentum"},
    "schedule": {"name": "constant"},
    "loss": {"name": "cross_entropy"},
    "train": {"epochs": 2},
    "task": {"_target_": "sweeper.training.loop.train"},
}
NET_OF_ALL_KINDS = {
    "_target_": "sweeper.training.models.mlp", "hidden_units": 16, "norm": "batch", "dropout": 0.3,
}  # fmt: skip
KEPT = {checkpoint.NAME}


def attempt(
    config: Any, workdir: Path, *, stop_at: int | None = None, stop: BaseException | None = None
) -> tuple[dict[str, float] | None, Curve]:
    """What the attempt returned (None if it was stopped at that epoch), and what it reported."""
    curve: Curve = []
    stop = stop or Preempted()

    def report(step: int, **metrics: float) -> None:
        curve.append((step, metrics))
        if step == stop_at:
            raise stop

    workdir.mkdir(exist_ok=True)
    try:
        return loop.train(config, seed=3, device="cpu", report=report, workdir=workdir), curve
    except type(stop):
        return None, curve


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, names and their order too; NaN equals NaN."""
    return repr(a) == repr(b)


def files(workdir: Path) -> set[str]:
    """What lies there besides what a run that came to its end leaves to look at."""
    return {path.name for path in workdir.iterdir()} - {samples.NAME, weights.NAME}
