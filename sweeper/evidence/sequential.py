"""Looking at a comparison while seeds are added, without more errors than one look makes.

Each look spends a part of the error (Lan and DeMets 1983) by the function of Hwang, Shih and
DeCani (1990). Its levels hold for the t test itself, not for its normal limit: with three seeds
that limit would be far off.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from sweeper.evidence.statistics import LEVEL, Array
from sweeper.recipe import Looks

# Chosen on simulated portfolios (benchmarks/calibration.py): spends little on the first looks.
_GAMMA = -4.0
# Stop where the seeds that are left would decide with no more than this probability.
FUTILE = 0.05
# The states of a comparison are values of its p, finely where errors are counted.
_EDGES = np.concatenate([[0.0], np.geomspace(1e-9, 0.05, 250), np.linspace(0.05, 1.0, 201)[1:]])
_CENTRES = (_EDGES[:-1] + _EDGES[1:]) / 2
_ANGLES = 64
# Levels are worked out for these errors; any other lies between.
_ERRORS = np.concatenate([[1e-7], np.geomspace(1e-6, 1.0, 61)])


def looks(seeds: Looks) -> tuple[int, ...]:
    """The numbers of seeds at which the claims are looked at."""
    return (*range(seeds.min, seeds.max, seeds.by), seeds.max)


def nominal_level(seeds: Looks, n: int, error: float = LEVEL) -> float:
    """The two-sided p up to which a look at n seeds decides, if `error` is to hold over all looks.

    Two tests of one side each, with an error of 0.05, take half of the level of 0.10.
    """
    table = _levels(seeds.min, seeds.max, seeds.by)
    column = table[:, looks(seeds).index(n)]
    return float(np.exp(np.interp(np.log(error), np.log(_ERRORS), np.log(column))))


def repeated_p(seeds: Looks, p: Array, n: npt.NDArray[np.int64]) -> Array:
    """(comparisons,) the least error at which a look at n seeds would decide, given its p.

    The repeated p-value of Jennison and Turnbull (2000, 9.1): it may be read at any look. NaN
    stays NaN.
    """
    table, order = (
        _levels(seeds.min, seeds.max, seeds.by),
        {m: k for k, m in enumerate(looks(seeds))},
    )
    adjusted = np.full_like(p, np.nan)
    for m in np.unique(n):
        here = (n == m) & ~np.isnan(p)
        column = np.log(table[:, order[int(m)]])
        bounded = np.log(np.maximum(p[here], 1e-300))
        error = np.exp(np.interp(bounded, column, np.log(_ERRORS), right=0.0))
        # below the table the level goes on in proportion
        adjusted[here] = np.minimum(error, np.exp(bounded - column[0]) * _ERRORS[0])
        adjusted[here] = np.where(bounded >= column[0], error, adjusted[here])
    return adjusted


def spent(error: Array, share: float) -> Array:
    """What of each `error` may be spent when this share of the seeds is in."""
    return np.asarray(error * np.expm1(-_GAMMA * share) / np.expm1(-_GAMMA))


@lru_cache(maxsize=32)
def _levels(first: int, last: int, by: int) -> Array:
    """(errors, looks) the nominal two-sided levels."""
    numbers = looks(Looks(min=first, max=last, by=by))
    mass = np.tile(np.diff(_EDGES), (len(_ERRORS), 1))  # without a difference p is uniform
    levels, before, n = np.empty((len(_ERRORS), len(numbers))), 0.0 * _ERRORS, first
    for k, number in enumerate(numbers):
        while n < number:
            mass, n = mass @ _step(n), n + 1
        until_now = spent(_ERRORS, number / last)
        levels[:, k] = _cut(mass, until_now - before)
        before = until_now
    return levels


def _cut(mass: Array, errors: Array) -> Array:
    """The p below which each row of (errors, cells) holds so much; that part leaves the row."""
    levels = np.empty(len(mass))
    for row, error in enumerate(errors):
        held = np.concatenate([[0.0], np.cumsum(mass[row])])
        levels[row] = np.interp(error, held, _EDGES)
        mass[row] = np.diff(np.maximum(held, error))
    return levels


@lru_cache(maxsize=256)
def _step(n: int) -> Array:
    """(cells, cells) where a comparison of n seeds without a difference gets to by one more.

    The sum of its differences over their norm, u, says all that t says. A new difference is in a
    random direction θ to them, with density cos^(n-1) θ: then u cos θ + sin θ is the new u.
    """
    widest = min(np.pi / 2, 9 / np.sqrt(n))
    nodes, weights = np.polynomial.legendre.leggauss(_ANGLES)
    angles, weights = nodes * widest, weights * np.cos(nodes * widest) ** (n - 1)
    t = -special.stdtrit(n - 1.0, _CENTRES / 2)[:, None]
    u = np.sqrt(n) * t / np.sqrt(n - 1 + t**2)
    new = u * np.cos(angles) + np.sin(angles)
    new_t = new * np.sqrt(n) / np.sqrt(np.maximum(n + 1 - new**2, 1e-300))
    place = np.interp(
        2 * special.stdtr(float(n), -np.abs(new_t)), _CENTRES, np.arange(len(_CENTRES))
    )
    return _spread_over(place, weights / weights.sum())


def _spread_over(place: Array, weights: Array) -> Array:
    """(cells, cells) the weights at (cells, angles) places, each shared by the two cells beside."""
    cells = len(place)
    below = np.minimum(place.astype(np.intp), cells - 2)
    start = np.arange(cells)[:, None] * cells
    above = place - below
    counted = np.bincount((start + below).ravel(), (weights * (1 - above)).ravel(), cells**2)
    counted += np.bincount((start + below + 1).ravel(), (weights * above).ravel(), cells**2)
    return counted.astype(np.float64).reshape(cells, cells)
