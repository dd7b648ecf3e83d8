"""Attempts at one trial, stopped where a test says, and what they leave behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeper.errors import Preempted
from sweeper.training import checkpoint, loop, samples

Curve = list[tuple[int, dict[str, float]]]
Runner = Callable[..., Any]
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
    """What lies there besides the few images that a run which came to its end leaves."""
    return {path.name for path in workdir.iterdir()} - {samples.NAME}
