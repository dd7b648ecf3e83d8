"""The two tasks without a data set: descent on a known surface, and two nets against each other."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import BASE

from sweeper import axes
from sweeper.errors import DoesNotApply
from sweeper.training import adversarial, surface
from sweeper.trial import Config

SEED = 100
TASKS = {"surface": surface.descend, "adversarial": adversarial.train}
Told = list[tuple[int, dict[str, float]]]


@pytest.fixture
def perform(tmp_path: Path) -> Callable[..., dict[str, float]]:
    """perform(task, optim=…, train=…, **keys of the task): what it returns; `told` is its curve."""

    def one(
        name: str, groups: dict[str, Any] | None = None, seed: int = SEED,
        told: Told | None = None, **task: Any,
    ) -> dict[str, float]:  # fmt: skip
        target = f"sweeper.training.{name}.{TASKS[name].__name__}"
        config = axes.normalise({**BASE, **(groups or {}), "task": {"_target_": target, **task}})
        return TASKS[name](
            Config(config), seed=seed, device="cpu", workdir=tmp_path,
            report=lambda step, **m: (told if told is not None else []).append((step, m)),
        )  # fmt: skip

    return one


def at(lr: float, batch: int = 4, name: str = "sgd") -> dict[str, Any]:
    return {"optim": {"name": name, "lr": lr}, "train": {"batch_size": batch}}


@pytest.mark.parametrize("place", ["double_well", "saddle"])
def test_without_noise_a_well_is_never_left_and_a_saddle_in_the_end(perform, place) -> None:
    found = perform("surface", at(0.05), surface=place, noise=0.0, starts=200)
    assert found["escaped_score"] == pytest.approx(1.0 if place == "saddle" else 0.0, abs=0.03)
    assert (found["lost_share"], found["steps"]) == (0.0, 400.0)


def test_every_start_lies_in_the_poor_place(perform) -> None:
    for place in ("double_well", "saddle"):
        told: Told = []
        assert perform("surface", at(1e-9), told=told, surface=place)["escaped_score"] == 0
        assert len(told) == surface.POINTS


def test_the_slopes_are_those_of_the_surfaces_and_vanish_where_it_is_said() -> None:
    def height(at: torch.Tensor) -> torch.Tensor:
        if at.shape[1] == 1:
            return (at**4 / 4 - at**2 / 2 - surface.TILT * at).sum()
        x, y = at.unbind(dim=1)
        return (x**2 / 2 - y**2 / 2 + y**4 / 4).sum()

    for place, dimensions in (("double_well", 1), ("saddle", 2)):
        points = torch.randn(50, dimensions, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(height(points), points)
        assert torch.allclose(surface.SURFACES[place].slope(points), slope)
    flat = np.sort(np.roots([1, 0, -1, -surface.TILT]).real)
    assert flat.round(2).tolist() == [-0.88, -0.21, 1.09]


def test_the_noise_of_a_batch_falls_with_the_root_of_its_size(perform) -> None:
    one = perform("surface", at(0.05, batch=4), noise=3.0)
    assert one == perform("surface", at(0.05, batch=16), noise=6.0)
    assert 0.3 < one["escaped_score"] < 0.7


def test_what_blows_up_has_not_left(perform) -> None:
    found = perform("surface", at(2.0, batch=1), starts=100)
    assert found["lost_share"] == 1.0
    assert found["escaped_score"] == 0.0


def test_a_surface_is_descended_by_the_rule_that_is_asked_for(perform) -> None:
    plain = perform("surface", at(0.02))
    momentum = perform("surface", {**at(0.02), "optim": {"name": "momentum", "lr": 0.02}})
    assert momentum["escaped_score"] > plain["escaped_score"] + 0.1
    assert perform("surface", at(0.02)) == plain
    assert perform("surface", at(0.05), seed=SEED + 1) != perform("surface", at(0.05))


@pytest.mark.parametrize("part", ["discriminator", "generator"])
def test_alone_only_the_part_asked_for_is_trained(perform, part) -> None:
    told: Told = []
    found = perform(
        "adversarial", at(0.01, 16, "adam"), told=told, mode="alone", part=part, steps=60
    )
    assert set(found) == {
        f"{part}_loss", f"largest_{part}_gradient", "largest_gradient", "steps",
    }  # fmt: skip
    assert found["largest_gradient"] == found[f"largest_{part}_gradient"]
    losses = [metrics[f"{part}_loss"] for _, metrics in told]
    assert losses[-1] < 0.9 * losses[0]


def test_adversarial_nets_are_one_game_whichever_part_is_looked_at(perform) -> None:
    before = torch.get_rng_state()
    first, second = (
        perform("adversarial", at(0.01, 16, "adam"), part=part, steps=40)
        for part in ("discriminator", "generator")
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert first.pop("largest_gradient") == first["largest_discriminator_gradient"]
    assert second.pop("largest_gradient") == second["largest_generator_gradient"]
    assert first == second
    assert first != perform("adversarial", at(0.01, 16, "adam"), seed=SEED + 1, steps=40)


def test_the_largest_gradient_is_that_of_the_steps_made(perform, monkeypatch) -> None:
    norms: list[float] = []
    total = adversarial.nn.utils.get_total_norm

    def noted(tensors: Any) -> torch.Tensor:
        norms.append(total(tensors).item())
        return torch.tensor(norms[-1])

    monkeypatch.setattr(adversarial.nn.utils, "get_total_norm", noted)
    found = perform("adversarial", at(0.05, 16, "adam"), mode="alone", steps=30)
    assert len(norms) == 30
    assert found["largest_gradient"] == pytest.approx(max(norms))


def test_a_game_that_became_infinite_ends_there(perform) -> None:
    found = perform("adversarial", at(1e30, 16), steps=60)
    assert not all(math.isfinite(value) for value in found.values())
    assert found["steps"] < 60


def test_the_game_needs_a_net_of_vectors(perform) -> None:
    cnn = {"model": {"_target_": "sweeper.training.models.cnn"}}
    with pytest.raises(DoesNotApply, match="model=cnn needs images"):
        perform("adversarial", {**at(0.01), **cnn})
