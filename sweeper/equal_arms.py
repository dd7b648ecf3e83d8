"""Generated arms that come to one configuration are one arm; a written one stands for itself."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweeper.design import DesignedArm, cells_of_factorial
from sweeper.errors import RequestError
from sweeper.identity import asked, digest
from sweeper.recipe import BASELINE, Recipe

Configs = dict[str, dict[str, Any]]


def standing_for(
    recipe: Recipe, designed: Sequence[DesignedArm], configs: Configs, *, is_variant: bool = False
) -> dict[str, str]:
    """The arm that stands for each that is left out: the baseline, or the first that is equal.

    Raises RequestError where the recipe speaks of one that is left out; under a variant, whose
    user did not write the claims, that one stays.
    """
    base, first = asked(configs[BASELINE]), dict[str, str]()
    found = {}
    for arm in designed:
        if not arm.is_generated:
            continue
        own = asked(configs[arm.name])
        if own == base:
            found[arm.name] = BASELINE
        elif arm.compared_with == BASELINE:
            earlier = first.setdefault(digest(own, 64), arm.name)
            found |= {arm.name: earlier} if earlier != arm.name else {}
    on_paths = {arm.name for arm in designed if arm.design == "path"}
    for name, other in list(found.items()):
        try:
            _check_not_named(recipe, name, other)
        except RequestError:
            if not is_variant or name in on_paths:
                raise
            del found[name]
    return found


def _check_not_named(recipe: Recipe, name: str, other: str) -> None:
    is_other = f"is the {other if other == BASELINE else f'arm {other!r}'}: name that instead."
    for claim in recipe.claims:
        for line, assertion in claim.assertions():
            if name in assertion.arms_named():
                raise RequestError(f"claim {line}: {name!r} {is_other}")
    if recipe.search is not None and name in (recipe.search.arms or ()):
        raise RequestError(f"search.arms: {name!r} {is_other}")


def without(
    left_out: Mapping[str, str], designed: Sequence[DesignedArm], configs: Configs
) -> list[DesignedArm]:
    """The arms that stay, also where others are compared with them; the rest leaves `configs`."""
    for name in left_out:
        del configs[name]
    return [
        replace(arm, compared_with=left_out.get(arm.compared_with or "", arm.compared_with))
        for arm in designed
        if arm.name not in left_out
    ]


def of_factorial(recipe: Recipe, left_out: Mapping[str, str]) -> tuple[str, ...]:
    """The arm of each cell of the recipe's factorial, none of which may equal another."""
    generated = cells_of_factorial(recipe)
    arms = [left_out.get(name, name) for name in generated]
    count = Counter(arms)
    for name, arm in zip(generated, arms, strict=True):
        if count[arm] > 1:
            raise RequestError(
                f"factorial: the cell {name!r} equals another, so an axis has one value low and "
                "high: give it two."
            )
    return tuple(arms)
