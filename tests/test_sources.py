"""What a search is told: the metric, which way it is better, and of a run without a value."""

import math
from typing import Any

import pytest

from sweeper import folders
from sweeper.compose import Composer
from sweeper.planning import make_request
from sweeper.recipe import Range
from sweeper.recipe_file import read_recipe
from sweeper.sources import result, told_metric
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
