"""One number per arm and seed: a recipe's metric, evaluated on every reported run."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sweeper.evidence.runs import NOT_ASKED, Run
from sweeper.evidence.statistics import Array, median
from sweeper.metric import ALONG_AN_AXIS, MetricExpression, of_run, parse
from sweeper.plan import Plan, PlannedArm
from sweeper.recipe import Goal, Recipe, goal_of
from sweeper.trial import RESULTS

Reasons = npt.NDArray[np.object_]
# What a run says of itself, or in words why it says nothing.
Answer = float | str


@dataclass(frozen=True)
class Grid:
    """The runs that answer a plan's report cells, as a table of (arms, seeds)."""

    arms: tuple[PlannedArm, ...]
    seeds: tuple[int, ...]
    runs: tuple[tuple[Run, ...], ...]

    @classmethod
    def of(cls, plan: Plan, runs: Sequence[Run]) -> "Grid":
        """Search runs are left out; a cell without a run counts as waiting."""
        seeds = tuple(dict.fromkeys(c.seed for c in plan.cells if c.phase == "report"))
        found = {(run.arm, run.seed): run for run in runs if run.phase == "report"}
        asked = {(c.arm, c.seed) for c in plan.cells if c.phase == "report"}
        known = {arm for arm, _ in asked}  # others wait for what a search or a path will choose

        def absent(arm: str, seed: int) -> Run:
            is_left_out = arm in known and (arm, seed) not in asked
            return Run(arm, seed, "report", "", NOT_ASKED if is_left_out else "waiting")

        rows = tuple(
            tuple(found.get((a.name, s)) or absent(a.name, s) for s in seeds) for a in plan.arms
        )
        return cls(plan.arms, seeds, rows)

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each arm."""
        return {arm.name: i for i, arm in enumerate(self.arms)}

    @cached_property
    def reported(self) -> set[str]:
        """Every name that some run reports."""
        names: set[str] = set()
        for row in self.runs:
            for run in row:
                names.update(run.metrics, run.curve)
        return names - {"step"}

    @cached_property
    def asked(self) -> npt.NDArray[np.int64]:
        """How many seeds each arm was asked for, (arms,)."""
        return np.array([sum(r.status != NOT_ASKED for r in row) for row in self.runs], dtype=int)

    @cached_property
    def any_done(self) -> bool:
        return any(run.status == "done" for row in self.runs for run in row)

    def count(self, statuses: frozenset[str]) -> npt.NDArray[np.int64]:
        """How many runs of each arm have one of these statuses, (arms,)."""
        return np.array([sum(r.status in statuses for r in row) for row in self.runs], dtype=int)


@dataclass(frozen=True)
class Measure:
    """Values (arms, seeds), NaN where not measured; `why` says there, in words, why not."""

    values: Array
    why: Reasons


def measure(metric: str, recipe: Recipe, grid: Grid) -> Measure:
    """Evaluate one of the recipe's metrics for every run of the grid.

    A diverged run, and a reported NaN or infinity, is the worst value: +inf where down is better,
    -inf where up is; under `of_diverged: measured` a finite value that was reported stands.
    """
    explicit = {parse(text): m.goal for text, m in recipe.metrics.items() if m.goal}
    keep = recipe.metrics[metric].of_diverged == "measured"
    return _Evaluation(grid, explicit, keep).of(parse(metric), recipe.goal(metric))


def as_reported(metric: str, grid: Grid) -> Measure:
    """Evaluate a metric that the recipe does not judge: a diverged run counts as it measured."""
    return _Evaluation(grid, {}, keep_measured=True).of(parse(metric), "down")


def comparable(measured: Measure, *, log: bool) -> Measure:
    """What is compared: the values, or log10 of them; a finite one not above zero has none."""
    if not log:
        return measured
    values = measured.values
    low = np.isfinite(values) & (values <= 0)
    logs = np.log10(np.where(np.isfinite(values) & ~low, values, 1.0))
    logs = np.where(np.isinf(values), values, np.where(low | np.isnan(values), np.nan, logs))
    return Measure(logs, np.where(low, "without a log10 (not above zero)", measured.why))


def one_number_for(expression: MetricExpression, grid: Grid) -> list[list[int]]:
    """The rows of arms that a metric has one number for: those along its axis, if it has one."""
    if expression.function not in ALONG_AN_AXIS:
        return []
    return _along(str(expression.arguments[0]), grid)


def _along(axis: str, grid: Grid) -> list[list[int]]:
    """The rows of the arms that differ in that axis alone."""
    groups: dict[str, list[int]] = {}
    for row, arm in enumerate(grid.arms):
        if axis in arm.axes:
            others = {name: value for name, value in arm.axes.items() if name != axis}
            groups.setdefault(json.dumps(others, sort_keys=True, default=str), []).append(row)
    return list(groups.values())


@dataclass(frozen=True)
class _Evaluation:
    grid: Grid
    explicit: Mapping[MetricExpression, Goal]
    keep_measured: bool

    def of(self, expression: MetricExpression, outer: Goal | None) -> Measure:
        """Evaluate an expression; `outer` is the goal it takes where its name tells none."""
        goal = self.explicit.get(expression) or goal_of(expression) or outer
        if goal is None:
            return self._nothing(f"goal of {expression.name!r} unknown: add it under `metrics:`")
        if expression.function == "spread":
            return self._spread(expression)
        if expression.function in ("best_of", "largest_of"):
            return self._along_axis(expression)
        return self._each_run(expression, goal)

    def _nothing(self, reason: str) -> Measure:
        shape = (len(self.grid.arms), len(self.grid.seeds))
        return Measure(np.full(shape, np.nan), np.full(shape, reason, dtype=object))

    def _each_run(self, expression: MetricExpression, goal: Goal) -> Measure:
        name, grid = expression.name, self.grid
        if name not in grid.reported and grid.any_done:
            known = ", ".join(sorted(grid.reported)) or "none"
            return self._nothing(f"no run reports {name!r}; reported are {known}")
        ask = self._question(expression, goal)
        worst = math.inf if goal == "down" else -math.inf
        answers = [
            [_settled(run, ask, worst, self.keep_measured) for run in row] for row in grid.runs
        ]
        shape = (len(grid.arms), len(grid.seeds))
        values = [[math.nan if isinstance(a, str) else a for a in row] for row in answers]
        why = [[a if isinstance(a, str) else "" for a in row] for row in answers]
        return Measure(
            np.array(values, dtype=float).reshape(shape), np.array(why, dtype=object).reshape(shape)
        )

    def _question(self, expression: MetricExpression, goal: Goal) -> Callable[[Run], Answer]:
        """What to ask each run: a function of the run."""
        function, name = expression.function, expression.name
        aim: Goal | None = goal
        if function:
            inner = expression.arguments[0]
            if not isinstance(inner, MetricExpression) or inner.function:
                return lambda _: f"without {function}(…), which takes a reported name"
            aim = self.explicit.get(inner) or goal_of(inner) or (goal if _keeps(function) else None)
        if aim is None:
            return lambda _: f"goal of {name!r} unknown: add it under `metrics:`"
        missing = f"without {name!r}"
        if function == "at":
            missing += f" at step {_number(expression):g}"
        elif function == "epochs_to":
            missing = f"without a curve of {name!r}"

        def ask(run: Run) -> Answer:
            value = of_run(expression, run.metrics, run.curve, aim == "down")
            return missing if value is None else float(value)

        return ask

    def _spread(self, expression: MetricExpression) -> Measure:
        """Each run's absolute distance from the median of its arm; of a diverged one, infinite."""
        inner = self.of(_inner(expression), None)
        centre = median(inner.values)[:, None]
        with np.errstate(invalid="ignore"):
            distance = np.abs(inner.values - centre)
        return Measure(np.where(np.isinf(inner.values), np.inf, distance), inner.why)

    def _along_axis(self, expression: MetricExpression) -> Measure:
        axis, below = str(expression.arguments[0]), _inner(expression)
        aim = self.explicit.get(below) or goal_of(below)
        known = sorted({name for arm in self.grid.arms for name in arm.axes})
        if axis not in known:
            return self._nothing(
                f"no arms differ in {axis!r}; they do in {', '.join(known) or 'none'}"
            )
        if aim is None:
            return self._nothing(f"goal of {below.name!r} unknown: add it under `metrics:`")
        inner = self.of(below, None)
        if (inner.why != "").all():
            return inner
        result = self._nothing(f"without a value at every {axis}")
        level = None if expression.function == "best_of" else _Level(_number(expression), aim)
        for rows in _along(axis, self.grid):
            places = [self.grid.arms[row].axes[axis] for row in rows]
            if any(isinstance(p, bool) or not isinstance(p, int | float) for p in places):
                result.why[rows] = f"axis {axis!r} holds no numbers"
                continue
            self._fill(result, rows, inner, (np.array(places, dtype=float), level, aim))
        return result

    def _fill(
        self, result: Measure, rows: list[int], inner: Measure,
        along: "tuple[Array, _Level | None, Goal]",
    ) -> None:  # fmt: skip
        """Per seed the best, or the largest sufficient, place on the axis, for all of these arms.

        A rung that has no value (failed, waiting) leaves the seed unmeasured: the answer might be
        that rung. A skipped one does not apply and is left out.
        """
        places, level, aim = along
        values, why = inner.values[rows], inner.why[rows]
        missing = np.isnan(values)
        told = ~(missing & (why != "skipped")).any(axis=0) & ~missing.all(axis=0)
        at = places[:, None]
        if level is None:
            scores = np.where(missing, np.inf, values if aim == "down" else -values)
            told &= np.isfinite(scores).any(axis=0)  # where all diverged none is best
            found = places[np.argmin(scores, axis=0)]
        else:
            found = np.where(level.reached(values), at, -np.inf).max(axis=0)
        result.values[rows] = np.where(told, found, np.nan)
        result.why[rows] = np.where(told, "", result.why[rows])


@dataclass(frozen=True)
class _Level:
    level: float
    goal: Goal

    def reached(self, values: Any) -> Any:
        return values <= self.level if self.goal == "down" else values >= self.level


def _inner(expression: MetricExpression) -> MetricExpression:
    return next(a for a in expression.arguments if isinstance(a, MetricExpression))


def _number(expression: MetricExpression) -> float:
    number = expression.arguments[-1]
    assert isinstance(number, float), expression
    return number


def _settled(run: Run, ask: Callable[[Run], Answer], worst: float, keep_measured: bool) -> Answer:
    """The run's number: the worst if it diverged; its status where it ended without a result."""
    if run.status not in RESULTS:
        return run.status
    if run.status == "diverged" and not keep_measured:
        return worst
    answer = ask(run)
    if isinstance(answer, str):
        return worst if run.status == "diverged" else answer
    return answer if math.isfinite(answer) else worst


def _keeps(function: str) -> bool:
    """Whether its values are of the kind of the curve's own, with the same goal."""
    return function in ("best", "tail", "at")
