"""Arms against arms on one metric: the family of tests behind arms.csv and the claims."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sweeper.claim import Comparison
from sweeper.evidence.measures import Grid, Measure, comparable, measure
from sweeper.evidence.ranks import rank_test
from sweeper.evidence.sequential import nominal_level, repeated_p
from sweeper.evidence.statistics import LEVEL, Array, Paired, holm, median, no_effect, paired
from sweeper.evidence.variance import Variance, pooled
from sweeper.evidence.variance import Weights as Weights
from sweeper.recipe import Goal, Looks, Recipe

# Numbers of a binary computer that are equal on paper differ by so much of their size.
_ROUNDING = 4 * np.finfo(float).eps


@dataclass(frozen=True)
class Looking:
    """Seeds that were added in looks: how many each arm was asked for so far, (arms,)."""

    seeds: Looks
    asked: npt.NDArray[np.int64]

    def numbers(self, members: Sequence[Weights]) -> npt.NDArray[np.int64]:
        """(comparisons,) the seeds that all arms of each have been asked for."""
        numbers = [min(self.asked[row] for row, _ in member) for member in members]
        return np.array([max(n, self.seeds.min) for n in numbers], int)  # none, while it waits

    def levels(self, members: Sequence[Weights], error: float) -> Array:
        """(comparisons,) the nominal two-sided level of each at the look it is at."""
        numbers = self.numbers(members).tolist()
        return np.array([nominal_level(self.seeds, n, error) for n in numbers])

    @classmethod
    def of(cls, recipe: Recipe, grid: Grid) -> "Looking | None":
        """None where the number of seeds was fixed beforehand."""
        return cls(recipe.seeds, grid.asked) if isinstance(recipe.seeds, Looks) else None


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
    variance: Variance
    looking: Looking | None = None  # where seeds were added in looks

    def tested(self, members: Sequence[Weights]) -> Results:
        """These comparisons one by one, as those of the family are tested."""
        return compare(members, self.compared.values, self.variance, self.looking)

    def over(self, members: tuple[Weights, ...]) -> "Family":
        """The family of other comparisons on this metric, corrected among themselves."""
        results = self.tested(members)
        p = _over_looks(results, members, self.looking)
        return replace(self, members=members, results=results, p_holm=holm(p))

    @property
    def size(self) -> int:
        """How many comparisons could be tested: what Holm corrected for."""
        return int(np.sum(~np.isnan(self.p_holm)))

    @property
    def undecided(self) -> int:
        """How many are not significant: between so many the error is still divided; at least 1."""
        return max(int(np.sum(self.p_holm > LEVEL)), 1)

    def corrected(self, weights: Weights) -> float:
        """The Holm-corrected p of a member, in either direction; NaN if it is none."""
        wanted = canonical(weights)
        for member, p in zip(self.members, self.p_holm.tolist(), strict=True):
            if canonical(member) == wanted:
                return float(p)
        return float("nan")


def families(recipe: Recipe, grid: Grid, variance: Variance) -> dict[str, Family]:
    """The family of each metric of the recipe, in the recipe's order."""
    return {metric: _family(metric, recipe, grid, variance) for metric in recipe.metrics}


def members(metric: str, recipe: Recipe, grid: Grid) -> tuple[Weights, ...]:
    """What the recipe compares on one metric: every arm, then what only claims compare."""
    return arm_pairs(grid) + _only_claimed(metric, recipe, grid)


def _family(metric: str, recipe: Recipe, grid: Grid, variance: Variance) -> Family:
    settings = recipe.metrics[metric]
    log = settings.scale == "log"
    measured = measure(metric, recipe, grid)
    compared = comparable(measured, log=log)
    made = members(metric, recipe, grid)
    if settings.variance == "pooled":
        variance = pooled(variance, compared.values, made)
    looking = Looking.of(recipe, grid)
    results = compare(made, compared.values, variance, looking)
    p = _over_looks(results, made, looking)
    return Family(
        metric, recipe.goal(metric), settings.smallest_effect, log,
        measured, compared, made, results, holm(p), variance, looking,
    )  # fmt: skip


def _over_looks(results: Results, members: Sequence[Weights], looking: Looking | None) -> Array:
    """The p of each comparison, for that many looks at it as there may be."""
    if looking is None:
        return results.p
    return repeated_p(looking.seeds, results.p, looking.numbers(members))


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
    for assertion in comparisons_of(metric, recipe):
        weights = claimed(assertion, grid)
        if weights and canonical(weights) not in known:
            known.add(canonical(weights))
            extra.append(weights)
    return tuple(extra)


def comparisons_of(metric: str, recipe: Recipe) -> list[Comparison]:
    """What claims compare on this metric, in their order."""
    first = next(iter(recipe.metrics))
    every = (assertion for claim in recipe.claims for _, assertion in claim.assertions())
    return [a for a in every if isinstance(a, Comparison) and (a.metric or first) == metric]


def canonical(weights: Weights) -> Weights:
    """The same for a comparison, its mirror image and its multiples."""
    ordered = sorted(weights)
    scale = ordered[0][1]
    return tuple((row, weight / scale) for row, weight in ordered)


def compare(
    members: Sequence[Weights],
    compared: Array,
    variance: Variance | None = None,
    looking: Looking | None = None,
) -> Results:
    """Test comparisons on (arms, seeds) values: paired, or by ranks where a run is infinite.

    A contrast of several arms has no rank test: with an infinite value it stays untested.
    """
    compares = sides(members, compared, looking)
    left, right, infinite = compares.left, compares.right, compares.infinite
    differences = compares.differences()
    levels = [looking.levels(members, e) for e in (LEVEL, 2 * LEVEL)] if looking else []
    variance = variance or Variance(np.zeros(len(compared)))
    result = paired(
        differences, *levels, shared=variance.shared_by(members), given=variance.given(members)
    )
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


@dataclass(frozen=True)
class Sides:
    """What each comparison subtracts, (comparisons, seeds); a contrast stands left of zeros.

    `size` (comparisons,) is the largest finite number that had a part in it.
    """

    left: Array
    right: Array
    size: Array

    @property
    def infinite(self) -> npt.NDArray[np.bool_]:
        """(comparisons,) whether a run of it is."""
        return np.asarray(np.isinf(self.left).any(axis=1) | np.isinf(self.right).any(axis=1))

    def differences(self) -> Array:
        """(comparisons, seeds) left less right; NaN throughout where a run of it is infinite.

        Differences that are equal but for rounding, 0.4 - 0.3 and 0.3 - 0.2, are made equal: the t
        test would take what rounding left for their deviation, and be certain.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            differences = np.where(self.infinite[:, None], np.nan, self.left - self.right)
            low = np.fmin.reduce(differences, axis=1, initial=np.inf)
            range_ = np.fmax.reduce(differences, axis=1, initial=-np.inf) - low
        rounding = _ROUNDING * self.size
        equal = (range_ > 0) & (range_ <= rounding)
        value = np.where(np.abs(low) <= rounding, 0.0, low)
        same = equal[:, None] & ~np.isnan(differences)
        return np.asarray(np.where(same, value[:, None], differences))


def sides(members: Sequence[Weights], compared: Array, looking: Looking | None = None) -> Sides:
    """Of these comparisons, from (arms, seeds) values; in looks of the seeds that all arms have."""
    seeds = compared.shape[1]
    kept = np.ones((len(members), seeds), dtype=bool)
    if looking is not None:
        kept = np.arange(seeds) < looking.numbers(members)[:, None]
    left, right = np.zeros((len(members), seeds)), np.zeros((len(members), seeds))
    magnitude = np.where(np.isfinite(compared), np.abs(compared), 0.0).max(axis=1, initial=0.0)
    size = np.zeros(len(members))
    pairs = [i for i, member in enumerate(members) if is_pair(member)]
    plus, minus = ([members[i][side][0] for i in pairs] for side in (0, 1))
    left[pairs] = np.where(kept[pairs], compared[plus], np.nan)
    right[pairs] = np.where(kept[pairs], compared[minus], np.nan)
    size[pairs] = np.maximum(magnitude[plus], magnitude[minus])
    for i in set(range(len(members))) - set(pairs):
        rows, weights = zip(*members[i], strict=True)
        values = np.where(kept[i], compared[list(rows)], np.nan)
        # one infinite run leaves the whole contrast without a value, rather than without that seed
        total = (np.array(weights)[:, None] * np.where(np.isinf(values), 0, values)).sum(axis=0)
        left[i] = np.inf if np.isinf(values).any() else total
        size[i] = np.abs(weights) @ magnitude[list(rows)]
    return Sides(left, right, size)
