"""The path table: what each round tried, what was taken, and its share of the whole distance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sweeper.evidence.comparisons import Family
from sweeper.evidence.measures import Grid
from sweeper.evidence.statistics import Array, paired
from sweeper.plan import Step
from sweeper.recipe import BASELINE, TARGET

COLUMNS = (
    "recipe", "round", "change", "arm", "metric", "mean", "delta", "delta_ci_low",
    "delta_ci_high", "share", "is_taken",
)  # fmt: skip


def path_table(
    recipe_name: str, path: Sequence[Step], grid: Grid, families: Mapping[str, Family]
) -> pd.DataFrame:
    """A row per change that a round tried and metric, in their order.

    `delta` is the arm minus the arm before it on the path (log10 of the ratio under `scale: log`),
    `share` is delta over target minus baseline: those of the arms taken add up to 1 where no seed
    is missing. Empty where a run is infinite, as in the arms table.
    """
    steps = [step for step in path if step.arm in grid.index and step.before in grid.index]
    parts = [_of_one_metric(steps, grid, family) for family in families.values()]
    table = pd.concat(parts).sort_index(kind="stable") if parts else pd.DataFrame(columns=COLUMNS)
    table = table.reset_index(drop=True)
    table["recipe"] = np.full(len(table), recipe_name, dtype=object)
    return table[list(COLUMNS)]


def _of_one_metric(steps: Sequence[Step], grid: Grid, family: Family) -> pd.DataFrame:
    pairs = tuple(((grid.index[step.arm], 1.0), (grid.index[step.before], -1.0)) for step in steps)
    found = family.tested(pairs).paired
    own = family.measured.values[[grid.index[step.arm] for step in steps]]
    infinite = np.isinf(own).any(axis=1, keepdims=True)
    columns = {
        "round": [step.round for step in steps],
        "change": np.array([step.change for step in steps], dtype=object),
        "arm": np.array([step.arm for step in steps], dtype=object),
        "metric": np.full(len(steps), family.metric, dtype=object),
        "mean": paired(np.where(infinite, np.nan, own)).mean,
        "delta": found.mean,
        "delta_ci_low": found.low,
        "delta_ci_high": found.high,
        "share": found.mean / _whole(steps, grid, family) + 0.0,  # never -0.0
        "is_taken": np.array([step.is_taken for step in steps], dtype=bool),
    }
    return pd.DataFrame(columns)


def _whole(steps: Sequence[Step], grid: Grid, family: Family) -> Array:
    """Target minus baseline; NaN where they do not differ, since nothing has a share of that."""
    end = TARGET if TARGET in grid.index else steps[-1].arm
    pair = ((grid.index[end], 1.0), (grid.index[BASELINE], -1.0))
    whole = family.tested((pair,)).paired.mean
    return np.where(whole == 0, np.nan, whole)
