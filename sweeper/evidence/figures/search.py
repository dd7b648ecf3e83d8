"""Searches: what was told of each proposal, the best so far, trade-offs, and what mattered."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sweeper.evidence.figures.canvas import (
    COLORS,
    GREY,
    Drawing,
    draw,
    text,
    use_log,
    use_whole_steps,
)
from sweeper.evidence.findings import Evidence
from sweeper.evidence.runs import Run
from sweeper.evidence.wording import short
from sweeper.metric import of_run, parse
from sweeper.plan import ConcludedSearch
from sweeper.recipe import Goal, Recipe, goal_of
from sweeper.trial import RESULTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

MOST_ARMS = 24
_SPANS = 10.0  # from here on a log scale shows more


@dataclass(frozen=True)
class History:
    """What was told of one arm's proposals, in their order: NaN for nothing, infinite for diverged.

    `best` is the best so far, NaN before the first.
    """

    arm: str
    metric: str
    goal: Goal
    told: Array
    best: Array


@dataclass(frozen=True)
class Front:
    """Two metrics of one arm's proposals, (proposals,) each; `best` are those on the front."""

    arm: str
    metrics: tuple[str, str]
    first: Array
    second: Array
    best: tuple[int, ...]  # places, not numbers


@dataclass(frozen=True)
class Importance:
    """The share of what was told that each axis accounts for, beside that of permuted values."""

    arm: str
    axes: tuple[str, ...]
    shares: tuple[float, ...]
    floors: tuple[float, ...]


def histories(evidence: Evidence) -> list[History]:
    """As the plan concluded its searches; of a plan that did not, from the search's own trials."""
    if evidence.plan.searches:
        return [
            _history(s.arm, metric, _as_goal(goal), [_told(p.told, k) for p in s.proposals])
            for s in evidence.plan.searches
            for k, (metric, goal) in enumerate(zip(s.metrics, s.goals, strict=True))
        ]
    searched = [run for run in evidence.runs if run.phase == "search"]
    recipe = evidence.recipe
    if not searched or recipe.search is None:
        return []
    arms = dict.fromkeys(run.arm for run in searched)
    return [
        _from_runs(arm, [run for run in searched if run.arm == arm], metric, recipe)
        for metric in recipe.search.metric or [next(iter(recipe.metrics))]
        for arm in arms
    ]


def _as_goal(goal: str) -> Goal:
    return "up" if goal == "up" else "down"


def _told(told: Sequence[float], place: int) -> float:
    return told[place] if place < len(told) else math.nan


def _from_runs(arm: str, runs: Sequence[Run], metric: str, recipe: Recipe) -> History:
    known = recipe.metrics.get(metric)
    goal = (known.goal if known else None) or goal_of(parse(metric)) or "down"
    proposals: dict[str, list[float]] = {}
    for run in runs:
        proposed = json.dumps(run.axes, sort_keys=True, default=str)
        proposals.setdefault(proposed, []).append(_of_run(run, metric, goal))
    return _history(arm, metric, goal, [fmean(values) for values in proposals.values()])


def _of_run(run: Run, metric: str, goal: Goal) -> float:
    if run.status not in RESULTS:
        return math.nan
    value = of_run(parse(metric), run.metrics, run.curve, goal == "down")
    if run.status == "diverged" or (value is not None and not math.isfinite(value)):
        return math.inf if goal == "down" else -math.inf
    return math.nan if value is None else value


def _history(arm: str, metric: str, goal: Goal, told: Sequence[float]) -> History:
    values = np.array(told, dtype=float)
    keep = np.fmin.accumulate if goal == "down" else np.fmax.accumulate
    best = keep(values) if len(values) else values
    return History(arm, metric, goal, values, np.where(np.isfinite(best), best, np.nan))


def fronts(searches: Sequence[ConcludedSearch]) -> list[Front]:
    """Of each search for two metrics or more, its first two."""
    found = []
    for search in searches:
        if len(search.metrics) < 2:
            continue
        told = np.array([[_told(p.told, 0), _told(p.told, 1)] for p in search.proposals])
        told = told.reshape(-1, 2)
        best = tuple(i for i, p in enumerate(search.proposals) if p.number in search.pareto)
        pair = (search.metrics[0], search.metrics[1])
        found.append(Front(search.arm, pair, told[:, 0], told[:, 1], best))
    return found


def importances(searches: Sequence[ConcludedSearch]) -> list[Importance]:
    """Of each search that has them, the weightiest axis first."""
    found = []
    for search in searches:
        ordered = sorted(search.importance.items(), key=lambda item: -item[1][0])
        if ordered:
            axes, pairs = zip(*ordered, strict=True)
            shares, floors = zip(*pairs, strict=True)
            found.append(Importance(search.arm, axes, shares, floors))
    return found


def history_drawing(histories: Sequence[History]) -> Drawing:
    """A panel an arm, all of one metric."""
    shown, metric = histories[:MOST_ARMS], histories[0].metric
    caption = (
        f"What was told of each proposal ({metric}): a dot each; the line is the best so far. "
        "× at the edge: diverged, told as the worst value."
    )
    if len(histories) > len(shown):
        caption += f" {len(histories) - len(shown)} further arms are in trials.csv."
    said = "; ".join(
        f"{h.arm} came to {short(_last(h.best))} in {len(h.told)} proposals" for h in shown
    )
    rows = -(-len(shown) // 3)
    size = (9.0, 2.6 * rows + 0.2)
    return draw(
        f"search-{metric}", caption, f"Search history: {said}.", size,
        lambda figure: _paint_histories(figure, shown),
    )  # fmt: skip


def _last(values: Array) -> float:
    return float(values[-1]) if len(values) else math.nan


def _paint_histories(figure: "Figure", histories: Sequence[History]) -> None:
    columns = min(3, len(histories))
    grid = figure.subplots(-(-len(histories) // columns), columns, squeeze=False, sharey=True)
    values = np.concatenate([h.told[np.isfinite(h.told)] for h in histories])
    is_log = bool(len(values)) and values.min() > 0 and values.max() / values.min() > _SPANS
    for axes, history in zip(grid.flat, histories, strict=False):
        numbers = np.arange(1, len(history.told) + 1)
        finite = np.isfinite(history.told)
        axes.plot(numbers[finite], history.told[finite], "o", color=COLORS[0], ms=4, alpha=0.7)
        axes.step(numbers, history.best, where="post", color=COLORS[1])
        worst = np.isinf(history.told)
        edge = 0.98 if history.goal == "down" else 0.02
        axes.plot(
            numbers[worst], np.full(worst.sum(), edge), "x", color=GREY,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        axes.set_title(text(history.arm))
        use_whole_steps(axes)
    if is_log:
        use_log(grid[0, 0], "y")
    for axes in list(grid.flat)[len(histories) :]:
        axes.set_visible(False)
    figure.supylabel(text(histories[0].metric), fontsize=9)
    figure.supxlabel("proposal", fontsize=9)


def front_drawing(front: Front) -> Drawing:
    """A point a proposal; the line joins those that none is better than in both."""
    one, other = front.metrics
    caption = (
        f"{front.arm}: {one} and {other} of each proposal; the line joins those on the Pareto "
        "front, than which none is better in both."
    )
    said = "; ".join(f"{short(front.first[i])}, {short(front.second[i])}" for i in front.best[:20])
    alt = f"Pareto front of {front.arm} ({one}, {other}): {said}."
    return draw(f"pareto-{front.arm}", caption, alt, (9.0, 4.2), lambda f: _paint_front(f, front))


def _paint_front(figure: "Figure", front: Front) -> None:
    axes = figure.subplots()
    finite = np.isfinite(front.first) & np.isfinite(front.second)
    axes.plot(front.first[finite], front.second[finite], "o", color=GREY, ms=4)
    best = sorted((front.first[i], front.second[i]) for i in front.best if finite[i])
    if best:
        first, second = zip(*best, strict=True)
        axes.plot(first, second, "D-", color=COLORS[1], ms=5)
    axes.set_xlabel(text(front.metrics[0]))
    axes.set_ylabel(text(front.metrics[1]))


def importance_drawing(found: Sequence[Importance]) -> Drawing:
    """A bar an axis; what does not pass its mark may be noise."""
    shown = found[:MOST_ARMS]
    caption = (
        "The share of what was told that each searched axis accounts for. The mark on each bar is "
        "its noise floor, the share that permuted values give: a bar that does not pass it says "
        "nothing."
    )
    said = "; ".join(
        f"{i.arm}: "
        + ", ".join(
            f"{axis} {short(share)} (floor {short(floor)})"
            for axis, share, floor in zip(i.axes, i.shares, i.floors, strict=True)
        )
        for i in shown
    )
    bars = sum(len(i.axes) for i in shown)
    size = (9.0, 0.8 * len(shown) + 0.3 * bars)
    return draw(
        "importances", caption, f"Importances: {said}.", size,
        lambda figure: _paint_importances(figure, shown),
    )  # fmt: skip


def _paint_importances(figure: "Figure", found: Sequence[Importance]) -> None:
    heights = [len(i.axes) + 1 for i in found]
    grid = figure.subplots(len(found), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, one in zip(grid, found, strict=True):
        _paint_importance(axes, one)


def _paint_importance(axes: "Axes", one: Importance) -> None:
    places = np.arange(len(one.axes))
    passes = [s > f for s, f in zip(one.shares, one.floors, strict=True)]
    bars = axes.barh(places, one.shares, height=0.6, color=COLORS[0])
    for bar, does in zip(bars, passes, strict=True):
        if not does:
            bar.set(facecolor="white", edgecolor=GREY, hatch="///")
    axes.plot(one.floors, places, "|", color="black", ms=14, mew=2)
    axes.set_yticks(places, [text(a) for a in one.axes])
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_title(text(one.arm), loc="left")
