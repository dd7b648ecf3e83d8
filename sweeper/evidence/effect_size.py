"""How large a paired difference is beside its own spread, and what the pairing was worth."""

import numpy as np
from scipy import special

from sweeper.evidence.statistics import Array, Paired

# Beyond this t its noncentrality is in proportion to it, within a tenth of a percent.
_LARGE_T = 100.0
_UPPER = 0.975
_Z = float(special.ndtri(_UPPER))
_STEPS = 3


def hedges_g(paired: Paired) -> tuple[Array, Array, Array]:
    """Standardised mean difference with its 95 % interval, (comparisons,) each.

    The mean over the deviation of the differences, times Hedges' correction for few seeds (1981),
    also called g_z. The interval is that of the noncentral t (Cumming and Finch 2001). NaN where
    all differences are equal, and with fewer than three, whose correction is zero or none.
    """
    told = (paired.std > 0) & np.isfinite(paired.std) & (paired.df > 1)
    d, df, n = (np.where(told, v, np.nan) for v in (paired.mean, paired.df, paired.effective_n))
    d = d / np.where(told, paired.std, np.nan)
    correction = np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    low, high = noncentrality(d * np.sqrt(n), df) / np.sqrt(n)
    return correction * d, correction * low, correction * high


def noncentrality(t: Array, df: Array) -> Array:
    """(2, rows) the ends of the 95 % interval of a t statistic's noncentrality.

    Under the lower one so large a t has a probability of 0.025, under the upper one so small a t.
    By the secant method on the normal quantile of that probability, which is nearly linear in it.
    `scipy.special.nctdtrinc` takes more steps, and may take hours for a large t.
    """
    ends = [_start(np.abs(t), df, p) for p in (_UPPER, 1 - _UPPER)]
    slope = (ends[1] - ends[0]) / (2 * _Z)
    near = np.flatnonzero(np.abs(t) <= _LARGE_T)
    for end, z in zip(ends, (_Z, -_Z), strict=True):
        end[near] = _secant(np.abs(t)[near], df[near], end[near], slope[near], z)
    low, high = ends
    return np.where(t < 0, np.stack([-high, -low]), np.stack([low, high]))


def _start(t: Array, df: Array, p: float) -> Array:
    """Exact at t = 0 and for large t; between them within about a tenth."""
    z = float(special.ndtri(p))
    return t * np.sqrt(special.chdtri(df, p) / df) - z / (1 + 1.13 * t / np.sqrt(df))


def _secant(t: Array, df: Array, found: Array, slope: Array, z: float) -> Array:
    excess = special.ndtri(special.nctdtr(df, found, t)) - z
    for _ in range(_STEPS):
        with np.errstate(invalid="ignore"):
            step = np.where(np.isfinite(excess), excess * slope, 0.0)
        before, found = excess, found + step
        excess = special.ndtri(special.nctdtr(df, found, t)) - z
        change = before - excess
        # at the limit of precision the next step would be 0 / 0
        is_better = np.isfinite(change) & (np.abs(change) > 1e-12)
        slope = np.where(is_better, step / np.where(is_better, change, 1.0), 0.0)
    return found


def correlation_and_gain(one: Array, other: Array) -> tuple[Array, Array]:
    """Of (comparisons, seeds) values: their correlation, and how many times more seeds unpaired.

    Pearson's r over the seeds that have both, and (var x + var y) / var (x - y): an unpaired
    comparison needs so many times the seeds for the same interval. NaN below three pairs, and
    where the variance that it is divided by is zero.
    """
    told = np.isfinite(one) & np.isfinite(other)
    n = told.sum(axis=1)
    kept = [np.where(told, values, 0.0) for values in (one, other)]
    rounding = 4 * np.finfo(float).eps * np.abs(kept).max(axis=(0, 2), initial=0)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x, y = (np.where(told, v - v.sum(axis=1, keepdims=True) / n[:, None], 0.0) for v in kept)
        x, y, between = (np.where(np.abs(v) <= rounding, 0.0, v) for v in (x, y, x - y))
        xx, yy, zz, xy = (
            (a * b).sum(axis=1) for a, b in ((x, x), (y, y), (between, between), (x, y))
        )
        r = np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)
        gain = (xx + yy) / zz
    is_told = (n >= 3) & np.isfinite(r)
    return np.where(is_told, r, np.nan), np.where((n >= 3) & np.isfinite(gain), gain, np.nan)
