"""Which way a noisy curve went lately: a robust slope with its interval, put into a word.

The slope is the median of those of all pairs of points (Theil 1950, Sen 1968), its interval theirs
by the exact null distribution of Kendall's S (Mann 1945), so that it leaves out zero just where
the Mann-Kendall test rejects. Plain Python: ten points of a hundred thousand trials take less
so than arrays do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Literal

Word = Literal["falling", "rising", "flat", "unclear"]

# Each end of the interval errs at most so often: the level of the statistics elsewhere.
LEVEL = 0.05
# Four points are the fewest of which all six pairs may agree by chance in less than 5 % (1 in 24).
FEWEST = 4
# Longer curves are cut into so many blocks of which each counts by its median: noise goes down, and
# neighbours, which are alike in a curve of every step, count as one.
BLOCKS = 32
# A change over the recent part, as a share of the loss that the curve started with. Up to 0.04
# it counts as none, from 0.05 on as one: a healthy net in its last epochs loses less, one that
# learns or overfits more. What lies between may be either.
FLAT, CHANGED = 0.04, 0.05
# The mean distance of two readings of normal noise, in its standard deviations.
_APART = 2 / math.sqrt(math.pi)


@dataclass(frozen=True)
class Trend:
    """What the recent part of a curve did, in units of the scale: changes are end less beginning.

    `low` and `high` are the 90 % interval of `change`; `noise` is the standard deviation that its
    ups and downs would have as independent noise.
    """

    change: float
    low: float
    high: float
    noise: float
    span: float

    @property
    def word(self) -> Word:
        """`unclear` is a change that noise may have made, or noise that may hide one."""
        if self.high < 0 and self.change <= -CHANGED:
            return "falling"
        if self.low > 0 and self.change >= CHANGED:
            return "rising"
        return "flat" if abs(self.change) < FLAT and self.noise < FLAT else "unclear"


def blocks(
    steps: Sequence[float], values: Sequence[float], most: int = BLOCKS
) -> tuple[list[float], list[float]]:
    """The medians of up to `most` runs of neighbours, as equal in length as can be."""
    n = len(values)
    if n <= most:
        return list(steps), list(values)
    cuts = [round(n * i / most) for i in range(most + 1)]
    parts = list(pairwise(cuts))
    return [median(steps[a:b]) for a, b in parts], [median(values[a:b]) for a, b in parts]


def trend(steps: Sequence[float], values: Sequence[float], scale: float) -> Trend | None:
    """The trend of these points, all of them finite; None where they are too few to tell.

    Ties count as no agreement, so the interval of a curve of equal values is zero.
    """
    n = len(values)
    if n < FEWEST or not scale > 0:
        return None
    span = steps[-1] - steps[0]
    points = list(zip(steps, values, strict=True))
    pairs = [(t - s, w - v) for i, (t, w) in enumerate(points) for s, v in points[:i]]
    if not all(apart for apart, _ in pairs):
        return None  # two readings of one step have no slope
    slopes = sorted([rise / apart for apart, rise in pairs])
    slope, cut = median(slopes), beyond(n)
    unit = span / scale
    return Trend(
        slope * unit, slopes[cut] * unit, slopes[-1 - cut] * unit, swings(values) / scale, span
    )


def swings(values: Sequence[float]) -> float:
    """How far a curve goes to and fro: zero where it goes one way only, however bent.

    Of its ups and its downs the lesser, per pair of moves, in standard deviations of independent
    normal noise: two readings of it differ by 2 / √π of one in the mean.
    """
    moves = [b - a for a, b in pairwise(values)]
    up = sum(move for move in moves if move > 0)
    down = up - sum(moves)
    return 2 * min(up, down) / len(moves) / _APART


@cache
def beyond(n: int) -> int:
    """How many of the sorted slopes of n points lie outside the interval at each end.

    The largest d so that among n points without a trend at most d of the pairs run one way with a
    probability of `LEVEL`. The number of such pairs is that of inversions of a random order.
    """
    counts = [1.0]  # of orders of one point by their inversions
    for size in range(2, n + 1):
        sums = [0.0] * (len(counts) + size - 1)
        for inversions, count in enumerate(counts):
            for more in range(size):
                sums[inversions + more] += count / size  # shares of all orders: no huge numbers
        counts = sums
    below, d = 0.0, -1
    while below + counts[d + 1] <= LEVEL + 1e-12:
        d += 1
        below += counts[d]
    assert d >= 0, f"{n} points are too few"
    return d
