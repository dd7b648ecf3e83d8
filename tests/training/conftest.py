"""A configuration from a few words, and a run of it with all that it reported."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from attempts import BASE, attempt

from sweeper import axes
from sweeper.training import checkpoint, data, loop
from sweeper.training.run import Run as TrainingRun
from sweeper.trial import Config

torch.set_num_threads(1)  # as an executor does: a sum's order depends on it


class Run(NamedTuple):
    metrics: dict[str, float]
    curve: list[tuple[int, dict[str, float]]]

    def reported(self, name: str) -> list[float]:
        return [metrics[name] for _, metrics in self.curve if name in metrics]


def configure(**groups: dict[str, Any]) -> Config:
    """The small base, with whole groups replaced (if they name a choice) or keys changed."""
    config = dict(BASE)
    for group, values in groups.items():
        is_whole = "name" in values or "_target_" in values
        config[group] = values if is_whole else {**BASE[group], **values}
    return Config(axes.normalise(config))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    data.cache_at(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def config_of() -> Callable[..., Config]:
    return configure


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    def train(seed: int = 0, **groups: dict[str, Any]) -> Run:
        curve: list[tuple[int, dict[str, float]]] = []

        def report(step: int, **metrics: float) -> None:
            curve.append((step, metrics))

        config = configure(**groups)
        metrics = loop.train(config, seed=seed, device="cpu", report=report, workdir=tmp_path)
        return Run(metrics, curve)

    return train


@pytest.fixture
def whole(tmp_path: Path) -> Callable[[Any], Any]:
    """The undisturbed run, which every other one is held against."""
    return lambda config: attempt(config, tmp_path / "undisturbed")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the checkpoints, which stands still unless it is moved."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(checkpoint, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def slow_epochs(monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace) -> None:
    """Each epoch takes 25 seconds by that clock."""
    epoch = TrainingRun._epoch

    def slow(run: Any) -> float:
        clock.now += 25
        return epoch(run)

    monkeypatch.setattr(TrainingRun, "_epoch", slow)
