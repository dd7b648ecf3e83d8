"""Forest plots: every arm's difference from the arm it is compared with, and its verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sweeper.evidence.comparisons import Family, arm_pairs
from sweeper.evidence.figures.canvas import GREY, VERDICTS, Drawing, draw, text
from sweeper.evidence.findings import Evidence
from sweeper.evidence.measures import Grid
from sweeper.evidence.wording import p_value, short
from sweeper.recipe import Goal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 60


@dataclass(frozen=True)
class Difference:
    """An arm minus the one it is compared with; NaN where a run diverged and ranks decide."""

    arm: str
    reference: str
    delta: float
    low: float
    high: float
    p_holm: float
    by_ranks: bool
    verdict: str


@dataclass(frozen=True)
class Forest:
    """The differences of one metric, in the recipe's order."""

    metric: str
    is_log: bool
    goal: Goal
    smallest_effect: float
    rows: tuple[Difference, ...]
    left_out: int = 0  # the least certain, where there are too many


def forests(evidence: Evidence) -> list[Forest]:
    """A forest for each of the recipe's metrics in which some arm could be compared."""
    found = (_forest(family, evidence.grid) for family in evidence.families.values())
    return [forest for forest in found if forest.rows]


def _forest(family: Family, grid: Grid) -> Forest:
    pairs, results = arm_pairs(grid), family.results
    verdicts = results.verdicts(family.p_holm, family.smallest_effect, family.goal)
    rows = [
        Difference(
            grid.arms[member[0][0]].name, grid.arms[member[1][0]].name,
            float(results.paired.mean[i]), float(results.paired.low[i]),
            float(results.paired.high[i]), float(family.p_holm[i]),
            bool(results.by_ranks[i]), str(verdicts[i]),
        )
        for i, member in enumerate(pairs)
    ]  # fmt: skip
    told = [row for row in rows if not math.isnan(row.delta) or row.by_ranks]
    kept = sorted(told, key=lambda r: math.inf if math.isnan(r.p_holm) else r.p_holm)[:MOST_ROWS]
    return Forest(
        family.metric, family.log, family.goal, family.smallest_effect,
        tuple(row for row in told if row in kept), len(told) - len(kept),
    )  # fmt: skip


def drawing(forest: Forest) -> Drawing:
    """A row an arm: point, 95 % interval, verdict; the band is ± the smallest effect."""
    unit = "log10 difference" if forest.is_log else "difference"
    caption = (
        f"{forest.metric}: mean paired {unit} of each arm from the one it is compared with, its "
        "uncorrected 95 % interval, and the verdict after Holm's correction."
    )
    if forest.smallest_effect:
        caption += f" Grey band: ± the smallest effect, {short(forest.smallest_effect)}."
    if any(row.by_ranks for row in forest.rows):
        caption += " Where a run diverged there is no mean difference: ranks decide."
    if forest.left_out:
        caption += f" {forest.left_out} less certain ones are in arms.csv."
    said = "; ".join(f"{r.arm} {r.verdict} ({_number(r)})" for r in forest.rows[:20])
    alt = f"Differences in {forest.metric}: {said}{'; …' if len(forest.rows) > 20 else ''}."
    size = (9.0, 1.1 + 0.27 * len(forest.rows))
    return draw(f"forest-{forest.metric}", caption, alt, size, lambda f: _paint(f, forest))


def _number(row: Difference) -> str:
    return "by ranks" if row.by_ranks else short(row.delta)


def _paint(figure: "Figure", forest: Forest) -> None:
    axes = figure.subplots()
    low, high = bounds(forest)
    axes.set_xlim(low, high)
    axes.set_ylim(len(forest.rows) - 0.4, -0.6)
    if forest.smallest_effect:
        axes.axvspan(-forest.smallest_effect, forest.smallest_effect, color=GREY, alpha=0.15, lw=0)
    axes.axvline(0, color=GREY, lw=0.8)
    for place, row in enumerate(forest.rows):
        _row(axes, place, row, (low, high))
    names = [f"{text(r.arm)}  −  {text(r.reference)}" for r in forest.rows]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.grid(visible=False, axis="y")
    unit = "log10 difference" if forest.is_log else "difference"
    sides = ("← better", "worse →") if forest.goal == "down" else ("← worse", "better →")
    axes.set_xlabel(f"{sides[0]}      {text(forest.metric)}, paired {unit}      {sides[1]}")


def _row(axes: "Axes", place: int, row: Difference, limits: tuple[float, float]) -> None:
    color, marker = VERDICTS.get(row.verdict, VERDICTS[""])
    if not math.isnan(row.delta):
        if not math.isnan(row.low):
            axes.plot([row.low, row.high], [place, place], color=color, lw=1.8)
        face = "white" if row.verdict == "undecided" else color
        at = float(np.clip(row.delta, *limits))
        axes.plot([at], [place], marker, color=color, mfc=face, ms=6, clip_on=False)
        if at != row.delta:
            axes.annotate(short(row.delta), (at, place), fontsize=7, va="bottom", ha="center")
    certainty = "" if math.isnan(row.p_holm) else f", {p_value(row.p_holm)}"
    ranks = " by ranks" if row.by_ranks else ""
    word = f"{row.verdict.replace('_', ' ')}{ranks}{certainty}"
    axes.annotate(
        word, (1.01, place), xycoords=axes.get_yaxis_transform(), fontsize=8, va="center",
        color=color, annotation_clip=False,
    )  # fmt: skip


def bounds(forest: Forest) -> tuple[float, float]:
    """Limits that hold zero, the smallest effect, and all points but the wildest."""
    ends = _finite([v for r in forest.rows for v in (r.low, r.high, r.delta)])
    sizes = [abs(v) for v in ends if v]  # many are exactly zero where nothing happened
    typical = float(np.quantile(sizes, 0.9)) if sizes else 0.0
    kept = [v for v in ends if abs(v) <= 4 * typical]
    low = min([*kept, 0.0, -forest.smallest_effect])
    high = max([*kept, 0.0, forest.smallest_effect])
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _finite(values: Sequence[float]) -> list[float]:
    return [v for v in values if math.isfinite(v)]
