"""How many seeds a verdict needs, and how many more would decide."""

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from sweeper.evidence.statistics import LEVEL, Array, share_bounds

POWER = 0.9
MOST_FURTHER = 100


def smallest_rank_p(n: int, m: int) -> float:
    """The smallest two-sided p of the exact rank test of n against m: 2 / C(n + m, n)."""
    return min(1.0, 2 / math.comb(n + m, n))


def seeds_needed_by_ranks(comparisons: int) -> int:
    """Seeds an arm needs until the rank test can pass Holm's strictest step, 0.05 / comparisons."""
    n = 1
    while smallest_rank_p(n, n) > LEVEL / max(comparisons, 1):
        n += 1
    return n


def seeds_needed_by_events() -> int:
    """Seeds whose unanimous share has its one-sided 95 % bound above one half."""
    return next(n for n in range(1, 100) if share_bounds(n, n)[0] > 0.5)


def further_seeds(
    mean: float, std: float, n: int, smallest_effect: float, comparisons: int, shared: float = 0.0
) -> float:
    """Seeds to add to n for a verdict with a power of 90 %, if mean and std stay as observed.

    A difference below `smallest_effect` is decided by the two one-sided tests, any other by the
    paired t test at Holm's strictest step. inf where more than 100 would be needed. `shared` is
    that of `statistics.paired`.
    """
    means, stds, numbers, shares = (np.array([float(v)]) for v in (mean, std, n, shared))
    found = further_seeds_of_each(means, stds, numbers, shares, smallest_effect, comparisons)
    return float(found[0])


def further_seeds_of_each(
    mean: Array, std: Array, n: Array, shared: Array, smallest_effect: float, comparisons: int
) -> Array:
    """The same for (comparisons,) of one family."""
    more = np.arange(1, MOST_FURTHER + 1)
    sizes = n.astype(np.int64)[:, None] + more
    seen = sizes / (1 + sizes * shared[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        effect, margin = np.abs(mean / std), smallest_effect / std
        # both one-sided tests must reject: at least 1 - (miss + miss), after Bonferroni
        both = _power(margin - effect, sizes, seen, LEVEL) - 1.0
        both += _power(margin + effect, sizes, seen, LEVEL)
        power = _power(effect, sizes, seen, LEVEL / (2 * max(comparisons, 1)))
    power = np.where((np.abs(mean) < smallest_effect)[:, None], both, power)
    enough = (power >= POWER) & (sizes >= 2) & (std > 0)[:, None]
    return np.where(enough.any(axis=1), more[enough.argmax(axis=1)], np.inf)


def _power(effect: Array, sizes: "npt.NDArray[np.int64]", seen: Array, tail: float) -> Array:
    """Power of a t test with `tail` in one tail, for (rows,) effects in standard deviations.

    Of (rows, sizes) seeds, that count as so many independent ones as are in `seen`. The normal
    approximation of the noncentral t (Johnson and Welch 1940), good to about 0.01.
    """
    df = np.arange(sizes.max(initial=0) + 1) - 1.0
    critical = special.stdtrit(df, 1 - tail)
    width = np.sqrt(1 + critical**2 / (2 * df))
    shift = np.abs(effect)[:, None] * np.sqrt(seen)
    power: Array = special.ndtr((shift - critical[sizes]) / width[sizes])
    return power


def further_seeds_for_share(happened: int, n: int) -> float:
    """Seeds to add before the share's bound leaves one half, if the share stays as observed."""
    share = happened / n if n else 1.0
    for more in range(1, MOST_FURTHER + 1):
        total = n + more
        low = share_bounds(math.floor(share * total), total)[0]
        high = share_bounds(math.ceil(share * total), total)[1]
        if low > 0.5 or high < 0.5:
            return float(more)
    return math.inf


def in_words(further: float) -> str:
    """`about 7 further seeds would decide`, `1 further seed …`, `more than 100 further seeds …`."""
    if math.isinf(further):
        return f"more than {MOST_FURTHER} further seeds would be needed"
    return f"about {further:.0f} further seed{'s' * (further != 1)} would decide"
