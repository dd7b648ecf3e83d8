"""A task without data: noisy descent from many starts near a known poor place of a surface."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.training import optimizers, schedules, streams
from sweeper.training.run import Report

POINTS = 20  # of the curve, at most
# Of the tilted well x⁴/4 − x²/2 − TILT·x: its minima lie near −0.88 (the poor one) and 1.09, the
# ridge between them near −0.21.
TILT = 0.2


def _well_slope(at: Tensor) -> Tensor:
    return at**3 - at - TILT


def _saddle_slope(at: Tensor) -> Tensor:
    """Of x²/2 − y²/2 + y⁴/4: a saddle at (0, 0), minima at (0, ±1)."""
    x, y = at.unbind(dim=1)
    return torch.stack([x, y**3 - y], dim=1)


@dataclass(frozen=True)
class Ground:
    """Where starts are drawn from (evenly), the slope, and which places count as outside."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    slope: Callable[[Tensor], Tensor]
    is_outside: Callable[[Tensor], Tensor]


SURFACES = {
    # all starts lie in the poor basin, clear of its ridge; outside is well beyond it
    "double_well": Ground((-1.3,), (-0.5,), _well_slope, lambda at: at[:, 0] > 0.5),
    "saddle": Ground((-1.0, -0.01), (1.0, 0.01), _saddle_slope, lambda at: at[:, 1].abs() > 0.5),
}


def descend(
    config: Mapping[str, Any], *, seed: int, device: str, report: Report, workdir: Path
) -> dict[str, float]:
    """Descend from every start by `optim` and `schedule`, with the noise that batches have.

    `escaped_score` is the share of starts that were outside the poor place after some step (those
    that ended at no finite place left nothing: they are the `lost_share`).
    """
    del workdir
    task, ground = config["task"], SURFACES[config["task"]["surface"]]
    random = streams.torch_generator(seed, "surface")
    low, high = torch.tensor(ground.low), torch.tensor(ground.high)
    begin = low + (high - low) * torch.rand(task["starts"], len(low), generator=random)
    places = nn.Parameter(begin.to(device))
    optimizer = optimizers.build(config["optim"], [places])
    steps, lr = task["steps"], config["optim"]["lr"]
    schedule = schedules.build(config["schedule"], lr=lr, steps_per_epoch=steps, epochs=1)
    deviation = task["noise"] / config["train"]["batch_size"] ** 0.5
    has_left = torch.zeros(len(begin), dtype=torch.bool, device=places.device)
    for step in range(steps):
        optimizers.set_lr(optimizer, schedule.at(step))
        noise = deviation * torch.randn(begin.shape, generator=random)
        places.grad = ground.slope(places.detach()) + noise.to(device)
        optimizer.step()
        has_left |= ground.is_outside(places.detach())
        if (step + 1) % max(1, steps // POINTS) == 0:
            report(step + 1, **_shares(places, has_left))
    return {**_shares(places, has_left), "steps": float(steps)}


def _shares(places: Tensor, has_left: Tensor) -> dict[str, float]:
    is_finite = places.detach().isfinite().all(dim=1)
    return {
        "escaped_score": (has_left & is_finite).double().mean().item(),
        "lost_share": (~is_finite).double().mean().item(),
    }
