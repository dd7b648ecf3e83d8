"""How much an axis matters, beside what chance alone gives it on the very same proposals."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from sweeper import importance
from sweeper.importance import LEAST_PROPOSALS, importances
from sweeper.plan import Proposal

AXES: dict[str, Any] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "width": {"low": 1, "high": 64, "integer": True},
    "norm": {"choices": ["none", "batch", 2, True]},
}
RANDOM = {"name": "random"}


@pytest.fixture
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a quantile of 95 % takes at least."""
    monkeypatch.setattr(importance, "PERMUTATIONS", {"ped_anova": 19, "fanova": 19})


def proposals(
    told: Callable[[Mapping[str, Any], np.random.Generator], float], count: int = 40, seed: int = 2
) -> list[Proposal]:
    """Drawn at random, each told a number made of its values and of chance."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        values = {
            "lr": float(10 ** chance.uniform(-4, 0)),
            "width": int(chance.integers(1, 65)),
            "norm": AXES["norm"]["choices"][chance.integers(4)],
        }
        found.append(Proposal(number, values, "done", (told(values, chance),), ()))
    return found


def of_lr(values: Mapping[str, Any], chance: np.random.Generator) -> float:
    """Best at 0.01, as a factor; a little noise."""
    return float(10 ** ((math.log10(values["lr"]) + 2) ** 2 + 0.1 * chance.normal()))


def above(found: Mapping[str, tuple[float, float]]) -> set[str]:
    return {axis for axis, (share, floor) in found.items() if share > floor}


@pytest.mark.parametrize("method", ["ped_anova", "fanova"])
def test_the_axis_that_matters_alone_rises_above_its_floor(method: str) -> None:
    found = importances(AXES, proposals(of_lr), "down", {**RANDOM, "importance": method})
    assert list(found) == list(AXES)
    assert above(found) == {"lr"}
    assert sum(share for share, _ in found.values()) == pytest.approx(1)


def test_which_way_is_better_counts() -> None:
    found = importances(AXES, proposals(lambda v, c: -of_lr(v, c)), "up", RANDOM)
    assert found == importances(AXES, proposals(of_lr), "down", RANDOM)


def test_of_a_single_axis_the_floor_says_whether_it_matters() -> None:
    axes = {"lr": AXES["lr"]}
    (share, floor) = importances(axes, proposals(of_lr), "down", RANDOM)["lr"]
    assert share == 1 > floor
    (share, floor) = importances(axes, proposals(lambda _, c: c.normal()), "down", RANDOM)["lr"]
    assert share == 1 < floor


@pytest.mark.usefixtures("few_permutations")
def test_an_axis_of_pure_chance_is_seldom_above_its_floor() -> None:
    axes = {"lr": AXES["lr"], "norm": AXES["norm"]}
    families = [
        above(importances(axes, proposals(lambda _, c: c.normal(), 12, seed), "down", RANDOM))
        for seed in range(40)
    ]
    assert sum(map(bool, families)) <= 5  # 2 are expected


@pytest.mark.usefixtures("few_permutations")
def test_a_diverged_proposal_ranks_last() -> None:
    def told(values: Mapping[str, Any], _: np.random.Generator) -> float:
        return math.inf if values["lr"] > 0.01 else 1.0 + values["lr"]

    found = importances(AXES, proposals(told), "down", RANDOM)
    assert above(found) == {"lr"}
    assert all(math.isfinite(number) for pair in found.values() for number in pair)


@pytest.mark.usefixtures("few_permutations")
def test_too_few_finite_proposals_say_nothing() -> None:
    enough = proposals(of_lr, LEAST_PROPOSALS)
    assert importances(AXES, enough, "down", RANDOM)
    assert importances(AXES, enough[1:], "down", RANDOM) == {}
    diverged = Proposal(0, enough[0].values, "diverged", (math.inf,), ())
    failed = Proposal(0, enough[0].values, "failed", (), ())
    for other in (diverged, failed):
        assert importances(AXES, [other, *enough[1:]], "down", RANDOM) == {}


def test_it_may_be_left_out() -> None:
    sampler = {**RANDOM, "importance": "none"}
    assert importances(AXES, proposals(of_lr), "down", sampler) == {}


@pytest.mark.usefixtures("few_permutations")
def test_where_all_were_told_the_same_no_axis_is_told_of() -> None:
    assert importances(AXES, proposals(lambda *_: 1.0), "down", RANDOM) == {}


@pytest.mark.usefixtures("few_permutations")
def test_fanova_says_nothing_of_a_single_axis_which_always_has_all_of_the_variance() -> None:
    fanova = {**RANDOM, "importance": "fanova"}
    assert importances({"lr": AXES["lr"]}, proposals(of_lr, 10), "down", fanova) == {}


@pytest.mark.usefixtures("few_permutations")
def test_an_axis_with_a_condition_is_scored_over_the_proposals_that_have_it() -> None:
    chance = np.random.default_rng(0)
    some = [
        Proposal(p.number, {**p.values, "momentum": float(chance.uniform())}, "done", p.told, ())
        if p.values["norm"] == "batch"
        else p
        for p in proposals(of_lr, 80)
    ]
    axes = {**AXES, "momentum": {"low": 0.0, "high": 1.0, "when": {"norm": ["batch"]}}}
    assert sum("momentum" in p.values for p in some) >= LEAST_PROPOSALS
    found = importances(axes, some, "down", RANDOM)
    assert list(found) == list(axes) and above(found) == {"lr"}
    without = [p for p in some if "momentum" not in p.values]
    assert "momentum" not in importances(axes, without, "down", RANDOM)


def test_a_sampler_that_learns_is_held_to_a_higher_floor() -> None:
    axes, found = {"lr": AXES["lr"]}, proposals(of_lr, 60)
    (_, floor), (_, higher) = (
        importances(axes, found, "down", {"name": name})["lr"] for name in ("random", "tpe")
    )
    assert higher > floor
