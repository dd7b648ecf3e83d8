"""The door to Optuna: fixed cells, searches, what is told, and replay after a restart."""

import math
from typing import Any

import pytest

from sweeper.errors import RequestError
from sweeper.recipe import Range
from sweeper.study import Study, cell_space, make_sampler, search_space

AXES = {
    "optim.lr": Range(low=1e-4, high=1.0, log=True),
    "model.depth": Range(low=1, high=8, integer=True),
    "optim": Range(choices=["sgd", "adam"]),
}
SETTINGS: dict[str, Any] = {
    "seed": 0,
    "startup_trials": 4,
    "multivariate": True,
    "constant_liar": True,
}
SAMPLERS = ("tpe", "random", "qmc")


def study(sampler: str, name: str = "study/arm", goal: Any = "down") -> Study:
    return Study(search_space(AXES), goal, make_sampler({**SETTINGS, "name": sampler}, name))


def loss(values: Any) -> float:
    return float(abs(math.log10(values["optim.lr"]) + 2) + values["model.depth"] / 10)


def go(found: Study, first: int, last: int) -> list[dict[str, Any]]:
    """Ask and tell so many, each fifth diverged and each seventh failed; what was proposed."""
    proposed = []
    for n in range(first, last):
        asked = found.ask()
        proposed.append(dict(asked.values))
        status = "diverged" if n % 5 == 4 else "failed" if n % 7 == 6 else "done"
        found.tell(asked.number, status, math.nan if status == "diverged" else loss(asked.values))
    return proposed


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_after_replay_a_study_proposes_what_it_would_have_proposed(sampler: str) -> None:
    whole = study(sampler)
    expected = go(whole, 0, 25)
    half = study(sampler)
    assert go(half, 0, 12) == expected[:12]
    again = study(sampler)
    again.replay(half.turns)
    assert again.turns == half.turns
    rest = go(again, 12, 25)
    assert rest == expected[12:]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_replay_keeps_the_order_of_overlapping_asks_and_tells(sampler: str) -> None:
    first, again = study(sampler), study(sampler)
    asked = [first.ask() for _ in range(3)]
    for one in (asked[2], asked[0]):
        first.tell(one.number, "done", loss(one.values))
    again.replay(first.turns)
    assert first.ask() == again.ask()


def test_replay_under_another_optuna_is_refused_with_the_mend() -> None:
    first = study("random")
    first.ask()
    turns = [
        {
            **first.turns[0],
            "values": {**first.turns[0]["values"], "model.depth": 99},
            "optuna": "1.2.3",
        }
    ]
    with pytest.raises(
        RequestError, match=r"begun under Optuna 1\.2\.3, and version .* proposes other values"
    ):
        study("random").replay(turns)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_arms_draw_apart_and_one_arm_draws_the_same(sampler: str) -> None:
    one, same, other = study(sampler), study(sampler), study(sampler, "study/other")
    assert go(one, 0, 5) == go(same, 0, 5) != go(other, 0, 5)


def test_proposals_lie_within_their_ranges() -> None:
    for values in go(study("tpe"), 0, 20):
        assert 1e-4 <= values["optim.lr"] <= 1.0
        assert values["model.depth"] in range(1, 9) and isinstance(values["model.depth"], int)
        assert values["optim"] in ("sgd", "adam")


@pytest.mark.parametrize("goal, worst", [("down", math.inf), ("up", -math.inf)])
@pytest.mark.parametrize(
    "status, value", [("diverged", 0.5), ("diverged", math.nan), ("done", math.nan)]
)
def test_a_diverged_trial_is_told_as_the_worst_not_as_failed(
    goal: Any, worst: float, status: str, value: float
) -> None:
    found = study("random", goal=goal)
    bad, good = found.ask(), found.ask()
    found.tell(bad.number, status, value)
    assert found._study.trials[0].value == worst
    found.tell(good.number, "done", 3.0)
    assert found.best() == good


@pytest.mark.parametrize(
    "status, value", [("failed", 0.0), ("crashed", None), ("done", None), ("pruned", 0.0)]
)
def test_a_trial_without_a_result_never_wins(status: str, value: float | None) -> None:
    found = study("random")
    bad = found.ask()
    found.tell(bad.number, status, value)
    assert found.best() is None
    good = found.ask()
    found.tell(good.number, "done", 9.0)
    assert found.best() == good


@pytest.mark.parametrize("goal, values", [("down", [2.0, 1.0, 1.0]), ("up", [1.0, 2.0, 2.0])])
def test_the_best_is_the_earliest_on_a_tie(goal: Any, values: list[float]) -> None:
    found = study("random", goal=goal)
    asked = [found.ask() for _ in values]
    for one, value in reversed(list(zip(asked, values, strict=True))):
        found.tell(one.number, "done", value)
    assert found.best() == asked[1]


def test_a_fixed_cell_is_proposed_as_it_is_even_between_searches() -> None:
    found = Study(cell_space(["baseline", "larger"], [0, 1000]), "down")
    for cell in ({"arm": "larger", "seed": 1000}, {"arm": "baseline", "seed": 3}):
        assert found.ask(cell).values == cell
