"""The effects table: what each axis of a factorial does, and what two of them do together."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sweeper.evidence.comparisons import Family, Weights
from sweeper.evidence.measures import Grid
from sweeper.factorial import Effect

COLUMNS = (
    "recipe", "metric", "effect", "aliases", "n", "delta", "delta_ci_low", "delta_ci_high",
    "p_value", "p_holm", "verdict",
)  # fmt: skip


def contrast(effect: Effect, cells: Sequence[str], grid: Grid) -> Weights:
    """The mean of the cells where it is a plus, less the mean of those where it is a minus.

    Of a main effect: high less low. Of an interaction: half of what the one axis does at the
    other's high less what it does at its low (Box, Hunter and Hunter 2005, chapter 5).
    """
    share = 2 / len(cells)
    weights = [(grid.index[a], share * s) for a, s in zip(cells, effect.signs, strict=True)]
    return tuple(sorted(weights, key=lambda weight: -weight[1]))


def effect_families(
    effects: Sequence[Effect], cells: Sequence[str], grid: Grid, families: Mapping[str, Family]
) -> dict[str, Family]:
    """For each metric the family of the effects, in their order; Holm's correction is over them.

    `cells` names the arm of each cell. Empty for a plan that holds no factorial.
    """
    if not effects or any(arm not in grid.index for arm in cells):
        return {}
    members = tuple(contrast(effect, cells, grid) for effect in effects)
    return {metric: family.over(members) for metric, family in families.items()}


def effects_table(
    recipe_name: str, effects: Sequence[Effect], families: Mapping[str, Family]
) -> pd.DataFrame:
    """A row per metric and effect; `n` counts the seeds at which every cell has a value."""
    parts = [_of_one_metric(effects, family) for family in families.values()]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS[1:])
    table.insert(0, "recipe", np.full(len(table), recipe_name, dtype=object))
    return table


def _of_one_metric(effects: Sequence[Effect], family: Family) -> pd.DataFrame:
    results = family.results
    columns = {
        "metric": np.full(len(effects), family.metric, dtype=object),
        "effect": np.array([effect.name for effect in effects], dtype=object),
        "aliases": np.array([", ".join(effect.aliases) for effect in effects], dtype=object),
        "n": results.paired.n,
        "delta": results.paired.mean,
        "delta_ci_low": results.paired.low,
        "delta_ci_high": results.paired.high,
        "p_value": results.p,
        "p_holm": family.p_holm,
        "verdict": results.verdicts(family.p_holm, family.smallest_effect, family.goal),
    }
    return pd.DataFrame(columns, columns=list(COLUMNS[1:]))
