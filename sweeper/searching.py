"""Searches: proposals asked of Optuna, each tried on the search's seeds, until a winner is left."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sweeper.compose import Composer
from sweeper.errors import nearest
from sweeper.executors.job import Reported
from sweeper.importance import importances
from sweeper.metric import of_run, parse
from sweeper.nuisance import Search
from sweeper.plan import Cell, ConcludedSearch, Proposal
from sweeper.planning import Request, with_winner
from sweeper.proposals import study_name, trials_of
from sweeper.recipe import DURATION, Goal
from sweeper.settings import options_of
from sweeper.sources import Result, result, told_metric
from sweeper.store import Store
from sweeper.study import OtherValues, Study, Told, make_pruner, make_sampler, search_space
from sweeper.trial import RESULTS, Ending, Trial


@dataclass
class _Proposal:
    number: int
    values: Mapping[str, Any]
    trials: list[Trial]
    waiting: deque[Trial] = field(default_factory=deque)
    running: set[str] = field(default_factory=set)
    results: dict[str, tuple[Result, ...]] = field(default_factory=dict)
    best: float = math.nan  # of the first seed's reports
    curve: dict[int, float] = field(default_factory=dict)  # its reports, where all are needed
    reported: set[int] = field(default_factory=set)  # the steps, or the seeds' places
    given_up_at: int | None = None
    status: str = ""  # empty until it is told

    @property
    def ids(self) -> set[str]:
        return {trial.trial_id for trial in self.trials}

    @property
    def is_whole(self) -> bool:
        """Whether each of its trials came to a result."""
        told = [results[0].status for results in self.results.values()]
        return self.results.keys() == self.ids and all(status in RESULTS for status in told)


class SearchedArm:
    """One arm's search: proposals asked of Optuna, each tried on the search's seeds.

    A pruner looks at the curve of a proposal's first seed, Wilcoxon's at its seeds as they end.
    """

    def __init__(
        self, request: Request, search: Search, store: Store, composer: Composer, slots: int
    ) -> None:
        assert request.recipe is not None and request.recipe.search is not None
        self._settings, self._search = request.recipe.search, search
        self._store, self._composer, self._slots = store, composer, slots
        self.arm, self._recipe_name = search.arm, request.plan.name
        texts = self._settings.metric or [next(iter(request.recipe.metrics))]
        self.told = [told_metric(request, text) for text in texts]
        self._metrics = tuple(  # of a metric over several runs the search is told the inner one
            text if parse(text) == expression else expression.name
            for text, (expression, _) in zip(texts, self.told, strict=True)
        )
        self._name = study_name(request, search)
        self._sampler, self._pruner = request.sampler, request.pruner
        self._study = self._new_study()
        self._proposals: dict[int, _Proposal] = {}
        self._open: dict[int, _Proposal] = {}
        self._recorded = 0
        self.notes: list[str] = []  # for the user, since it began or was concluded
        self.mend = ""  # what is wrong with the request, once it has come to light
        self._replay(self._turns())

    def _turns(self) -> list[dict[str, Any]]:
        """What was recorded; nothing where that was told of another metric, or another goal."""
        turns = self._store.turns(self._name)
        told = turns[0].get("told", self._as_told) if turns else self._as_told
        if told == self._as_told:
            return turns
        self._store.set_aside(self._name)
        return []

    @property
    def _as_told(self) -> list[list[str]]:
        goals = (goal for _, goal in self.told)
        return [[metric, goal] for metric, goal in zip(self._metrics, goals, strict=True)]

    def _new_study(self, drawing: str = "") -> Study:
        seeded_by = self._name + drawing
        return Study(
            search_space(self._search.axes),
            [goal for _, goal in self.told],
            make_sampler(self._sampler, seeded_by, is_conditional=bool(self._search.when)),
            make_pruner(self._pruner),
            name=self._name,
            when=self._search.when,
        )

    def _replay(self, turns: Sequence[Mapping[str, Any]]) -> None:
        try:
            self._study.replay(turns)
        except OtherValues as why:
            if self._settings.replay == "exact":
                raise
            # A sampler that has not drawn what is enqueued would draw it all again.
            self._study = self._new_study(drawing=f" after {len(turns)} turns")
            self._study.enqueue(turns)
            self._note(f"goes on from its recorded values, since {str(why).partition(':')[0]}")
        self._recorded = len(self._study.turns)
        for turn in turns:
            if "ask" in turn:
                self._propose(turn["ask"], turn["values"])
            elif "report" in turn:
                self._take(self._proposals[turn["report"]], turn)
            else:
                self._open.pop(turn["tell"])
                self._proposals[turn["tell"]].status = turn["status"]
        for proposal in self._open.values():
            if proposal.given_up_at is not None:  # those that were waiting then are not run
                began = proposal.reported if self._compares_seeds else {0}
                proposal.waiting = deque(t for i, t in enumerate(proposal.trials) if i in began)

    def _note(self, what: str) -> None:
        self.notes.append(f"{self._recipe_name}: the search of arm {self.arm!r} {what}.")

    @property
    def cells(self) -> list[Cell]:
        """Of every trial that it proposed and that was asked for."""
        return [
            Cell(self.arm, trial.seed, trial.trial_id, "search", dict(proposal.values))
            for proposal in self._proposals.values()
            for trial in proposal.trials
        ]

    @property
    def is_done(self) -> bool:
        return len(self._proposals) >= self._settings.trials and not self._open

    @property
    def _prunes(self) -> bool:
        return bool(self._pruner["name"] != "none")

    @property
    def _compares_seeds(self) -> bool:
        return bool(self._pruner["name"] == "wilcoxon")

    def ask(self) -> Trial | None:
        """The next trial of an open proposal, or of a new one while the budget lasts."""
        if self._prunes and sum(len(p.running) for p in self._open.values()) >= self._slots:
            return None  # what waits in a slot's queue is not given up before it begins
        for proposal in self._open.values():
            if proposal.waiting:
                return self._begun(proposal)
        # A proposal made before the results are in is made blindly: no more than there are slots.
        while len(self._proposals) < self._settings.trials and len(self._open) < self._slots:
            asked = self._study.ask()
            proposal = self._propose(asked.number, asked.values)
            self._settle(proposal)
            self._record_turns()
            if proposal.waiting:
                return self._begun(proposal)
        return None

    def _propose(self, number: int, values: Mapping[str, Any]) -> _Proposal:
        trials = trials_of(self._search, values, self._settings, self._composer)
        proposal = _Proposal(number, values, trials, deque(trials))
        self._proposals[number] = self._open[number] = proposal
        return proposal

    def _begun(self, proposal: _Proposal) -> Trial:
        trial = proposal.waiting.popleft()
        proposal.running.add(trial.trial_id)
        return trial

    def wants(self, _: str) -> bool:
        """Whether a trial must not be given up: no proposal is worth that."""
        return False

    def accepts(self, trial_id: str, status: str) -> bool:
        """Whether an ending answers: a pruned trial answers the search that gave it up, alone."""
        if status != "pruned":
            return True
        mine = [p for p in self._proposals.values() if trial_id in p.ids]
        return any(p.given_up_at is not None or p.status == "pruned" for p in mine)

    def judge(self, point: Reported) -> bool:
        """Whether every open proposal that a trial answers gives it up at this point."""
        if not self._prunes:
            return False
        answers = [self._judge(p, point) for p in self._open.values() if point.trial_id in p.ids]
        return bool(answers) and all(answers)

    def _judge(self, proposal: _Proposal, point: Reported) -> bool:
        if self._compares_seeds or point.trial_id != proposal.trials[0].trial_id:
            return proposal.given_up_at is not None
        value = point.metrics.get(self.told[0][0].name)
        if value is None or not math.isfinite(point.step) or point.step < 0:
            return False
        step = math.floor(point.step)
        so_far = self._so_far(proposal, step, value)
        if proposal.given_up_at is None and step not in proposal.reported:
            self._report(proposal, step, so_far)
        # What an earlier attempt had reported is told as it was then: not before that step.
        return proposal.given_up_at is not None and step >= proposal.given_up_at

    def _so_far(self, proposal: _Proposal, step: int, value: float) -> float:
        """The told metric, were this the last point: of `best` the best so far, say."""
        expression, goal = self.told[0]
        if expression.function == "best":
            values = [v for v in (proposal.best, value) if math.isfinite(v)]
            proposal.best = (min if goal == "down" else max)(values, default=math.nan)
            return proposal.best
        if expression.function != "tail":
            return value
        proposal.curve[step] = value
        columns: dict[str, list[float | None]] = {
            "step": [*proposal.curve],
            expression.name: [*proposal.curve.values()],
        }
        found = of_run(expression, {}, columns, goal == "down")
        return math.nan if found is None else found

    def _report(self, proposal: _Proposal, step: int, value: float) -> None:
        self._study.report(proposal.number, step, value)
        self._take(proposal, self._study.turns[-1])

    def _take(self, proposal: _Proposal, turn: Mapping[str, Any]) -> None:
        """Remember a report and what came of it, now or before a restart."""
        proposal.reported.add(turn["step"])
        proposal.best = turn["value"]
        is_last = self._compares_seeds and len(proposal.reported) == len(proposal.trials)
        if turn["prune"] and not is_last:
            proposal.given_up_at = turn["step"]
            proposal.waiting.clear()

    def tell(self, trial_id: str, ending: Ending) -> None:
        for proposal in list(self._open.values()):
            if trial_id in proposal.ids:
                self._take_result(proposal, trial_id, ending)
                self._settle(proposal)
        self._record_turns()

    def _take_result(self, proposal: _Proposal, trial_id: str, ending: Ending) -> None:
        proposal.running.discard(trial_id)
        proposal.results[trial_id] = tuple(result(ending, *told) for told in self.told)
        self._check_reported(ending)
        place = next(i for i, t in enumerate(proposal.trials) if t.trial_id == trial_id)
        if self._compares_seeds and ending.status in RESULTS and place not in proposal.reported:
            value = proposal.results[trial_id][0].value
            if value is not None:
                diverged = ending.status == "diverged"
                self._report(proposal, place, math.nan if diverged else value)

    def _check_reported(self, ending: Ending) -> None:
        """The first results show whether the metric is reported at all."""
        if ending.status != "done" or self._study.best() is not None:
            return
        known = sorted({*ending.metrics, *ending.curve} - {"step"})
        for expression, _ in self.told:
            if expression.name not in (*known, DURATION):
                self.mend = (
                    f"recipe {self._recipe_name}: the search of arm {self.arm!r} is told "
                    f"{expression.name!r}, which its trials do not report. "
                    + nearest(expression.name, known, what="reported metrics")
                    + " Name one of them under search.metric."
                )

    def _settle(self, proposal: _Proposal) -> None:
        """Tell a proposal of which nothing runs or waits any more."""
        if proposal.waiting or proposal.running:
            return
        del self._open[proposal.number]
        results = list(proposal.results.values())
        statuses = [of_trial[0].status for of_trial in results]
        bad = [status for status in statuses if status not in (*RESULTS, "pruned")]
        if not results:
            proposal.status = "skipped"  # its values do not go together
        elif not bad and proposal.given_up_at is not None and not proposal.is_whole:
            proposal.status = "pruned"
        else:
            others = [s for s in statuses if s in ("pruned", "diverged")]
            proposal.status = (bad or others or ["done"])[0]
        columns = zip(*results, strict=True) if results and proposal.is_whole else ()
        told: list[float | None] = [_mean(r.value for r in column) for column in columns]
        value: Told = told if len(self.told) > 1 else next(iter(told), None)
        self._study.tell(proposal.number, proposal.status, value)

    def _record_turns(self) -> None:
        for turn in self._study.turns[self._recorded :]:
            what = turn if self._recorded else {**turn, "told": self._as_told}
            self._store.add_turn(self._name, self._recorded, what)
            self._recorded += 1

    def conclude(self, request: Request) -> Request:
        """The request with this search's cells and, on the recipe's seeds, its winner's."""
        self.notes.clear()
        # What was given up waits for nobody: no seed of it that had not begun, or was cut off.
        asked_for = {
            t: status for t, status in self._store.statuses().items() if status != "waiting"
        }
        cells = tuple(c for c in self.cells if c.trial_id in asked_for)
        found = self._concluded(asked_for)
        order = {arm.name: place for place, arm in enumerate(request.plan.arms)}
        searches = sorted((*request.plan.searches, found), key=lambda search: order[search.arm])
        plan = replace(request.plan, cells=(*request.plan.cells, *cells), searches=tuple(searches))
        request = replace(request, plan=plan)
        self._say_what_came_of_it(found)
        best = self._study.best()
        if best is None:
            return request
        config = self._search.proposed(best.values, self._composer)
        return with_winner(request, self.arm, config, best.values)

    def _concluded(self, asked_for: Mapping[str, str]) -> ConcludedSearch:
        axes = {a: r.model_dump(exclude_defaults=True) for a, r in self._search.axes.items()}
        proposals = tuple(
            Proposal(
                p.number, dict(p.values), p.status, self._study.told(p.number),
                tuple(t.trial_id for t in p.trials if t.trial_id in asked_for),
            )
            for p in self._proposals.values()
        )  # fmt: skip
        best = self._study.best()
        goals: list[Goal] = [goal for _, goal in self.told]
        return ConcludedSearch(
            arm=self.arm,
            study=self._name,
            metrics=self._metrics,
            goals=tuple(goals),
            axes=axes,
            sampler=options_of(self._sampler),
            pruner=dict(self._pruner),
            optuna=next(turn["optuna"] for turn in self._study.turns if "ask" in turn),
            budget=self._settings.trials,
            proposals=proposals,
            winner=None if best is None else best.number,
            pareto=self._study.pareto(),
            importance=importances(axes, proposals, goals[0], self._sampler),
        )

    def _say_what_came_of_it(self, found: ConcludedSearch) -> None:
        count = len(found.proposals)
        skipped = sum(p.status == "skipped" and not p.trial_ids for p in found.proposals)
        if skipped:
            self._note(
                f"passed over {skipped} of its {count} proposals, whose values do not compose "
                "together"
            )
        if found.winner is None:
            self._note(
                f"has no winner, since none of its {count} proposals came to a value of "
                f"{' and '.join(found.metrics)}: the arm has no reported trials"
            )
        elif self._prunes and not any(p.reported for p in self._proposals.values()):
            self._note(
                f"gave up nothing, since no report of {self.told[0][0].name!r} reached "
                f"pruner={self._pruner['name']}"
            )


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = list(values)
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.mean(known))  # infinite where it is too large, NaN between infinities
