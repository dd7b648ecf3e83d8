"""How sure a mean difference is: trials that share training data, and a variance of all arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweeper.evidence.statistics import Array, Spread
from sweeper.plan import Plan, PlannedArm
from sweeper.recipe import Recipe

# Rows of the grid with their weights: ((arm, 1), (reference, -1)) or a contrast of several.
Weights = tuple[tuple[int, float], ...]

SPLIT, FOLDS = "data.split", "data.folds"
# Where `data.split: k_fold` stands alone: the number of folds that conf/data gives it.
USUAL_FOLDS = 5


@dataclass(frozen=True)
class Variance:
    """How the variance of a comparison's mean is estimated.

    `shared` (arms,) is what the variance over that of one difference has beside 1/n: 0 for
    independent trials. `mean_square`, with `df` degrees of freedom, is that of all arms; NaN where
    each comparison has its own. `diverged` (arms,) had no part in it.
    """

    shared: Array
    mean_square: float = float("nan")
    df: int = 0
    pooled_arms: frozenset[int] = frozenset()

    @property
    def is_pooled(self) -> bool:
        return self.df > 0

    def shared_by(self, members: Sequence[Weights]) -> Array:
        """(comparisons,) the most that any of their arms shares."""
        if not self.shared.any():
            return np.zeros(len(members))
        return np.array([max(self.shared[row] for row, _ in m) for m in members], dtype=float)

    def given(self, members: Sequence[Weights]) -> Spread | None:
        """Of a weighted sum of arms: the squared weights' sum times the mean square."""
        if not self.is_pooled:
            return None
        squares = [
            sum(w * w for _, w in member) if self._covers(member) else np.nan for member in members
        ]
        std = np.sqrt(np.array(squares, dtype=float) * self.mean_square)
        return Spread(std, np.full(len(members), float(self.df)))

    def _covers(self, member: Weights) -> bool:
        return all(row in self.pooled_arms for row, _ in member)


def pooled(variance: Variance, values: Array, members: Sequence[Weights]) -> Variance:
    """With the residual mean square of (arms, seeds), over the arms that these members compare.

    The two-way layout without replication: arms, seeds, and what neither explains (Loftus and
    Masson 1994). It takes the seeds at which every arm has a value, and leaves out arms that
    diverged somewhere or have no value at all. With fewer than three arms, or nothing left to
    estimate it from, each comparison keeps its own variance.
    """
    rows = sorted({row for member in members for row, _ in member})
    rows = [r for r in rows if np.isfinite(values[r]).any() and not np.isinf(values[r]).any()]
    layout = values[rows]
    layout = layout[:, np.isfinite(layout).all(axis=0)]
    arms, seeds = layout.shape
    if arms < 3 or seeds < 2:
        return variance
    with np.errstate(over="ignore", invalid="ignore"):
        centred = layout - layout.mean(axis=0)
        residual = centred - centred.mean(axis=1, keepdims=True)
        df = (arms - 1) * (seeds - 1)
        mean_square = float((residual**2).sum() / df)
    # what rounding leaves of arms that differ by constants is no variance
    rounding = 4 * np.finfo(float).eps * np.abs(layout).max()
    if not rounding**2 < mean_square < np.inf:
        return variance
    return Variance(variance.shared, mean_square, df, frozenset(rows))


def shared_training(plan: Plan, recipe: Recipe) -> Array:
    """(arms,) 1 / (k - 1) where the trials of an arm are k folds of one data set, else 0.

    Under `folds: k` of the recipe they all are; else those under `data.split=k_fold`.
    """
    baseline: dict[str, object] = {**recipe.baseline, **_overridden(plan)}
    folds = [recipe.folds or _folds_of(arm, baseline) for arm in plan.arms]
    return np.array([1 / (k - 1) if k else 0.0 for k in folds], dtype=float)


def _overridden(plan: Plan) -> dict[str, str]:
    """What the command line set of the axes asked for here, as it was typed."""
    typed = (text.lstrip("+").partition("=") for text in plan.overrides)
    return {key: value for key, _, value in typed if key in (SPLIT, FOLDS)}


def _folds_of(arm: PlannedArm, baseline: Mapping[str, object]) -> int:
    split, folds = (arm.axes.get(axis, baseline.get(axis)) for axis in (SPLIT, FOLDS))
    if split != "k_fold":
        return 0
    text = str(USUAL_FOLDS if folds is None else folds)
    return int(text) if text.isdigit() and int(text) >= 2 else USUAL_FOLDS
