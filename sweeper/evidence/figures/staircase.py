"""A sequence as a staircase: each arm's mean, one step from the arm before."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sweeper.evidence.comparisons import Family, arm_pairs
from sweeper.evidence.figures.canvas import GREY, VERDICTS, Drawing, draw, text, use_log
from sweeper.evidence.findings import Evidence
from sweeper.evidence.statistics import median, paired
from sweeper.evidence.wording import short
from sweeper.plan import PlannedArm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEWEST = 3  # of two arms the forest says as much


@dataclass(frozen=True)
class Step:
    """An arm's mean with its 95 % interval; the median (perhaps infinite) where a run diverged."""

    arm: str
    level: float
    low: float
    high: float
    is_median: bool
    verdict: str  # against the step before; empty for the first


@dataclass(frozen=True)
class Staircase:
    """A metric along the arms of a sequence."""

    metric: str
    is_log: bool
    steps: tuple[Step, ...]


def chain(arms: Sequence[PlannedArm]) -> list[str]:
    """The first arm, then always the next one that is compared with the last: a sequence."""
    names: list[str] = []
    for arm in arms:
        if not names or arm.compared_with == names[-1]:
            names.append(arm.name)
    return names


def staircases(evidence: Evidence) -> list[Staircase]:
    """A staircase for each of the recipe's metrics, if its arms make one: `sequence` or `path`."""
    recipe = evidence.recipe
    if not (recipe.sequence or getattr(recipe, "path", None)):
        return []
    names = chain(evidence.grid.arms)
    if len(names) < _FEWEST:
        return []
    found = (_staircase(family, names, evidence) for family in evidence.families.values())
    return [stairs for stairs in found if any(math.isfinite(s.level) for s in stairs.steps)]


def _staircase(family: Family, names: Sequence[str], evidence: Evidence) -> Staircase:
    grid = evidence.grid
    values = family.measured.values
    diverged = np.asarray(np.isinf(values).any(axis=1))
    own = paired(np.where(diverged[:, None], np.nan, values))
    middle = median(values)
    verdicts = family.results.verdicts(family.p_holm, family.smallest_effect, family.goal)
    said = {
        grid.arms[m[0][0]].name: str(v)
        for m, v in zip(arm_pairs(grid), verdicts.tolist(), strict=False)
    }
    steps: list[Step] = []
    for name in names:
        row = grid.index[name]
        level = float(middle[row] if diverged[row] else own.mean[row])
        ends = float(own.low[row]), float(own.high[row])
        verdict = said.get(name, "") if steps else ""
        steps.append(Step(name, level, *ends, bool(diverged[row]), verdict))
    is_log = family.log and all(s.level > 0 for s in steps if math.isfinite(s.level))
    return Staircase(family.metric, is_log, tuple(steps))


def drawing(stairs: Staircase) -> Drawing:
    """Steps from left to right; the line between two says what the change did."""
    scale = ", log scale" if stairs.is_log else ""
    caption = (
        f"{stairs.metric} along the sequence{scale}: each arm's mean with its 95 % interval, and "
        "the verdict against the step before."
    )
    if any(s.is_median for s in stairs.steps):
        caption += " Where a run diverged the median stands (hollow), ↑ where it is infinite."
    said = ", then ".join(f"{s.arm} {short(s.level)}" for s in stairs.steps)
    alt = f"{stairs.metric} step by step: {said}."
    size = (9.0, 4.2)
    return draw(f"staircase-{stairs.metric}", caption, alt, size, lambda f: _paint(f, stairs))


def _paint(figure: "Figure", stairs: Staircase) -> None:
    axes = figure.subplots()
    before: float | None = None
    for place, step in enumerate(stairs.steps):
        color, marker = VERDICTS.get(step.verdict, VERDICTS[""])
        if not math.isfinite(step.level):
            at = (place, 0.97)
            axes.annotate(
                "↑" if step.is_median else "?", at, xycoords=axes.get_xaxis_transform(),
                ha="center", va="top", fontsize=12,
            )  # fmt: skip
            before = None
            continue
        if before is not None:
            axes.plot([place - 0.5, place - 0.5], [before, step.level], color=GREY, lw=1)
        axes.plot([place - 0.5, place + 0.5], [step.level] * 2, color=color, lw=2)
        low = _visible(step.low, stairs, step.level)
        if not math.isnan(step.high) and not step.is_median:
            axes.plot([place, place], [low, step.high], color=color, lw=1.4)
        axes.plot([place], [step.level], marker, color=color, ms=6,
                  mfc="white" if step.is_median else color)  # fmt: skip
        before = step.level
    if stairs.is_log:
        use_log(axes, "y")
    names = [_label(step) for step in stairs.steps]
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=25, ha="right")
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(text(stairs.metric))


def _label(step: Step) -> str:
    verdict = f"\n{step.verdict.replace('_', ' ')}" if step.verdict else ""
    return f"{text(step.arm)}{verdict}"


def _visible(low: float, stairs: Staircase, level: float) -> float:
    """The lower end of an interval; on a log scale one that reaches zero is drawn to a tenth."""
    return level / 10 if stairs.is_log and low <= 0 else low
