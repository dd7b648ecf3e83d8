"""What a search is told: the metric, which way it is better, and of a run without a value."""

import math
import random
from collections.abc import Mapping
from heapq import heappop
from typing import Any

import pytest

from sweeper import folders, sources
from sweeper.compose import Composer
from sweeper.executors.job import Reported
from sweeper.planning import make_request
from sweeper.recipe import Range
from sweeper.recipe_file import read_recipe
from sweeper.sources import FixedCells, result, told_metric
from sweeper.study import Study, search_space
from sweeper.trial import Ending

RECIPE: dict[str, Any] = {
    "question": "?",
    "seeds": 2,
    "arms": [{"name": "a", "set": {"optim.lr": 0.5}}],
}
RISING = Ending("done", {}, {"step": [0, 1, 2], "val_accuracy": [0.1, 0.5, 0.95]})


@pytest.mark.parametrize(
    "metrics, searched, goal",
    [
        (["val_loss"], "val_accuracy", "up"),
        (["val_loss"], None, "down"),
        (["spread(val_accuracy)"], None, "up"),
        (["largest_of(optim.lr, val_loss, 0.1)"], None, "down"),
        ({"reward": {"goal": "up"}, "spread(reward)": {}}, "reward", "up"),
    ],
)
def test_a_search_goes_the_way_in_which_a_single_run_is_better(
    metrics: Any, searched: str | None, goal: str
) -> None:
    recipe = read_recipe({**RECIPE, "metrics": metrics}, where="test")
    request = make_request("study", recipe, Composer(folders.search("conf", [])))
    assert told_metric(request, searched)[1] == goal


def test_an_accuracy_reaches_its_level_from_below_though_fewer_epochs_are_better() -> None:
    recipe = read_recipe({**RECIPE, "metrics": ["epochs_to(val_accuracy, 0.9)"]}, where="test")
    request = make_request("study", recipe, Composer(folders.search("conf", [])))
    assert result(RISING, *told_metric(request)).value == 2


def test_a_diverged_run_without_a_value_of_the_metric_is_told_as_the_worst() -> None:
    study = Study(search_space({"x": Range(low=0, high=1)}), "down")
    study.tell(study.ask().number, "diverged", None)
    best = study.best()
    assert best is not None and best.number == 0
    assert study.turns[-1]["status"] == "diverged" and not math.isnan(best.values["x"])


def test_a_search_may_be_told_the_measured_duration_whatever_is_reported_by_that_name() -> None:
    recipe = read_recipe({**RECIPE, "metrics": ["val_loss"]}, where="test")
    request = make_request("study", recipe, Composer(folders.search("conf", [])))
    told = told_metric(request, "duration_s")
    assert told[1] == "down"
    ending = Ending("done", {"duration_s": 9.0}, duration_s=0.25)
    assert result(ending, *told).value == 0.25


def test_a_fixed_cell_wants_the_whole_of_its_trial_until_it_is_told_and_no_pruned_one() -> None:
    cells = fixed_cells(1)
    trial = cells.ask()
    assert trial is not None and cells.wants(trial.trial_id)
    assert not cells.accepts(trial.trial_id, "pruned") and cells.accepts(trial.trial_id, "failed")
    assert not cells.judge(Reported(trial.trial_id, 1, 0.0, {"val_loss": 1e9}))
    cells.tell(trial.trial_id, Ending("done", {"val_loss": 1.0}))
    assert not cells.wants(trial.trial_id)


def fixed_cells(seeds: int, durations: Mapping[str, float] | None = None) -> FixedCells:
    """Of three arms: `baseline`, `a` and `b`; durations are told by arm, of its first seed."""
    arms = [{"name": n, "set": {"optim.lr": lr}} for n, lr in (("a", 0.5), ("b", 0.7))]
    raw = {**RECIPE, "arms": arms, "seeds": seeds, "metrics": ["val_loss"]}
    recipe = read_recipe(raw, where="test")
    request = make_request("study", recipe, Composer(folders.search("conf", [])))
    first = {c.arm: c.trial_id for c in request.plan.cells if c.seed == 0}
    known = {first[arm]: seconds for arm, seconds in (durations or {}).items()}
    return FixedCells(request, request.plan.cells, dict.fromkeys(known, "done"), known)


def arm_of(trial: Any) -> str:
    return {0.5: "a", 0.7: "b"}.get(trial.config["optim"]["lr"], "baseline")


def test_arms_that_nobody_has_timed_come_first_each_once_before_any_twice() -> None:
    cells = fixed_cells(2)
    asked = [cells.ask() for _ in range(6)]
    assert [(arm_of(t), t.seed) for t in asked if t] == [
        ("baseline", 0), ("a", 0), ("b", 0), ("baseline", 1), ("a", 1), ("b", 1),
    ]  # fmt: skip
    assert cells.ask() is None and not cells.is_done


def test_the_arm_that_takes_longest_comes_first() -> None:
    cells = fixed_cells(4, {"baseline": 2.0, "a": 1.0, "b": 9.0})
    assert [arm_of(cells.ask()) for _ in range(9)] == ["b"] * 3 + ["baseline"] * 3 + ["a"] * 3


def test_the_order_follows_what_is_learnt_on_the_way() -> None:
    cells = fixed_cells(4, {"baseline": 2.0, "a": 1.0, "b": 3.0})
    first = cells.ask()
    assert first is not None and arm_of(first) == "b"
    cells.tell(first.trial_id, Ending("done", {"val_loss": 1.0}, duration_s=0.1))
    assert arm_of(cells.ask()) == "baseline"  # b takes 1.55 s in the mean, not 3


def test_what_is_learnt_of_many_trials_is_not_gone_through_again_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def counted(queue: Any) -> Any:
        nonlocal looks
        looks += 1
        return heappop(queue)

    monkeypatch.setattr(sources, "heappop", counted)
    cells, chance = fixed_cells(400), random.Random(0)
    while (trial := cells.ask()) is not None:
        cells.tell(trial.trial_id, Ending("done", {}, duration_s=chance.random()))
    assert cells.is_done
    assert 1200 <= looks <= 2 * 1200 + 3  # an arm is queued anew at each ask and each tell
