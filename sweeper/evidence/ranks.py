"""The exact unpaired rank test: for arms with runs that diverged or never got there."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special

from sweeper.evidence.statistics import Array

# Above this many runs together the exact distribution is left to its normal limit.
EXACT_UP_TO = 60


class RankTest(NamedTuple):
    """Two-sided p, and whether the first sample ranks higher (1), lower (-1) or alike (0)."""

    p: float
    direction: float


def rank_test(x: Array, y: Array) -> RankTest:
    """Mann-Whitney test of (n,) against (m,) values, which may be ± inf; ties are allowed.

    p is twice the smaller tail of the permutation distribution of the midrank sum, at most 1
    (Lehmann, Nonparametrics, 1975, 1.4). NaN where a side is empty.
    """
    n, m = len(x), len(y)
    if not n or not m:
        return RankTest(float("nan"), 0.0)
    _, group, sizes = np.unique(np.concatenate([x, y]), return_inverse=True, return_counts=True)
    doubled = _doubled_midranks(tuple(sizes.tolist()))
    total = sum(doubled[g] for g in group[:n].tolist())
    direction = float(np.sign(total - n * (n + m + 1)))
    if n + m > EXACT_UP_TO:
        return RankTest(_asymptotic(total, n, m, tuple(sizes.tolist())), direction)
    at_most, at_least = _tails(n, tuple(sizes.tolist()))
    return RankTest(min(1.0, 2 * min(at_most[total], at_least[total])), direction)


def _doubled_midranks(sizes: tuple[int, ...]) -> list[int]:
    """Twice the midrank of each group of ties: whole numbers, so sums compare exactly."""
    ranks, before = [], 0
    for size in sizes:
        ranks.append(2 * before + size + 1)
        before += size
    return ranks


@lru_cache(maxsize=4096)
def _tails(n: int, sizes: tuple[int, ...]) -> tuple[list[float], list[float]]:
    """P(sum <= s) and P(sum >= s) for every doubled rank sum s of n drawn without replacement.

    Counted run by run: with or without it, in ways[how many drawn, their sum].
    """
    ranks = [
        r for r, size in zip(_doubled_midranks(sizes), sizes, strict=True) for _ in range(size)
    ]
    ways = np.zeros((n + 1, sum(ranks) + 1))
    ways[0, 0] = 1.0
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank]
    share = ways[n] / ways[n].sum()
    return np.cumsum(share).tolist(), np.cumsum(share[::-1])[::-1].tolist()


def _asymptotic(total: int, n: int, m: int, sizes: tuple[int, ...]) -> float:
    """The normal limit with tie and continuity correction, of a doubled rank sum of n.

    The same bits as `scipy.stats.mannwhitneyu(method="asymptotic")`, which takes most of a second
    to import.
    """
    if len(sizes) == 1:
        return 1.0
    below = total / 2 - n * (n + 1) / 2
    ties = float(sum(size**3 - size for size in sizes))
    std = math.sqrt(n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1))))
    z = (max(below, n * m - below) - n * m / 2 - 0.5) / std
    return min(1.0, 2 * float(special.ndtr(-z)))
