"""Designs: how a recipe's sequence, arms, grid, ladder … become arms with values of their own."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from sweeper.errors import RequestError, nearest
from sweeper.limits import MOST_ARMS
from sweeper.masking import masked
from sweeper.recipe import BASELINE, Arm, Recipe


@dataclass(frozen=True)
class DesignedArm:
    """An arm as asked: all values on top of the baseline's, and the arm it is compared with.

    `changes` are those of the values that the arm itself sets, beside those it inherits.
    """

    name: str
    values: Mapping[str, Any]
    compared_with: str | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    is_generated: bool = False


def design(recipe: Recipe) -> list[DesignedArm]:
    """The baseline, then every arm in the recipe's order. Raises RequestError on a bad design."""
    _check_number(recipe)
    arms = {BASELINE: DesignedArm(BASELINE, {}, None)}
    made = [(*change, False) for change in _changes(recipe)]
    made += [(*change, True) for change in _generated(recipe)]
    for name, changes, start, is_generated in made:
        if name in arms:
            raise RequestError(f"two arms have the name {name!r}: give each its own.")
        if start not in arms:
            raise RequestError(
                f"arm {name!r} starts from {start!r}, which is no arm before it. "
                + nearest(start, arms, what="arms before it")
            )
        values = {**arms[start].values, **changes}
        arms[name] = DesignedArm(name, values, start, changes, is_generated)
    _check_claims(recipe, arms)
    return list(arms.values())


def _check_number(recipe: Recipe) -> None:
    """Before they are made: a grid of nine axes with ten values each has a thousand million."""
    listed = len(recipe.sequence) + len(recipe.arms)
    singly = sum(map(len, [*recipe.one_at_a_time.values(), *recipe.ladder.values()]))
    crossed = math.prod(map(len, recipe.grid.values())) if recipe.grid else 0
    if (number := 1 + listed + singly + crossed) > MOST_ARMS:
        raise RequestError(
            f"this design has {number} arms, and at most {MOST_ARMS} are possible: leave values "
            "out, or tune an axis that is not itself the question with `search:`."
        )


def _changes(recipe: Recipe) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """The name of each written arm, what it changes, and the arm it starts from."""
    yield from _in_sequence(recipe.sequence)
    yield from ((arm.name, arm.set, arm.from_ or BASELINE) for arm in recipe.arms)


def _generated(recipe: Recipe) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """The same for the arms that a design makes of axes and values."""
    for axis, values in recipe.one_at_a_time.items():
        yield from ((arm_name({axis: v}), {axis: v}, BASELINE) for v in _given(axis, values))
    if recipe.grid:
        cells = product(*(_given(axis, values) for axis, values in recipe.grid.items()))
        for cell in cells:
            changes = dict(zip(recipe.grid, cell, strict=True))
            yield arm_name(changes), changes, BASELINE
    for axis, values in recipe.ladder.items():
        rungs = [(arm_name({axis: v}), {axis: v}) for v in _given(axis, values)]
        starts = [BASELINE, *(name for name, _ in rungs)]
        yield from (
            (name, change, start) for (name, change), start in zip(rungs, starts, strict=False)
        )


def _in_sequence(sequence: Iterable[Arm]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    before = BASELINE
    for arm in sequence:
        yield arm.name, arm.set, arm.from_ or before
        before = arm.name


def _given(axis: str, values: list[Any]) -> list[Any]:
    if not values:
        raise RequestError(f"the axis {axis!r} has no values: write a list, as in [0.1, 0.01].")
    return values


def arm_name(changes: Mapping[str, Any]) -> str:
    """`optim.lr=0.1,model.norm=batch`: how a generated arm is called.

    Raises RequestError where a value is a secret: it would stand in every table.
    """
    if masked(changes) != changes:
        raise RequestError(
            f"the values of {', '.join(changes)} are secret and would name the arms: write `arms:` "
            "with names of your own."
        )
    return ",".join(f"{axis}={_short(value)}" for axis, value in changes.items())


def _short(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _check_claims(recipe: Recipe, arms: Mapping[str, DesignedArm]) -> None:
    for claim in recipe.claims:
        for line, assertion in claim.assertions():
            named = assertion.arms_named()
            for name in named:
                if name not in arms:
                    raise RequestError(
                        f"claim {line} speaks of the arm {name!r}, which does not exist. "
                        + nearest(name, arms, what="arms")
                    )
            if len(set(named)) < len(named):
                raise RequestError(f"claim {line} names an arm twice: {', '.join(named)}.")
            if getattr(assertion, "arm", None) == BASELINE and assertion.kind in (
                "better", "worse", "no_effect", "no_worse",
            ) and getattr(assertion, "reference", None) is None:  # fmt: skip
                raise RequestError(
                    f"claim {line}: the baseline is compared with no arm; add `reference`."
                )
    for name in (recipe.search.arms if recipe.search else None) or ():
        if name not in arms:
            raise RequestError(
                f"search.arms names {name!r}, which does not exist. "
                + nearest(name, arms, what="arms")
            )
