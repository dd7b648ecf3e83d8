"""The door to Optuna: fixed cells, searches, what is told, and replay after a restart."""

import math
from typing import Any

import pytest

from sweeper.errors import RequestError
from sweeper.recipe import Range
from sweeper.settings import Pruner, Sampler
from sweeper.study import (
    OtherValues,
    Study,
    cell_space,
    make_pruner,
    make_sampler,
    search_space,
)

AXES = {
    "optim.lr": Range(low=1e-4, high=1.0, log=True),
    "model.depth": Range(low=1, high=8, integer=True),
    "optim": Range(choices=["sgd", "adam"]),
}
NUMBERS = {axis: found for axis, found in AXES.items() if found.choices is None}
SAMPLERS = ("tpe", "random", "qmc", "gp", "cmaes")
# A Gaussian process thinks for half a second: of its proposals a few are enough.
STARTUP = {"gp": 9}


def study(sampler: str, name: str = "study/arm", goal: Any = "down", pruner: Any = None) -> Study:
    axes = NUMBERS if sampler == "cmaes" else AXES
    startup = {"startup_trials": STARTUP.get(sampler, 4)}
    settings = Sampler.model_validate({"name": sampler, **startup}).model_dump()
    found = make_pruner(Pruner.model_validate(pruner).model_dump()) if pruner else None
    return Study(search_space(axes), goal, make_sampler(settings, name), found, name=name)


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
    stop, end = (11, 14) if sampler == "gp" else (15, 25)
    whole = study(sampler)
    expected = go(whole, 0, end)
    half = study(sampler)
    assert go(half, 0, stop) == expected[:stop]
    again = study(sampler)
    again.replay(half.turns)
    assert again.turns == half.turns
    rest = go(again, stop, end)
    assert rest == expected[stop:]


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
    mend = "let it go on from the recorded values with `replay: enqueue` under `search:`"
    with pytest.raises(OtherValues, match=mend):
        study("random").replay(turns)
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
    "status, value",
    [("failed", 0.0), ("crashed", None), ("done", None), ("pruned", None), ("skipped", None)],
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


def test_what_was_recorded_otherwise_is_taken_as_it_was_when_it_is_enqueued() -> None:
    first = study("tpe")
    go(first, 0, 6)
    turns = [dict(turn) for turn in first.turns]
    turns[0] = {**turns[0], "values": {**turns[0]["values"], "model.depth": 1}, "optuna": "1.2.3"}
    again = study("tpe")
    again.enqueue(turns)
    assert again.turns == turns and again.ask().number == 6
    assert again.told(0) == (turns[1]["value"],)


BRANCHES = {
    "optim": Range(choices=["sgd", "adam"]),
    "optim.beta": Range(low=0.5, high=0.9, when={"optim": ["adam"]}),
    "optim.lr": AXES["optim.lr"],
}


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_axes_with_a_condition_are_asked_for_after_what_they_hang_on(sampler: str) -> None:
    when = {axis: found.when for axis, found in BRANCHES.items() if found.when}
    raw = {"name": sampler, "startup_trials": STARTUP.get(sampler, 4)}
    settings = Sampler.model_validate(raw).model_dump()

    def make() -> Study:
        drawn = make_sampler(settings, "x", is_conditional=True)
        return Study(search_space(BRANCHES), "down", drawn, when=when)

    stop, end = (10, 12) if sampler == "gp" else (15, 20)
    whole, again = make(), make()
    for number in range(end):
        asked = whole.ask()
        assert ("optim.beta" in asked.values) == (asked.values["optim"] == "adam")
        whole.tell(number, "done", abs(math.log10(asked.values["optim.lr"]) + 2))
    again.replay(whole.turns[: 2 * stop])
    assert again.ask().values == whole.turns[2 * stop]["values"]


PRUNERS = {
    "median": {"name": "median", "startup_trials": 2},
    "percentile": {"name": "percentile", "percentile": 50.0, "startup_trials": 2},
    "asha": {"name": "asha", "reduction_factor": 2},
    "hyperband": {"name": "hyperband", "max_resource": 7, "reduction_factor": 2},
}


def reported(found: Study, first: int, last: int) -> list[bool]:
    """Ask, report eight steps, tell; whether each was given up. The fourth one turns into NaN."""
    given_up = []
    for number in range(first, last):
        end = loss(found.ask().values)
        points = (math.nan if number == 3 else end + 1 / (step + 1) for step in range(8))
        pruned = any(found.report(number, step, value) for step, value in enumerate(points))
        found.tell(number, "pruned" if pruned else "done", None if pruned else end)
        given_up.append(pruned)
    return given_up


@pytest.mark.parametrize("pruner", PRUNERS.values(), ids=PRUNERS)
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_what_a_pruner_gave_up_is_given_up_again_in_a_replay(sampler: str, pruner: Any) -> None:
    whole, again = study(sampler, pruner=pruner), study(sampler, pruner=pruner)
    given_up = reported(whole, 0, 20)
    assert any(given_up) and not all(given_up)
    cut = next(i for i, turn in enumerate(whole.turns) if turn.get("tell") == 14) + 1
    again.replay(whole.turns[:cut])
    assert reported(again, 15, 20) == given_up[15:] and again.turns == whole.turns
    best = again.best()
    assert best is not None and again.told(best.number)
    assert all(again.told(n) == () for n, pruned in enumerate(given_up) if pruned)


def test_another_decision_than_was_recorded_is_refused() -> None:
    first = study("random", pruner=PRUNERS["median"])
    reported(first, 0, 8)
    turns = [dict(turn) for turn in first.turns]
    next(turn for turn in turns if turn.get("prune"))["prune"] = False
    with pytest.raises(OtherValues, match="gives up other proposals: install that version again"):
        study("random", pruner=PRUNERS["median"]).replay(turns)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_of_several_goals_the_best_is_the_first_ones_best_of_the_pareto_set(sampler: str) -> None:
    found, again = study(sampler, goal=["down", "up"]), study(sampler, goal=["down", "up"])
    told = [(3.0, 1.0), (1.0, 1.0), (1.0, 2.0), (2.0, 5.0), (9.0, math.nan), (0.5, None)]
    for value in told:
        found.tell(found.ask().number, "done", value)
    found.tell(found.ask().number, "diverged", [None, None])
    assert found.pareto() == (2, 3)
    best = found.best()
    assert best is not None and best.number == 2
    assert found.told(4) == (9.0, -math.inf) and found.told(5) == ()
    assert found.told(6) == (math.inf, -math.inf)
    again.replay(found.turns)
    assert again.ask() == found.ask()


def test_one_goal_has_no_pareto_set() -> None:
    found = study("random")
    found.tell(found.ask().number, "done", 1.0)
    assert found.pareto() == ()
