"""Arms against arms on one metric: the family of tests behind arms.csv and the claims."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweeper.claim import Comparison
from sweeper.evidence.measures import Grid, Measure, comparable, measure
from sweeper.evidence.ranks import rank_test
from sweeper.evidence.statistics import LEVEL, Array, Paired, holm, median, no_effect, paired
from sweeper.recipe import Goal, Recipe

# Rows of the grid with their weights: ((arm, 1), (reference, -1)) or a contrast of several.
Weights = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Results:
    """Comparisons tested one by one; every field is (comparisons,).

    `paired` is empty where `by_ranks`; `direction` is the sign of the difference and `size` its
    magnitude (of the medians where by ranks, then possibly infinite).
    """

    paired: Paired
    by_ranks: npt.NDArray[np.bool_]
    p: Array
    direction: Array
    size: Array

    def verdicts(self, p: Array, smallest_effect: float, goal: Goal) -> npt.NDArray[np.object_]:
        """`better worse no_effect undecided` of each, at the p given (corrected or not)."""
        effect = (p <= LEVEL) & (self.size >= smallest_effect) & (self.direction != 0)
        good = self.direction == (-1 if goal == "down" else 1)
        none = no_effect(self.paired.low90, self.paired.high90, smallest_effect)
        words = np.select(
            [effect & good, effect, none], ["better", "worse", "no_effect"], "undecided"
        )
        return words.astype(object)


@dataclass(frozen=True)
class Family:
    """All comparisons that a recipe makes on one metric, and their Holm-corrected p.

    Its members are the arms with what each is compared with, then the comparisons that only a
    claim makes (another reference, a contrast). `results` and `p_holm` are in that order;
    `compared` holds what is subtracted (log10 of the values under `scale: log`).
    """

    metric: str
    goal: Goal
    smallest_effect: float
    log: bool
    measured: Measure
    compared: Measure
    members: tuple[Weights, ...]
    results: Results
    p_holm: Array

    @property
    def size(self) -> int:
        """How many comparisons could be tested: what Holm corrected for."""
        return int(np.sum(~np.isnan(self.p_holm)))

    def corrected(self, weights: Weights) -> float:
        """The Holm-corrected p of a member, in either direction; NaN if it is none."""
        wanted = canonical(weights)
        for member, p in zip(self.members, self.p_holm.tolist(), strict=True):
            if canonical(member) == wanted:
                return float(p)
        return float("nan")


def families(recipe: Recipe, grid: Grid) -> dict[str, Family]:
    """The family of each metric of the recipe, in the recipe's order."""
    return {metric: _family(metric, recipe, grid) for metric in recipe.metrics}


def _family(metric: str, recipe: Recipe, grid: Grid) -> Family:
    settings = recipe.metrics[metric]
    log = settings.scale == "log"
    measured = measure(metric, recipe, grid)
    compared = comparable(measured, log=log)
    members = arm_pairs(grid) + _only_claimed(metric, recipe, grid)
    results = compare(members, compared.values)
    return Family(
        metric, recipe.goal(metric), settings.smallest_effect, log,
        measured, compared, members, results, holm(results.p),
    )  # fmt: skip


def arm_pairs(grid: Grid) -> tuple[Weights, ...]:
    """Every arm against the one it is compared with, in the order of the arms."""
    return tuple(
        ((row, 1.0), (grid.index[arm.compared_with], -1.0))
        for row, arm in enumerate(grid.arms)
        if arm.compared_with in grid.index
    )


def claimed(assertion: Comparison, grid: Grid) -> Weights | None:
    """What a claim compares; None where an arm is unknown or there is nothing to compare with."""
    if assertion.contrast is not None:
        if any(name not in grid.index for name in assertion.contrast):
            return None
        weights = sorted(assertion.contrast.items(), key=lambda item: -item[1])
        return tuple((grid.index[name], weight) for name, weight in weights if weight)
    if assertion.arm not in grid.index:
        return None
    row = grid.index[assertion.arm]
    reference = assertion.reference or grid.arms[row].compared_with
    return ((row, 1.0), (grid.index[reference], -1.0)) if reference in grid.index else None


def _only_claimed(metric: str, recipe: Recipe, grid: Grid) -> tuple[Weights, ...]:
    """Comparisons that claims make on this metric and the arms table does not, each once."""
    known = {canonical(pair) for pair in arm_pairs(grid)}
    extra: list[Weights] = []
    for claim in recipe.claims:
        for _, assertion in claim.assertions():
            if not isinstance(assertion, Comparison):
                continue
            weights = claimed(assertion, grid)
            if (assertion.metric or next(iter(recipe.metrics))) != metric or not weights:
                continue
            if canonical(weights) not in known:
                known.add(canonical(weights))
                extra.append(weights)
    return tuple(extra)


def canonical(weights: Weights) -> Weights:
    """The same for a comparison, its mirror image and its multiples."""
    ordered = sorted(weights)
    scale = ordered[0][1]
    return tuple((row, weight / scale) for row, weight in ordered)


def compare(members: Sequence[Weights], compared: Array) -> Results:
    """Test comparisons on (arms, seeds) values: paired, or by ranks where a run is infinite.

    A contrast of several arms has no rank test: with an infinite value it stays untested.
    """
    left, right = _sides(members, compared)
    infinite = np.asarray(np.isinf(np.hstack([left, right])).any(axis=1))
    with np.errstate(invalid="ignore"):
        differences = np.where(infinite[:, None], np.nan, left - right)
    result = paired(differences)
    p, direction = result.p.copy(), np.sign(result.mean)
    size = np.abs(result.mean)
    by_ranks = infinite & np.array([is_pair(member) for member in members], dtype=bool)
    for row in np.flatnonzero(by_ranks):
        x, y = (side[row][~np.isnan(side[row])] for side in (left, right))
        p[row], direction[row] = rank_test(x, y)
        size[row] = _distance(*median(np.stack([left[row], right[row]])).tolist())
    return Results(result, by_ranks, p, direction, size)


def _distance(one: float, other: float) -> float:
    """Of medians; two infinite ones differ in their ranks alone, which then count as enough."""
    return abs(one - other) if np.isfinite(one) or np.isfinite(other) else float("inf")


def is_pair(weights: Weights) -> bool:
    """Whether one arm is compared with one other."""
    return len(weights) == 2 and weights[0][1] == 1.0 and weights[1][1] == -1.0


def _sides(members: Sequence[Weights], compared: Array) -> tuple[Array, Array]:
    """Both sides of each difference, (comparisons, seeds); a contrast stands left of zeros."""
    seeds = compared.shape[1]
    left, right = np.zeros((len(members), seeds)), np.zeros((len(members), seeds))
    pairs = [i for i, member in enumerate(members) if is_pair(member)]
    left[pairs] = compared[[members[i][0][0] for i in pairs]]
    right[pairs] = compared[[members[i][1][0] for i in pairs]]
    for i in set(range(len(members))) - set(pairs):
        rows, weights = zip(*members[i], strict=True)
        values = compared[list(rows)]
        # one infinite run leaves the whole contrast without a value, rather than without that seed
        total = (np.array(weights)[:, None] * np.where(np.isinf(values), 0, values)).sum(axis=0)
        left[i] = np.inf if np.isinf(values).any() else total
    return left, right
