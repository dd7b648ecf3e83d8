"""Differences paired by seed, Holm's correction and shares of seeds, for many arms at once.

Only `scipy.special` is imported: `scipy.stats` and statsmodels take most of a second to load, and
their distributions are these very functions. The tests hold both against scipy and statsmodels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]

LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """What (comparisons, seeds) differences say; every field is (comparisons,), NaN if untold.

    `low, high` bound the mean at 95 %; `low90, high90` at 90 %, for the two one-sided tests.
    `effective_n` is the number of independent differences that would say as much: n, unless their
    trials share training data. `std` has `df` degrees of freedom.
    """

    n: npt.NDArray[np.int64]
    effective_n: Array
    df: Array
    mean: Array
    std: Array
    low: Array
    high: Array
    low90: Array
    high90: Array
    p: Array


@dataclass(frozen=True)
class Spread:
    """A deviation of differences that was estimated elsewhere, (comparisons,), NaN for their own.

    It has `df` degrees of freedom.
    """

    std: Array
    df: Array


def paired(
    differences: Array,
    level: Array | float = LEVEL,
    level90: Array | float = 2 * LEVEL,
    *,
    shared: Array | float = 0.0,
    given: Spread | None = None,
) -> Paired:
    """Mean, t intervals and two-sided p of each row of (comparisons, seeds); NaN is left out.

    One difference has a mean and nothing else. Where all of two or more are equal to the last bit
    the interval has width zero, and p is that of the exact sign-flip test.
    Student's t for paired differences (Student 1908), as in `scipy.stats.ttest_rel`. The variance
    of the mean is (1/n + `shared`) times that of a difference: `shared` is the test sets' size over
    the training sets', 1 / (k - 1) for k folds (Nadeau and Bengio 2003).
    """
    n = np.isfinite(differences).sum(axis=1)
    mean, std = _mean_and_std(differences, n)
    effective_n, df = n / (1 + n * shared), n - 1.0
    if given is not None:
        is_own = np.isnan(given.std)
        std, df = np.where(is_own, std, given.std), np.where(is_own, df, given.df)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = std / np.sqrt(effective_n)
        p = 2 * special.stdtr(df, -np.abs(mean / error))
    with np.errstate(invalid="ignore"):
        half, half90 = (special.stdtrit(df, 1 - each / 2) * error for each in (level, level90))
    # Equal differences are no sign of a perfect measurement: a metric of few values (an accuracy,
    # a rung) gives them by chance. Their p is that of the exact sign-flip test, 2 / 2**n.
    p = np.where(std == 0, np.where(mean == 0, 1.0, np.minimum(1.0, 2.0 / 2.0**effective_n)), p)
    by_chance = (std == 0) & (n < 3)
    half, half90 = (np.where(by_chance, np.nan, v) for v in (half, half90))
    with np.errstate(invalid="ignore", over="ignore"):
        low, high, low90, high90 = mean - half, mean + half, mean - half90, mean + half90
    return Paired(n, effective_n, df, mean, std, low, high, low90, high90, p)


def _mean_and_std(values: Array, n: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """(rows,) mean and sample deviation of the finite values; NaN for none and for n = 1."""
    finite = np.isfinite(values)
    high = np.where(finite, values, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(finite, values, np.inf).min(axis=1, initial=np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = np.where(finite, values, 0.0).sum(axis=1) / n
        squares = np.where(finite, values - mean[:, None], 0.0) ** 2
        std = np.sqrt(squares.sum(axis=1) / np.where(n > 1, n - 1, np.nan))
    # The mean of equal numbers may be off by a bit, and their deviation then not quite zero.
    constant = high == low
    return np.where(constant, high, mean), np.where(constant & (n > 1), 0.0, std)


def no_effect(low90: Array, high90: Array, smallest_effect: float) -> npt.NDArray[np.bool_]:
    """Whether each 90 % interval lies inside ± `smallest_effect`.

    The two one-sided tests at 5 % (Schuirmann 1987); an interval that is NaN says no.
    """
    return (low90 > -smallest_effect) & (high90 < smallest_effect)


def holm(p: Array) -> Array:
    """Holm's adjusted p of a family (tests,), as statsmodels' `multipletests(method="holm")`.

    NaN stays NaN and does not count: a comparison that could not be tested is no test.
    Step-down of Holm (1979): (m - i) p_(i), made monotone, at most 1.
    """
    adjusted = np.full_like(p, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = np.maximum.accumulate((len(order) - np.arange(len(order))) * p[order])
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def median(values: Array) -> Array:
    """(rows,) median of (rows, seeds) without the NaN ones; may be infinite; NaN where none is."""
    n = (~np.isnan(values)).sum(axis=1)
    if values.shape[1] == 0:
        return np.full(len(values), np.nan)
    ordered = np.sort(values, axis=1)  # NaN comes last
    rows = np.arange(len(values))
    below, above = ordered[rows, np.maximum(n - 1, 0) // 2], ordered[rows, n // 2]
    middle: Array = np.where(below == above, below, (below + above) / 2)
    return middle


def share_bounds(happened: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The one-sided 95 % bounds of a share, lower and upper (Clopper and Pearson 1934)."""
    if n == 0:
        return 0.0, 1.0
    lower = special.betaincinv(happened, n - happened + 1, level) if happened else 0.0
    upper = special.betaincinv(happened + 1, n - happened, 1 - level) if happened < n else 1.0
    return float(lower), float(upper)


def share_verdict(happened: int, n: int, level: float = LEVEL) -> str:
    """`reproduced` if the share is surely above one half, `contradicted` if surely below."""
    lower, upper = share_bounds(happened, n, level)
    if lower > 0.5:
        return "reproduced"
    return "contradicted" if upper < 0.5 else "undecided"
