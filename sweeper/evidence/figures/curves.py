"""Curves: of each arm the median run with a band over its seeds, and where runs diverged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweeper.evidence.figures.canvas import (
    GREY,
    Drawing,
    draw,
    style,
    text,
    use_log,
    use_whole_steps,
)
from sweeper.evidence.findings import Evidence
from sweeper.evidence.runs import Run
from sweeper.metric import parse
from sweeper.recipe import goal_from_name
from sweeper.trial import RESULTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
Bounds = tuple[float, float]

USUAL = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
MOST_METRICS = 6
MOST_POINTS = 200
TOGETHER = 12  # arms in one panel; above that, a small panel each
MOST_ARMS = 36
_QUARTILES_FROM = 4  # seeds; of fewer the band is from the least to the largest


@dataclass(frozen=True)
class ArmCurve:
    """An arm's runs in one: every array is (points,), NaN where there is nothing, maybe infinite.

    From where a run diverged on it counts as the worst value, so that the median of those that are
    left does not flatter. `ends` holds (step, value) of the last finite point of such runs.
    """

    arm: str
    compared_with: str | None
    runs: int
    steps: Array
    middle: Array
    low: Array
    high: Array
    ends: tuple[tuple[float, float], ...] = ()
    place: int = 0  # among the recipe's arms: an arm has one colour in every figure (E8)


@dataclass(frozen=True)
class Curves:
    """A metric over the steps, an arm a line."""

    metric: str
    is_log: bool
    band: str  # in words
    arms: tuple[ArmCurve, ...]
    left_out: int = 0  # arms that did not fit


def curves(evidence: Evidence) -> list[Curves]:
    """The recipe's metrics first, then the usual ones, of those that runs report step by step."""
    grid = evidence.grid
    on_curves = {name for row in grid.runs for run in row for name in run.curve}
    named = dict.fromkeys([*(parse(m).name for m in evidence.recipe.metrics), *USUAL])
    found = (_of_metric(name, evidence) for name in named if name in on_curves)
    return [panel for panel in found if panel.arms][:MOST_METRICS]


def _of_metric(metric: str, evidence: Evidence) -> Curves:
    recipe, grid = evidence.recipe, evidence.grid
    same = [m for m in recipe.metrics if parse(m).name == metric]
    wants_log = any(recipe.metrics[m].scale == "log" for m in same)
    goal = goal_from_name(metric) or (recipe.goal(same[0]) if same else "down")
    worst = math.inf if goal == "down" else -math.inf
    arms = []
    for place, (arm, runs) in enumerate(zip(grid.arms, grid.runs, strict=True)):
        found = of_arm(arm.name, runs, metric, worst)
        if found is not None:
            arms.append(replace(found, compared_with=arm.compared_with, place=place))
    is_log = wants_log and any((_finite(a.middle) > 0).any() for a in arms)
    n = max((a.runs for a in arms), default=0)
    return Curves(metric, is_log, _band(n), tuple(arms[:MOST_ARMS]), max(0, len(arms) - MOST_ARMS))


def _band(runs: int) -> str:
    if runs < 2:
        return "one run"
    return "the middle half of the runs" if runs >= _QUARTILES_FROM else "least to largest run"


def of_arm(arm: str, runs: Sequence[Run], metric: str, worst: float) -> ArmCurve | None:
    """The runs that ended in a result, on the steps of all of them, at most 200."""
    lines = [(run, _points(run, metric)) for run in runs if run.status in RESULTS]
    lines = [(run, line) for run, line in lines if len(line[0])]
    if not lines:
        return None
    steps = _thinned(np.unique(np.concatenate([line[0] for _, line in lines])))
    rows, ends = [], []
    for run, (at, values) in lines:
        row = np.interp(steps, at, values, left=np.nan, right=np.nan)
        if run.status == "diverged":
            row[steps > at[-1]] = worst
            ends.append((float(at[-1]), float(values[-1])))
        rows.append(row)
    table = np.array(rows)
    spread = (0.25, 0.75) if len(rows) >= _QUARTILES_FROM else (0.0, 1.0)
    low, middle, high = (quantile(table, share) for share in (spread[0], 0.5, spread[1]))
    return ArmCurve(arm, None, len(rows), steps, middle, low, high, tuple(ends))


def _points(run: Run, metric: str) -> tuple[Array, Array]:
    """Steps and values of a run's finite points, the steps rising."""
    pairs: Mapping[float, float] = {
        float(s): float(v)
        for s, v in zip(run.curve.get("step", ()), run.curve.get(metric, ()), strict=False)
        if s is not None and v is not None and math.isfinite(v) and math.isfinite(s)
    }
    steps = sorted(pairs)
    return np.array(steps, dtype=float), np.array([pairs[s] for s in steps], dtype=float)


def _thinned(steps: Array) -> Array:
    if len(steps) <= MOST_POINTS:
        return steps
    places = np.rint(np.linspace(0, len(steps) - 1, MOST_POINTS)).astype(int)
    return np.asarray(steps[places], dtype=float)


def quantile(table: Array, share: float) -> Array:
    """(points,) quantile of (runs, points) without the NaN ones, between neighbours linearly.

    As `numpy.nanquantile`, but next to an infinite value it is infinite, never NaN.
    """
    n = (~np.isnan(table)).sum(axis=0)
    ordered = np.sort(table, axis=0)  # NaN comes last
    place = np.maximum(n - 1, 0) * share
    below, above = np.floor(place).astype(int), np.ceil(place).astype(int)
    columns = np.arange(table.shape[1])
    a, b, part = ordered[below, columns], ordered[above, columns], place - below
    with np.errstate(invalid="ignore"):
        between = a + (b - a) * part
    return np.asarray(np.where((part == 0) | (a == b), a, between), dtype=float)


def drawing(panel: Curves) -> Drawing:
    """One panel for a dozen arms, a small panel an arm for more."""
    arms, is_many = len(panel.arms), len(panel.arms) > TOGETHER
    scale = ", log scale" if panel.is_log else ""
    ends = sum(len(a.ends) for a in panel.arms)
    caption = f"{panel.metric} over the steps{scale}: the median over seeds; band: {panel.band}."
    if is_many:
        caption += " In grey the arm that each is compared with."
    if ends:
        caption += (
            f" × marks the last finite value of a run that diverged ({ends} here); from there on "
            "it counts as the worst value."
        )
    if panel.left_out:
        caption += f" {panel.left_out} further arms are in curves.csv."
    lasts = ", ".join(f"{a.arm} {_last(a):.3g}" for a in panel.arms[:TOGETHER])
    more = f" and {arms - TOGETHER} more" if is_many else ""
    alt = f"Curves of {panel.metric} for {arms} arms; last medians: {lasts}{more}."
    rows = -(-arms // 4)
    size = (9.0, 1.75 * rows + 0.3) if is_many else (9.0, 4.2)
    paint = _small_panels if is_many else _one_panel
    return draw(
        f"curves-{panel.metric}", caption, alt, size, lambda figure: paint(figure, panel),
        lays_out=not is_many,
    )  # fmt: skip


def _last(curve: ArmCurve) -> float:
    told = curve.middle[~np.isnan(curve.middle)]
    return float(told[-1]) if len(told) else math.nan


def _one_panel(figure: "Figure", panel: Curves) -> None:
    axes, bounds = figure.subplots(), limits(panel.arms, is_log=panel.is_log)
    for curve in panel.arms:
        _line(axes, curve, bounds, style(curve.place), text(curve.arm))
    _scale(axes, panel, bounds)
    axes.set_xlabel("step")
    axes.set_ylabel(text(panel.metric))
    figure.legend(loc="outside right upper", fontsize=8)


def _small_panels(figure: "Figure", panel: Curves) -> None:
    rows, bounds = -(-len(panel.arms) // 4), limits(panel.arms, is_log=panel.is_log)
    grid = figure.subplots(rows, 4, sharex=True, sharey=True, squeeze=False)
    _lay_out(figure)
    known = {curve.arm: curve for curve in panel.arms}
    for axes, curve in zip(grid.flat, panel.arms, strict=False):
        reference = known.get(curve.compared_with or "")
        if reference is not None:
            axes.plot(reference.steps, _within(reference.middle, bounds), color=GREY, lw=0.9)
        _line(axes, curve, bounds, style(0))
        axes.set_title(text(curve.arm), fontsize=7.5)
        axes.tick_params(labelsize=7)
    _scale(grid[0, 0], panel, bounds)
    for axes in list(grid.flat)[len(panel.arms) :]:
        axes.set_visible(False)
    figure.supylabel(text(panel.metric), fontsize=9, x=0.005)
    figure.supxlabel("step", fontsize=9, y=0.02 * 2.0 / rows)


def _lay_out(figure: "Figure") -> None:
    """Margins in inches."""
    width, height = figure.get_size_inches().tolist()
    figure.subplots_adjust(
        left=0.75 / width, right=1 - 0.1 / width, bottom=0.5 / height, top=1 - 0.25 / height,
        wspace=0.08, hspace=0.28,
    )  # fmt: skip


def _line(
    axes: "Axes", curve: ArmCurve, bounds: Bounds, look: Mapping[str, Any], label: str | None = None
) -> None:
    marker = "o" if len(curve.steps) == 1 else None
    axes.plot(curve.steps, _within(curve.middle, bounds), label=label, marker=marker, **look)
    if curve.runs > 1:
        low, high = (_within(v, bounds) for v in (curve.low, curve.high))
        axes.fill_between(curve.steps, low, high, color=look["color"], alpha=0.15, lw=0)
    if curve.ends:
        at, values = zip(*curve.ends, strict=True)
        shown = np.clip(values, *bounds)  # at the edge where it ended beyond
        axes.plot(at, shown, "x", color=look["color"], ms=6, mew=1.6, clip_on=False)


def _within(values: Array, bounds: Bounds) -> Array:
    """What is infinite, or far off, as something just outside: the line leaves the panel there."""
    margin = bounds[1] - bounds[0]
    low = bounds[0] / 10 if bounds[0] > 0 else bounds[0] - margin
    return np.clip(values, low, bounds[1] + 9 * margin)


def _scale(axes: "Axes", panel: Curves, bounds: Bounds) -> None:
    axes.set_ylim(*bounds)
    if all((curve.steps == np.rint(curve.steps)).all() for curve in panel.arms):
        use_whole_steps(axes)
    if panel.is_log:
        use_log(axes, "y")


def limits(arms: Sequence[ArmCurve], *, is_log: bool) -> Bounds:
    """From the least to the largest value drawn; one wild arm does not flatten the others."""
    values = np.concatenate([_finite(v) for a in arms for v in (a.middle, a.low, a.high)])
    values = values[values > 0] if is_log else values
    if not len(values):
        return (0.1, 1.0) if is_log else (0.0, 1.0)
    low, high = np.quantile(values, (0.01, 0.99)).tolist()
    least, most = float(values.min()), float(values.max())
    wide = math.log10(most / least) if is_log else most - least
    core = math.log10(high / low) if is_log else high - low
    if core > 0 and wide < 3 * core:
        low, high = least, most
    if is_log:
        return low / 1.15, high * 1.15
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _finite(values: Array) -> Array:
    return values[np.isfinite(values)]
