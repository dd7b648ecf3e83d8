"""How many seeds a verdict needs: what they cannot decide, and how many more would."""

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from sweeper.claim import Assertion, Comparison, Diagnosed, Diverges, Order, Reaches
from sweeper.evidence.statistics import LEVEL, Array, share_bounds
from sweeper.recipe import BASELINE, Arm, Recipe

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
    mean: float, std: float, n: int, smallest_effect: float, comparisons: int
) -> float:
    """Seeds to add to n for a verdict with a power of 90 %, if mean and std stay as observed.

    A difference below `smallest_effect` is decided by the two one-sided tests, any other by the
    paired t test at Holm's strictest step. inf where more than 100 would be needed.
    """
    if not std > 0:
        return math.inf
    sizes = np.arange(max(n + 1, 2), n + MOST_FURTHER + 1)
    if abs(mean) >= smallest_effect:
        power = _power(mean / std, sizes, LEVEL / (2 * max(comparisons, 1)))
    else:
        margins = ((smallest_effect - abs(mean)) / std, (smallest_effect + abs(mean)) / std)
        # both one-sided tests must reject: at least 1 - (miss + miss), after Bonferroni
        near, far = (_power(margin, sizes, LEVEL) for margin in margins)
        power = near + far - 1.0
    enough = sizes[power >= POWER]
    return float(enough[0] - n) if len(enough) else math.inf


def _power(effect: float, sizes: "npt.NDArray[np.int64]", tail: float) -> Array:
    """(sizes,) power of a t test with `tail` in one tail, for an effect in standard deviations.

    The normal approximation of the noncentral t (Johnson and Welch 1940), good to about 0.01.
    """
    df = sizes - 1.0
    critical = special.stdtrit(df, 1 - tail)
    shift = abs(effect) * np.sqrt(sizes)
    power: Array = special.ndtr((shift - critical) / np.sqrt(1 + critical**2 / (2 * df)))
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


def cannot_decide(recipe: Recipe, n_arms: int, n_seeds: int) -> list[str]:
    """What this number of seeds cannot decide: a sentence for each claim or group of claims."""
    sentences = []
    by_ranks: dict[int, list[str]] = {}
    for claim in recipe.claims:
        for line, assertion in claim.assertions():
            needed, why = _needed(assertion)
            if n_seeds < needed:
                sentences.append(f"{line}: {why}; it needs {needed} seeds, not {n_seeds}.")
            elif isinstance(assertion, Comparison | Order) and assertion.kind != "no_effect":
                comparisons = _comparisons(assertion, recipe, n_arms)
                if n_seeds < seeds_needed_by_ranks(comparisons):
                    by_ranks.setdefault(comparisons, []).append(line)
    return sentences + [_ranks_sentence(lines, m, n_seeds) for m, lines in by_ranks.items()]


def _needed(assertion: Assertion) -> tuple[int, str]:
    if isinstance(assertion, Reaches | Diverges | Diagnosed):
        return seeds_needed_by_events(), "even a unanimous share has its bound below one half"
    if isinstance(assertion, Comparison | Order):
        return 2, "a single difference has no interval"
    return 1, ""


def _ranks_sentence(lines: list[str], comparisons: int, n_seeds: int) -> str:
    over = f" over {comparisons} comparisons" if comparisons > 1 else ""
    return (
        f"{', '.join(lines)}: if a run diverges, the rank test{over} needs "
        f"{seeds_needed_by_ranks(comparisons)} seeds, not {n_seeds}."
    )


def _comparisons(assertion: Comparison | Order, recipe: Recipe, n_arms: int) -> int:
    """The size of the family: arms with a reference, and what only claims compare."""
    if isinstance(assertion, Order):
        return 1
    first = next(iter(recipe.metrics))
    metric, usual = assertion.metric or first, _usual_references(recipe)
    extra = set()
    for claim in recipe.claims:
        for _, other in claim.assertions():
            if isinstance(other, Comparison) and (other.metric or first) == metric:
                extra |= _beyond(other, usual)
    return n_arms - 1 + len(extra)


def _beyond(claimed: Comparison, usual: dict[str, str]) -> set[tuple[object, ...]]:
    """The comparison if the arms table does not make it anyway."""
    if claimed.contrast is not None and len(claimed.contrast) > 2:
        return {tuple(sorted(claimed.contrast.items()))}
    arm, reference = claimed.contrast or (str(claimed.arm), claimed.reference)
    if reference is None or usual.get(arm, BASELINE) == reference:
        return set()
    return set() if usual.get(reference, BASELINE) == arm else {tuple(sorted((arm, reference)))}


def _usual_references(recipe: Recipe) -> dict[str, str]:
    """What each listed arm is compared with; the rungs a design generates are not listed."""
    usual, before = {}, BASELINE
    arm: Arm
    for arm in recipe.sequence:
        usual[arm.name] = arm.from_ or before
        before = arm.name
    return usual | {arm.name: arm.from_ or BASELINE for arm in recipe.arms}
