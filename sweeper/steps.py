"""A path from the baseline to a target: its first round, and whether its changes go together."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from sweeper.design import DesignedArm, path_arm, path_changes, step_name
from sweeper.errors import RequestError
from sweeper.identity import asked
from sweeper.plan import Step
from sweeper.recipe import BASELINE, TARGET, Recipe

Config = Mapping[str, Any]


def first_steps(
    recipe: Recipe, left_out: Mapping[str, str], compose: Callable[[DesignedArm], Config]
) -> tuple[tuple[Step, ...], list[str]]:
    """The first round of the recipe's path, and sentences on the changes that are left out of it.

    `left_out` names the arm that stands for each arm that no plan has. Raises RequestError where
    the target is the baseline, or where changes of the path depend on each other.
    """
    changes = list(path_changes(recipe))
    if not changes:
        return (), []
    _check_search(recipe, changes)
    if left_out.get(TARGET) == BASELINE:
        raise RequestError("path: its target equals the baseline: let it change something.")
    idle = [c for c in changes if left_out.get(step_name(1, c)) == BASELINE]
    kept = [change for change in changes if change not in idle]
    _check_dependence(recipe, idle, kept, compose)
    is_whole = len(kept) == 1
    steps = tuple(
        Step(1, change, step_name(1, change), BASELINE, is_taken=is_whole) for change in kept
    )
    return steps, [f"path: {change} is the baseline's already: left out." for change in idle]


def _check_search(recipe: Recipe, changes: Sequence[str]) -> None:
    """Its arms are held against the baseline and each other, tuned ones or none."""
    if recipe.search is None:
        return
    own = {BASELINE, TARGET, *(step_name(1, change) for change in changes)}
    if recipe.search.arms is None or own & set(recipe.search.arms):
        raise RequestError(
            "path: neither its arms nor the baseline can be tuned: name other arms under "
            "`search.arms`, or leave one of `path` and `search` out."
        )


def _check_dependence(
    recipe: Recipe,
    idle: Sequence[str],
    kept: Sequence[str],
    compose: Callable[[DesignedArm], Config],
) -> None:
    """Any two changes must compose, and come to more than one of them: else they belong together.

    Changes that only three at once forbid are found when their round is asked for.
    """

    def config(*taken: str) -> Config:
        name = " with ".join(taken) if len(taken) < 3 else TARGET
        return asked(compose(path_arm(name, taken, recipe, BASELINE)))

    if idle and config(*kept, *idle) != config(*kept):
        raise RequestError(
            f"path: {' and '.join(idle)} changes nothing of the baseline, but something of the "
            "target: link it to the axis that it belongs to, as in "
            "'optim, optim.lr': [adam, 0.001]."
        )
    alone = {change: config(change) for change in kept}
    for one, other in combinations(kept, 2):
        both = config(one, other)
        for change in (one, other):
            if both == alone[change]:
                raise RequestError(
                    f"path: {one} and {other} together are no other than {change}: leave one out, "
                    "or link them, as in 'optim, optim.lr': [adam, 0.001]."
                )
