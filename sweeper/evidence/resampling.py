"""What paired differences say without a normal distribution: flipped signs, a trimmed mean."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweeper.evidence.statistics import Array

# With five differences the smallest p is 2 / 2**5, above 0.05.
SIGN_FLIP_FROM = 6
# Above this all flips of the signs are too many to count, and so many are drawn instead.
_EXACT_UP_TO = 24
_FLIPS = 9999
IQM_FROM = 10
_RESAMPLES = 1000
_SEED = 0
_CELLS = 2**22  # of a matrix that is held at once


def sign_flip_p(differences: Array) -> Array:
    """(comparisons,) two-sided p of (comparisons, seeds) differences by flipping their signs.

    The share of all 2**n ways in which the sum is at least as far from zero as it is (Fisher 1935,
    The Design of Experiments, 21). Above 24 seeds it is that of 9,999 ways drawn at random and the
    observed one, as by `scipy.stats.permutation_test`. NaN is left out; NaN below 6 differences.
    """
    p = np.full(len(differences), np.nan)
    for rows, values in _by_number(differences):
        n = values.shape[1]
        if n >= SIGN_FLIP_FROM:
            flipped, ways = (_exactly, 2 ** (n // 2)) if n <= _EXACT_UP_TO else (_drawn, _FLIPS)
            turns = range(0, len(rows), max(1, _CELLS // ways))
            p[rows] = np.concatenate([flipped(values[i : i + turns.step]) for i in turns])
    return p


def _exactly(values: Array) -> Array:
    """Half of the differences in every way, against the other half in every way, in order."""
    half = values.shape[1] // 2
    one = np.sort(values[:, :half] @ _every_sign(half).T, axis=1)
    other = np.sort(values[:, half:] @ _every_sign(values.shape[1] - half).T, axis=1)
    limits, ways = _limit(values), one.shape[1] * other.shape[1]
    shares = np.ones(len(values))
    for row in np.flatnonzero(limits > 0):
        # as many sums lie below the one limit as above the other
        at_least = other.shape[1] - np.searchsorted(other[row], limits[row] - one[row])
        shares[row] = 2 * at_least.sum() / ways
    return shares


def _drawn(values: Array) -> Array:
    n = values.shape[1]
    signs = _random_signs(2 ** (n - 1).bit_length())[:, :n]
    as_far = (np.abs(values @ signs.T) >= _limit(values)[:, None]).sum(axis=1)
    return np.asarray((as_far + 1) / (_FLIPS + 1))


def _limit(values: Array) -> Array:
    """How far the sum is from zero; one that is as far on paper may fall short by rounding."""
    return np.asarray(np.abs(values.sum(axis=1)) - 1e-10 * np.abs(values).sum(axis=1))


@lru_cache(maxsize=32)
def _every_sign(n: int) -> Array:
    """(2**n, n) ±1."""
    return np.asarray(1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1))


@lru_cache(maxsize=4)
def _random_signs(n: int) -> Array:
    """(flips, n) ±1, the same each time; fewer seeds take the first columns."""
    return np.random.default_rng(_SEED).choice([-1.0, 1.0], size=(_FLIPS, n))


def iqm(differences: Array) -> Array:
    """(comparisons,) mean of the middle half of each row of (comparisons, seeds).

    A quarter of the seeds, rounded down, is left out at each end, as by `scipy.stats.trim_mean`;
    Agarwal et al. (2021) propose it for few runs. NaN is left out; NaN below 10 differences.
    """
    means = np.full(len(differences), np.nan)
    for rows, values in _by_number(differences):
        if values.shape[1] >= IQM_FROM:
            means[rows] = np.sort(values, axis=1) @ _middle(values.shape[1])
    return means


def iqm_interval(differences: Array) -> tuple[Array, Array]:
    """The ends of its 95 % percentile bootstrap interval, (comparisons,) each.

    1,000 resamples of the seeds, the same ones for each comparison (Efron 1979).
    """
    ends = np.full((2, len(differences)), np.nan)
    for rows, values in _by_number(differences):
        n = values.shape[1]
        if n >= IQM_FROM:
            per_turn = max(1, _CELLS // _RESAMPLES)
            for i in range(0, len(rows), per_turn):
                means = np.sort(values[i : i + per_turn], axis=1) @ _resampled(n)
                ends[:, rows[i : i + per_turn]] = _percentiles(means)
    return ends[0], ends[1]


def _percentiles(means: Array) -> Array:
    """(2, rows) the 2.5th and 97.5th percentile of each row."""
    at = int(0.025 * (means.shape[1] - 1))
    ordered = np.partition(means, (at, means.shape[1] - 1 - at), axis=1)
    return np.stack([ordered[:, at], ordered[:, -1 - at]])


def _middle(n: int) -> Array:
    """(n,) the weights with which ordered values enter the interquartile mean."""
    weights = np.zeros(n)
    weights[n // 4 : n - n // 4] = 1 / (n - 2 * (n // 4))
    return weights


@lru_cache(maxsize=32)
def _resampled(n: int) -> Array:
    """(n, resamples) weights of ordered values: the interquartile mean of a resample is a sum.

    A resample of ordered values is in order if its places are, so no resample need be sorted.
    """
    places = np.sort(np.random.default_rng(_SEED).integers(n, size=(_RESAMPLES, n)), axis=1)
    cells = (np.arange(_RESAMPLES)[:, None] * n + places).ravel()
    weights = np.bincount(cells, np.tile(_middle(n), _RESAMPLES), _RESAMPLES * n)
    return np.asarray(weights.reshape(_RESAMPLES, n).T, dtype=float)


def _by_number(differences: Array) -> "list[tuple[npt.NDArray[np.intp], Array]]":
    """The rows that have equally many finite values, and these values, (rows, n)."""
    finite = np.isfinite(differences)
    numbers = finite.sum(axis=1)
    found = []
    for n in np.unique(numbers).tolist():
        rows = np.flatnonzero(numbers == n)
        values = differences[rows] if n == differences.shape[1] else differences[rows][finite[rows]]
        found.append((rows, values.reshape(len(rows), n)))
    return found
