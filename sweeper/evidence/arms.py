"""The arms table: a row per arm and metric, with the comparison the recipe makes of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeper.evidence.comparisons import Family, arm_pairs
from sweeper.evidence.measures import Grid
from sweeper.evidence.statistics import Array, median, paired

COLUMNS = (
    "recipe", "arm", "metric", "n", "n_diverged", "n_failed", "mean", "std", "median",
    "ci_low", "ci_high", "baseline", "delta", "delta_ci_low", "delta_ci_high",
    "p_value", "p_holm", "verdict",
)  # fmt: skip

FAILED = frozenset({"failed", "crashed", "oom", "timeout", "lost"})


def arms_table(recipe_name: str, grid: Grid, families: Mapping[str, Family]) -> pd.DataFrame:
    """A row per arm and metric, in the order of the plan and the recipe.

    `n` counts the runs with a value, diverged ones included. mean, std, median and the 95 % t
    interval are in the metric's units; delta, arm minus baseline, is in log10 units under
    `scale: log`. Where a run is infinite only the medians and the p of the rank test stand.
    """
    arms, metrics = len(grid.arms), list(families)
    per_metric = [_columns(grid, families[metric]) for metric in metrics]
    table: dict[str, object] = {
        "recipe": np.full(arms * len(metrics), recipe_name, dtype=object),
        "arm": np.repeat(np.array([a.name for a in grid.arms], dtype=object), len(metrics)),
        "metric": np.tile(np.array(metrics, dtype=object), arms),
    }
    for column in COLUMNS[3:]:
        table[column] = _interleave([columns[column] for columns in per_metric])
    return pd.DataFrame(table, columns=list(COLUMNS))


def _interleave(columns: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    """(arms,) columns of every metric, laid arm by arm."""
    return np.stack(columns, axis=1).ravel()


def _columns(grid: Grid, family: Family) -> dict[str, npt.NDArray[np.generic]]:
    """The columns of one metric, each (arms,)."""
    values = family.measured.values
    infinite = np.isinf(values).any(axis=1, keepdims=True)
    own = paired(np.where(infinite, np.nan, values), shared=family.variance.shared)
    columns: dict[str, npt.NDArray[np.generic]] = {
        "n": (~np.isnan(values)).sum(axis=1),
        "n_diverged": grid.count(frozenset({"diverged"})),
        "n_failed": grid.count(FAILED),
        "mean": own.mean,
        "std": own.std,
        "median": median(values),
        "ci_low": own.low,
        "ci_high": own.high,
        "baseline": np.array([arm.compared_with or "" for arm in grid.arms], dtype=object),
    }
    return columns | _comparison(grid, family)


def _comparison(grid: Grid, family: Family) -> dict[str, npt.NDArray[np.generic]]:
    """The columns that compare; empty for an arm that is compared with none."""
    rows = [member[0][0] for member in arm_pairs(grid)]
    results = family.results
    verdicts = results.verdicts(family.p_holm, family.smallest_effect, family.goal)
    words = np.full(len(grid.arms), "", dtype=object)
    words[rows] = verdicts[: len(rows)]

    def by_arm(values: Array) -> Array:
        column = np.full(len(grid.arms), np.nan)
        column[rows] = values[: len(rows)]
        return column

    return {
        "delta": by_arm(results.paired.mean),
        "delta_ci_low": by_arm(results.paired.low),
        "delta_ci_high": by_arm(results.paired.high),
        "p_value": by_arm(results.p),
        "p_holm": by_arm(family.p_holm),
        "verdict": words,
    }
