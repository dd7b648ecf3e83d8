"""That the checks which exact claims name are run by some arm of the recipe."""

from collections.abc import Mapping
from typing import Any, get_args

from sweeper.errors import RequestError, nearest
from sweeper.recipe import Recipe
from sweeper.training.kinds import CheckName
from sweeper.training.values import CHECKS, TARGETS


def check_named(
    recipe: Recipe, configs: Mapping[str, Mapping[str, Any]], changed: Mapping[str, Any]
) -> None:
    """Raises RequestError for a claim whose check no arm of this recipe could report.

    A task of the user's may report any name. Where the task is `changed` beside the recipe, say to
    run one check alone, claims on the others stay undecided.
    """
    tasks = [config["task"] for config in configs.values()]
    if any(task["_target_"] not in TARGETS["task"] for task in tasks):
        return
    run = {name for task in tasks if task["_target_"] == CHECKS for name in task["checks"]}
    known = run | (set(get_args(CheckName)) if _of_task(changed) else set())
    for claim in recipe.claims:
        for line, assertion in claim.assertions():
            name = getattr(assertion, "check", None)
            if name is not None and name not in known:
                raise RequestError(f"claim {line}: {_mend(name, run)}")


def _of_task(changed: Mapping[str, Any]) -> bool:
    return any(key.partition(".")[0] == "task" for key in changed)


def _mend(name: str, run: set[str]) -> str:
    if name in get_args(CheckName):
        return f"no arm runs the check {name!r}: add it to task.checks of an arm with task=checks."
    hint = nearest(name, sorted(run or get_args(CheckName)), what="checks")
    return f"there is no check {name!r}. {hint}"
