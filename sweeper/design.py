"""Designs: how a recipe's sequence, arms, grid, ladder … become arms with values of their own."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from sweeper import factorial
from sweeper.arm import Arm, Factorial, Value, axes_of
from sweeper.claim import Comparison
from sweeper.errors import RequestError, nearest
from sweeper.limits import MOST_ARMS
from sweeper.masking import masked
from sweeper.recipe import BASELINE, TARGET, Recipe

Changes = Mapping[str, Any]
# Whether an axis exists under these choices and values.
Exists = Callable[[Changes, str], bool]


@dataclass(frozen=True)
class DesignedArm:
    """An arm as asked: all values on top of the baseline's, and the arm it is compared with.

    `changes` are those of the values that the arm itself sets, beside those it inherits.
    """

    name: str
    values: Mapping[str, Any]
    compared_with: str | None
    changes: Changes = field(default_factory=dict)
    design: str = ""  # which one generated it; empty for an arm that the recipe names

    @property
    def is_generated(self) -> bool:
        return bool(self.design)


def design(
    recipe: Recipe, exists: Exists | None = None, skipped: Collection[str] = ()
) -> list[DesignedArm]:
    """The baseline, then every arm in the recipe's order. Raises RequestError on a bad design.

    An axis that does not `exists` under the choices that a generated cell makes is left out of it.
    What starts from an arm that is `skipped` starts from where that one did.
    """
    _check_number(recipe)
    arms = {BASELINE: DesignedArm(BASELINE, {}, None)}
    made = [(*change, "") for change in _changes(recipe)]
    made += _generated(recipe, exists)
    for name, changes, start, generator in made:
        if name in arms:
            if _is_same(arms[name], changes, start, generator):
                continue
            raise RequestError(f"two arms have the name {name!r}: give each its own.")
        if start not in arms:
            raise RequestError(
                f"arm {name!r} starts from {start!r}, which is no arm before it. "
                + nearest(start, arms, what="arms before it")
            )
        while start in skipped:
            start = arms[start].compared_with or BASELINE
        values = {**arms[start].values, **changes}
        arms[name] = DesignedArm(name, values, start, changes, generator)
    _check_claims(recipe, arms)
    return list(arms.values())


def _is_same(arm: DesignedArm, changes: Changes, start: str, generator: str) -> bool:
    """Whether two designs generated it, say two grids that overlap: that is one arm."""
    is_twice = bool(arm.design and generator) and arm.design != generator
    return is_twice and (arm.changes, arm.compared_with) == (changes, start)


def _check_number(recipe: Recipe) -> None:
    """Before they are made: a grid of nine axes with ten values each has a thousand million."""
    named = (recipe.sequence, recipe.arms, recipe.leave_one_out, recipe.add_one_in)
    listed = sum(map(len, named))
    singly = sum(map(len, [*recipe.one_at_a_time.values(), *recipe.ladder.values()]))
    crossed = sum(math.prod(map(len, grid.values())) for grid in recipe.grids if grid)
    crossed += recipe.factorial.size if recipe.factorial else 0
    crossed += len(recipe.path) * (len(recipe.path) + 1) // 2
    if (number := 1 + listed + singly + crossed) > MOST_ARMS:
        shown = number if number < _COUNTABLE else f"more than {_COUNTABLE}"
        raise RequestError(
            f"this design has {shown} arms, and at most {MOST_ARMS} are possible: leave values "
            "out, or tune an axis that is not itself the question with `search:`."
        )


_COUNTABLE = 10**15  # Python writes no number of more than 4,300 digits


def _changes(recipe: Recipe) -> Iterator[tuple[str, Changes, str]]:
    """The name of each written arm, what it changes, and the arm it starts from."""
    yield from _in_sequence(recipe.sequence)
    yield from ((arm.name, arm.set, arm.from_ or BASELINE) for arm in recipe.arms)
    for name, without in recipe.leave_one_out.items():
        yield f"without_{name}", without, BASELINE
    for name, added in recipe.add_one_in.items():
        yield f"with_{name}", added, BASELINE


def _generated(recipe: Recipe, exists: Exists | None) -> Iterator[tuple[str, Changes, str, str]]:
    """The same for the arms that a design makes of axes and values, and which design it is."""
    changes = path_changes(recipe)
    for change, values in changes.items():
        yield step_name(1, change), values, BASELINE, "path"
    if changes:
        yield TARGET, _together(changes.values()), BASELINE, "path"
    for axes in ({axis: values} for axis, values in recipe.one_at_a_time.items()):
        for cell in _cells("one_at_a_time", axes, exists):
            yield arm_name(cell), cell, BASELINE, "one_at_a_time"
    for number, grid in enumerate(recipe.grids):
        for cell in _cells("grid", grid, exists) if grid else ():
            yield arm_name(cell), cell, BASELINE, f"grid {number}"
    for name, cell in _factorial(recipe.factorial, exists):
        yield name, cell, BASELINE, "factorial"
    before = BASELINE
    for cell in _cells("ladder", recipe.ladder, exists) if recipe.ladder else ():
        yield arm_name(cell), cell, before, "ladder"
        before = arm_name(cell)


def _cells(
    where: str, axes: Mapping[str, Sequence[Value]], exists: Exists | None
) -> list[dict[str, Any]]:
    """Every combination of the axes' values, each less the axes that do not exist in it.

    Of those that are equal then, one stays. An axis that exists in none stays in all: composing
    the first says that it is unknown.
    """
    crossed = [_together(levels) for levels in product(*_levels(where, axes))]
    lacking = [_lacking(cell, exists) for cell in crossed]
    nowhere = frozenset.intersection(*lacking)
    cells: list[dict[str, Any]] = []
    partial: dict[str, Changes] = {}
    for cell, missing in zip(crossed, lacking, strict=True):
        kept = {axis: value for axis, value in cell.items() if axis not in missing - nowhere}
        if len(kept) < len(cell):
            if partial.get(arm_name(kept)) == kept:
                continue
            partial[arm_name(kept)] = kept
        cells.append(kept)
    return cells


def _together(levels: Iterable[Changes]) -> dict[str, Any]:
    return {axis: value for level in levels for axis, value in level.items()}


def _levels(where: str, axes: Mapping[str, Sequence[Value]]) -> list[list[dict[str, Any]]]:
    """What each key of a design sets in turn: one axis, or several that are linked."""
    counted = Counter(axis for key in axes for axis in axes_of(key))
    for axis, count in counted.items():
        if not axis:
            raise RequestError(f"{where}: an axis has no name: join linked ones as in 'a.b, c.d'.")
        if count > 1:
            raise RequestError(f"{where}: the axis {axis!r} stands twice: take it out of one key.")
    return [
        [_level(where, key, value, number) for number, value in enumerate(_given(key, values), 1)]
        for key, values in axes.items()
    ]


def _level(where: str, key: str, value: Value, number: int) -> dict[str, Any]:
    axes = axes_of(key)
    if len(axes) == 1:
        return {axes[0]: value}
    if not isinstance(value, list) or len(value) != len(axes):
        raise RequestError(
            f"{where}: {key!r} links {len(axes)} axes, so each of its values is a list of "
            f"{len(axes)}: value {number} is not."
        )
    return dict(zip(axes, value, strict=True))


def _lacking(cell: Changes, exists: Exists | None) -> frozenset[str]:
    """The axes of a cell that do not exist under the choice that it makes of their group."""
    if exists is None:
        return frozenset()
    dependent = (axis for axis in cell if "." in axis and axis.partition(".")[0] in cell)
    return frozenset(axis for axis in dependent if not exists(cell, axis))


def _factorial(
    asked: Factorial | None, exists: Exists | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the values of each cell, in the order of its cells."""
    if asked is None:
        return
    levels = _levels("factorial.axes", asked.axes)
    cells = [
        _together(pair[level] for pair, level in zip(levels, cell, strict=True))
        for cell in asked.cells()
    ]
    lacking = [_lacking(cell, exists) for cell in cells]
    for axis in sorted(frozenset.union(*lacking) - frozenset.intersection(*lacking)):
        raise RequestError(
            f"factorial.axes: {axis!r} exists only under some of the values of "
            f"{axis.partition('.')[0]!r}, and a factorial crosses every axis with every other: "
            "leave one of the two out, or write a `grid:`."
        )
    yield from ((arm_name(cell), cell) for cell in cells)


def path_changes(recipe: Recipe) -> dict[str, Changes]:
    """What each change of the recipe's path sets, under its name."""
    levels = _levels("path", {key: [value] for key, value in recipe.path.items()})
    return {arm_name(change): change for (change,) in levels}


def later_arms(changes: int) -> int:
    """How many arms a path of so many changes has beside its first round and its end."""
    return max(0, changes * (changes - 1) // 2 - 1)


def step_name(number: int, change: str) -> str:
    """How the arm is called that tries a change in a round of a path."""
    return f"{number}_{change}"


def path_arm(name: str, taken: Iterable[str], recipe: Recipe, before: str) -> DesignedArm:
    """The arm in which these changes of the path are made, in whichever order they were taken."""
    chosen = set(taken)
    values = _together(v for change, v in path_changes(recipe).items() if change in chosen)
    return DesignedArm(name, values, before, values, "path")


def cells_of_factorial(recipe: Recipe) -> list[str]:
    """The arm that a factorial generates for each of its cells."""
    return [name for name, _ in _factorial(recipe.factorial, None)]


def _in_sequence(sequence: Iterable[Arm]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    before = BASELINE
    for arm in sequence:
        yield arm.name, arm.set, arm.from_ or before
        before = arm.name


def _given(axis: str, values: Sequence[Value]) -> Sequence[Value]:
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


def _check_effect(line: str, name: str, asked: Factorial | None) -> None:
    if asked is None:
        raise RequestError(
            f"claim {line} speaks of the effect {name!r}, but the recipe has no `factorial`."
        )
    known = asked.effects()
    if factorial.find(name, known) is None:
        names = [n for effect in known for n in (effect.name, *effect.aliases)]
        raise RequestError(
            f"claim {line} speaks of the effect {name!r}, which does not exist. "
            + nearest(name, names, what="effects")
        )


def _check_claims(recipe: Recipe, arms: Mapping[str, DesignedArm]) -> None:
    for claim in recipe.claims:
        for line, assertion in claim.assertions():
            if isinstance(assertion, Comparison) and assertion.effect is not None:
                _check_effect(line, assertion.effect, recipe.factorial)
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
                "better", "worse", "no_effect", "no_worse", "exact",
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
