"""The comparisons table: a row per metric and comparison, with what else the differences say."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeper.evidence.comparisons import (
    Family,
    Weights,
    canonical,
    claimed,
    comparisons_of,
    is_pair,
    sides,
)
from sweeper.evidence.effect_size import correlation_and_gain, hedges_g
from sweeper.evidence.measures import Grid
from sweeper.evidence.power import further_seeds_of_each, seeds_needed_by_ranks
from sweeper.evidence.resampling import iqm, iqm_interval, sign_flip_p
from sweeper.evidence.statistics import Array
from sweeper.evidence.wording import contrast_in_words
from sweeper.recipe import Recipe

COLUMNS = (
    "recipe", "arm", "reference", "metric", "test", "n", "delta", "delta_ci_low", "delta_ci_high",
    "p_value", "p_sign_flip", "p_holm", "effect_size", "effect_size_ci_low", "effect_size_ci_high",
    "correlation", "pairing_gain", "iqm_delta", "iqm_delta_ci_low", "iqm_delta_ci_high",
    "further_seeds", "verdict",
)  # fmt: skip


def comparisons_table(
    recipe_name: str, recipe: Recipe, grid: Grid, families: Mapping[str, Family]
) -> pd.DataFrame:
    """A row per metric and comparison: arms in their order, then what only claims compare.

    What the comparison's test cannot give stays empty: see docs/tables.md.
    """
    parts = [
        _of_one_metric(family, grid, _contrasts(metric, recipe, grid))
        for metric, family in families.items()
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS[1:]}
    rows = len(columns["metric"])
    return pd.DataFrame(
        {"recipe": np.full(rows, recipe_name, dtype=object), **columns}, columns=list(COLUMNS)
    )


def _of_one_metric(
    family: Family, grid: Grid, worded: Mapping[Weights, str]
) -> dict[str, npt.NDArray[np.generic]]:
    results, paired = family.results, family.results.paired
    verdicts = results.verdicts(family.p_holm, family.smallest_effect, family.goal)
    columns: dict[str, npt.NDArray[np.generic]] = {
        **_names(family.members, grid, worded),
        "metric": np.full(len(family.members), family.metric, dtype=object),
        "test": _tests(family),
        "n": _numbers(family),
        "delta": paired.mean,
        "delta_ci_low": paired.low,
        "delta_ci_high": paired.high,
        "p_value": results.p,
        "p_holm": family.p_holm,
        "further_seeds": _further(family, verdicts),
        "verdict": verdicts,
    }
    return columns | _sizes(family) | _resampled(family)


def _contrasts(metric: str, recipe: Recipe, grid: Grid) -> dict[Weights, str]:
    """Each contrast as the first claim about it writes it, so that both tables say the same."""
    found: dict[Weights, str] = {}
    for assertion in comparisons_of(metric, recipe):
        weights = claimed(assertion, grid)
        if weights and assertion.contrast is not None:
            found.setdefault(canonical(weights), contrast_in_words(assertion.contrast))
    return found


def _names(
    members: Sequence[Weights], grid: Grid, worded: Mapping[Weights, str]
) -> dict[str, npt.NDArray[np.generic]]:
    names = np.full((2, len(members)), "", dtype=object)
    for i, member in enumerate(members):
        if is_pair(member):
            names[:, i] = [grid.arms[row].name for row, _ in member]
        else:
            names[0, i] = worded[canonical(member)]
    return {"arm": names[0], "reference": names[1]}


def _tests(family: Family) -> npt.NDArray[np.generic]:
    """Which test the p is of; empty where none could be made."""
    results, variance = family.results, family.variance
    given = variance.given(family.members)
    pooled = ~np.isnan(given.std) if given else np.zeros(len(family.members), dtype=bool)
    corrected = variance.shared_by(family.members) > 0
    words = np.select(
        [
            np.isnan(results.p), results.by_ranks, results.paired.std == 0,
            corrected & pooled, corrected, pooled,
        ],
        ["", "ranks", "sign_flip", "corrected_pooled_t", "corrected_t", "pooled_t"],
        "paired_t",
    )  # fmt: skip
    return words.astype(object)


def _numbers(family: Family) -> npt.NDArray[np.int64]:
    """Pairs of seeds; of an unpaired test the runs of the smaller side."""
    numbers, values = family.results.paired.n.copy(), family.compared.values
    for i in np.flatnonzero(family.results.by_ranks):
        rows = [row for row, _ in family.members[i]]
        numbers[i] = (~np.isnan(values[rows])).sum(axis=1).min()
    return numbers


def _sizes(family: Family) -> dict[str, npt.NDArray[np.generic]]:
    effect, low, high = hedges_g(family.results.paired)
    pairs = np.array([is_pair(member) for member in family.members], dtype=bool)
    compares = sides(family.members, family.compared.values, family.looking)
    decided = pairs & ~family.results.by_ranks
    correlation, gain = correlation_and_gain(compares.left, compares.right)
    return {
        "effect_size": effect,
        "effect_size_ci_low": low,
        "effect_size_ci_high": high,
        "correlation": np.where(decided, correlation, np.nan),
        "pairing_gain": np.where(decided, gain, np.nan),
    }


def _resampled(family: Family) -> dict[str, npt.NDArray[np.generic]]:
    """Flipped signs and resampled seeds take the differences for independent: not under folds."""
    compares = sides(family.members, family.compared.values, family.looking)
    differences = compares.differences()
    shares = (family.variance.shared_by(family.members) > 0)[:, None]
    independent = np.where(shares, np.nan, differences)
    low, high = iqm_interval(independent)
    return {
        "p_sign_flip": sign_flip_p(independent),
        "iqm_delta": iqm(differences),
        "iqm_delta_ci_low": low,
        "iqm_delta_ci_high": high,
    }


def _further(family: Family, verdicts: npt.NDArray[np.object_]) -> Array:
    """(comparisons,) as the reasons of claims say; inf above 100, NaN where none is asked for.

    Where seeds are added in looks, how many more there are is settled there.
    """
    paired, shared = family.results.paired, family.variance.shared_by(family.members)
    numbers, found = _numbers(family), np.full(len(verdicts), np.nan)
    if family.looking is not None:
        return found
    needed = seeds_needed_by_ranks(family.size)
    asked = (verdicts == "undecided") & ~np.isnan(family.p_holm)
    ranks = asked & family.results.by_ranks & (numbers < needed)
    found[ranks] = needed - numbers[ranks]
    rows = asked & ~family.results.by_ranks & (paired.std > 0)
    found[rows] = further_seeds_of_each(
        paired.mean[rows], paired.std[rows], numbers[rows], shared[rows],
        family.smallest_effect, family.size,
    )  # fmt: skip
    return found
