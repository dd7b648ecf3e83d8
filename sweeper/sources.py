"""Where the loop's trials come from: the cells of a fixed design; what a study is told of them."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

from sweeper.executors.job import Reported
from sweeper.metric import MetricExpression, of_run, parse
from sweeper.plan import Cell
from sweeper.planning import Request
from sweeper.recipe import DURATION, Goal, goal_from_name, goal_of
from sweeper.study import Study, cell_space
from sweeper.trial import ANSWERS, Ending, Trial

_DURATION = MetricExpression("", (DURATION,))


class Source(Protocol):
    """What asks for trials and is told how they ended."""

    @property
    def is_done(self) -> bool:
        """Whether it asks for nothing more and waits for nothing."""

    def ask(self) -> Trial | None:
        """The next trial, or None where none can be asked for now."""

    def accepts(self, trial_id: str, status: str, /) -> bool:
        """Whether an ending with this status answers what it asked."""

    def wants(self, trial_id: str, /) -> bool:
        """Whether it waits, or will ask, for the whole of a trial."""

    def judge(self, point: Reported, /) -> bool:
        """Whether it gives a trial up that it waits for."""

    def tell(self, trial_id: str, ending: Ending) -> None:
        """How a trial ended."""


@dataclass(frozen=True)
class Result:
    """A trial's status and its value of the metric that is told, if it has one."""

    status: str
    value: float | None


def result(ending: Ending, metric: MetricExpression, goal: Goal) -> Result:
    """What a study is told of an ending."""
    if metric == _DURATION:  # of a measured one, whatever a training reports by that name
        return Result(ending.status, ending.duration_s)
    # Fewer epochs are better, whichever way the name goes that is to reach a level.
    inner = goal_from_name(metric.name) if metric.function == "epochs_to" else None
    value = of_run(metric, ending.metrics, ending.curve, is_down=(inner or goal) == "down")
    return Result(ending.status, value)


def told_metric(request: Request, metric: str | None = None) -> tuple[MetricExpression, Goal]:
    """The metric that studies are told, of a single run; for one over several arms, its inner."""
    assert request.recipe is not None
    text = metric or next(iter(request.recipe.metrics))
    expression = parse(text)
    if metric is not None and expression == _DURATION:
        return expression, "down"
    if expression.function in ("best_of", "largest_of", "spread"):
        expression = MetricExpression("", (expression.name,))
    judged = {parse(name): name for name in request.recipe.metrics}
    if expression in judged:
        return expression, request.recipe.goal(judged[expression])
    return expression, goal_of(expression) or "down"


class FixedCells:
    """The cells of a design, each enqueued with Optuna just before it is asked for.

    The arm expected to take longest comes first, so that no long trial is left for the end; an arm
    that nobody has timed yet comes before those, each such arm once before any twice.
    """

    def __init__(
        self,
        request: Request,
        cells: Sequence[Cell],
        statuses: Mapping[str, str],
        durations: Mapping[str, float],
    ) -> None:
        self._trials = request.trials
        self._arms: dict[str, _ArmQueue] = {}
        for cell in cells:
            arm = self._arms.setdefault(cell.arm, _ArmQueue(len(self._arms)))
            if cell.trial_id in durations:
                arm.took(durations[cell.trial_id])
            if statuses.get(cell.trial_id) not in ANSWERS:
                arm.waiting.append(cell)
        waiting = [cell for arm in self._arms.values() for cell in arm.waiting]
        self._waiting, self._wanted = len(waiting), {cell.trial_id for cell in waiting}
        self._urgent: list[tuple[tuple[float, int, int], int, str]] = []
        for name in self._arms:
            self._queue(name)
        self.metric, self._goal = told_metric(request)
        self._asked: dict[str, list[tuple[int, str]]] = {}  # two arms may ask for the same trial
        seeds = [c.seed for c in cells] or [0]
        self._study = Study(cell_space([a.name for a in request.plan.arms], seeds), self._goal)

    @property
    def is_done(self) -> bool:
        return not self._asked and not self._waiting

    def ask(self) -> Trial | None:
        """The next trial, or None where nothing waits."""
        cell = self._next()
        if cell is None:
            return None
        asked = self._study.ask({"arm": cell.arm, "seed": cell.seed})
        self._asked.setdefault(cell.trial_id, []).append((asked.number, cell.arm))
        return self._trials[cell.trial_id]

    def _next(self) -> Cell | None:
        """From the most urgent arm, as far as is known by now."""
        while self._urgent:
            _, version, name = heappop(self._urgent)
            arm = self._arms[name]
            if version == arm.version:  # else it was queued again since, or has nothing left
                cell = arm.waiting.popleft()
                arm.started += 1
                self._waiting -= 1
                self._queue(name)
                return cell
        return None

    def accepts(self, _: str, status: str) -> bool:
        return status in ANSWERS

    def wants(self, trial_id: str) -> bool:
        return trial_id in self._wanted

    def judge(self, _: Reported) -> bool:
        """Comparisons prune nothing."""
        return False

    def tell(self, trial_id: str, ending: Ending) -> None:
        self._wanted.discard(trial_id)
        found = result(ending, self.metric, self._goal)
        for number, arm in self._asked.pop(trial_id, ()):
            self._study.tell(number, found.status, found.value)
            self._arms[arm].took(ending.duration_s)
            self._queue(arm)

    def _queue(self, name: str) -> None:
        """Whenever the urgency of an arm changes: what was queued of it before no longer counts."""
        arm = self._arms[name]
        arm.version += 1
        if arm.waiting:
            heappush(self._urgent, (arm.urgency, arm.version, name))


@dataclass
class _ArmQueue:
    """An arm's waiting cells, and how long its trials take as far as is known."""

    order: int
    waiting: deque[Cell] = field(default_factory=deque)
    started: int = 0
    timed: int = 0
    seconds: float = 0.0
    version: int = 0

    def took(self, duration_s: float) -> None:
        self.timed += 1
        self.seconds += duration_s

    @property
    def urgency(self) -> tuple[float, int, int]:
        """Least is most urgent: the longest mean duration, then the fewest started."""
        expected_s = self.seconds / self.timed if self.timed else math.inf
        return -expected_s, self.started, self.order
