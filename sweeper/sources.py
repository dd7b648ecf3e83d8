"""Where the loop's trials come from: the cells of a fixed design, and searches."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from statistics import fmean
from typing import Any

from sweeper.compose import Composer
from sweeper.identity import digest
from sweeper.metric import MetricExpression, of_run, parse
from sweeper.plan import Cell
from sweeper.planning import Request, Search, make_trial, with_winner
from sweeper.recipe import Goal, goal_from_name, goal_of
from sweeper.store import Store
from sweeper.study import Study, cell_space, make_sampler, search_space
from sweeper.trial import FINAL, RESULTS, Ending, Trial


@dataclass(frozen=True)
class Result:
    """A trial's status and its value of the metric that is told, if it has one."""

    status: str
    value: float | None


def result(ending: Ending, metric: MetricExpression, goal: Goal) -> Result:
    """What a study is told of an ending."""
    # Fewer epochs are better, whichever way the name goes that is to reach a level.
    inner = goal_from_name(metric.name) if metric.function == "epochs_to" else None
    value = of_run(metric, ending.metrics, ending.curve, is_down=(inner or goal) == "down")
    return Result(ending.status, value)


def told_metric(request: Request, metric: str | None = None) -> tuple[MetricExpression, Goal]:
    """The metric that studies are told, of a single run; for one over several arms, its inner."""
    assert request.recipe is not None
    text = metric or next(iter(request.recipe.metrics))
    expression = parse(text)
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
            if statuses.get(cell.trial_id) not in FINAL:
                arm.waiting.append(cell)
        self._waiting = sum(len(arm.waiting) for arm in self._arms.values())
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

    def tell(self, trial_id: str, ending: Ending) -> None:
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


@dataclass
class _Proposal:
    number: int
    values: Mapping[str, Any]
    trials: list[Trial]
    waiting: deque[Trial]
    results: dict[str, Result] = field(default_factory=dict)


def study_name(request: Request, search: Search) -> str:
    """What is asked, how, and by which sampler: another of these is another study."""
    assert request.recipe is not None and request.recipe.search is not None
    space = request.recipe.search.model_dump(mode="json", exclude={"trials", "arms"})
    config = {k: v for k, v in search.config.items() if k != "executor"}
    asked = digest({"config": config, "space": space}, 8)
    return f"{request.plan.name}/{search.arm}/{asked}"


class SearchedArm:
    """One arm's search: proposals asked of Optuna, each tried on the search's seeds."""

    def __init__(
        self, request: Request, search: Search, store: Store, composer: Composer, slots: int
    ) -> None:
        assert request.recipe is not None and request.recipe.search is not None
        self._settings, self._search = request.recipe.search, search
        self._store, self._composer, self._slots = store, composer, slots
        self.arm = search.arm
        self.metric, self._goal = told_metric(request, self._settings.metric)
        self._name = study_name(request, search)
        sampler = make_sampler(request.sampler, self._name)
        self._study = Study(search_space(self._settings.axes), self._goal, sampler)
        self._asked = 0
        self._open: dict[int, _Proposal] = {}
        self.cells: list[Cell] = []
        self._recorded = 0
        self._replay(store.turns(self._name))

    def _replay(self, turns: Sequence[Mapping[str, Any]]) -> None:
        self._study.replay(turns)
        self._recorded = len(self._study.turns)
        told = {turn["tell"] for turn in turns if "tell" in turn}
        for turn in turns:
            if "ask" in turn:
                self._asked += 1
                proposal = self._propose(turn["ask"], turn["values"])
                if turn["ask"] not in told:
                    self._open[proposal.number] = proposal

    def _propose(self, number: int, values: Mapping[str, Any]) -> _Proposal:
        config = self._composer.resolve({**self._search.values, **values})
        trials = [make_trial(config, seed) for seed in self._settings.seeds]
        self.cells += [Cell(self.arm, t.seed, t.trial_id, "search", dict(values)) for t in trials]
        return _Proposal(number, values, trials, deque(trials))

    @property
    def is_done(self) -> bool:
        return self._asked >= self._settings.trials and not self._open

    def ask(self) -> Trial | None:
        """The next trial of an open proposal, or of a new one while the budget lasts."""
        for proposal in self._open.values():
            if proposal.waiting:
                return proposal.waiting.popleft()
        if self._asked >= self._settings.trials or len(self._open) >= self._slots:
            return None  # a proposal made before the results are in is made blindly
        asked = self._study.ask()
        self._asked += 1
        proposal = self._propose(asked.number, asked.values)
        self._open[asked.number] = proposal
        self._record_turns()
        return proposal.waiting.popleft()

    def tell(self, trial_id: str, ending: Ending) -> None:
        found = result(ending, self.metric, self._goal)
        for proposal in list(self._open.values()):
            if trial_id in {t.trial_id for t in proposal.trials}:
                proposal.results[trial_id] = found
                if len(proposal.results) == len({t.trial_id for t in proposal.trials}):
                    self._tell(proposal)

    def _tell(self, proposal: _Proposal) -> None:
        del self._open[proposal.number]
        results = list(proposal.results.values())
        bad = [r.status for r in results if r.status not in RESULTS]
        diverged = [r.status for r in results if r.status == "diverged"]
        status = (bad or diverged or ["done"])[0]
        values = [r.value for r in results if r.value is not None]
        value = fmean(values) if not bad and len(values) == len(results) else None
        self._study.tell(proposal.number, status, value)
        self._record_turns()

    def _record_turns(self) -> None:
        for turn in self._study.turns[self._recorded :]:
            self._store.add_turn(self._name, self._recorded, turn)
            self._recorded += 1

    def conclude(self, request: Request) -> Request:
        """The request with this search's cells and, on the recipe's seeds, its winner's."""
        cells = (*request.plan.cells, *self.cells)
        request = replace(request, plan=replace(request.plan, cells=cells))
        best = self._study.best()
        if best is None:
            return request
        config = self._composer.resolve({**self._search.values, **best.values})
        return with_winner(request, self.arm, config, best.values)
