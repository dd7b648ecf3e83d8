"""The loop: asks for trials, hands them to slots, records every ending, never waits for one."""

import signal
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sweeper.compose import Composer
from sweeper.errors import RequestError
from sweeper.executors.job import Ended, Executor, Job, Reported
from sweeper.fingerprint import DataSets
from sweeper.folders import Outputs
from sweeper.ongoing import Ongoing, followers_of
from sweeper.planning import Request, Search
from sweeper.proposals import forget_failures
from sweeper.searching import SearchedArm
from sweeper.sources import FixedCells, Source
from sweeper.store import Store
from sweeper.trial import ANSWERS, FINAL, RESULTS, Ending, Trial, joined

_CALLED = ("task", "model", "data")
# How often a trial is tried again after an ending that was not its own doing, each counted apart.
# Being told to stop is nobody's fault, but a trial that always is must not run for ever.
_RETRIES = {"crashed": 1, "lost": 1, "oom": 1, "preempted": 100}
_FAILED = frozenset({"failed", "crashed", "oom", "timeout", "lost"})
_ENDED_FOR_GOOD = ANSWERS - _FAILED | {"failed"}  # a pruned one may go on where it was stopped


class Watcher(Protocol):
    """Who is told what happens, as it happens."""

    def planned(self, request: Request, trials: int, done: int) -> None:
        """A recipe begins (or goes on): so many trials in all, so many of them answered."""

    def grown(self, request: Request) -> None:
        """A recipe asks for further trials, or for others, by what was measured."""

    def started(self, job: Job) -> None:
        """A trial was handed to a slot."""

    def ended(self, event: Ended, *, again: bool) -> None:
        """An attempt ended and is recorded; with `again` the trial is tried once more."""

    def interrupted(self, running: int, *, is_preempted: bool) -> None:
        """The first interrupt came: so many trials still run to their end, or to a checkpoint."""

    def noted(self, note: str) -> None:
        """Something that the user must know of, in a sentence."""

    def finished(self, request: Request) -> None:
        """Every cell of a recipe has its answer."""


@dataclass(frozen=True)
class How:
    """How trials are run, whatever is asked."""

    outputs: Outputs
    allowed: Sequence[str] = ()
    timeout_s: float | None = None
    memory_mib: int | None = None
    retry: bool = False
    data: DataSets | None = None  # whose digests go on record with each attempt


class Sweep:
    """Runs what is missing of some requests, recipe after recipe, with no gap between them."""

    def __init__(self, store: Store, executor: Executor, how: How, watcher: Watcher) -> None:
        self._store, self._executor, self._how, self._watcher = store, executor, how, watcher
        self._studies: list[Ongoing] = []
        self._running: dict[str, tuple[int, Trial]] = {}  # by id, with the attempt that counts
        self._overtaken: set[str] = set()  # answered by an attempt that had been given up
        self._tellers: dict[str, list[Source]] = defaultdict(list)
        self._given_up: set[str] = set()  # running trials that a pruner has told to end
        self._again: list[Trial] = []
        self._interrupts = 0
        self.was_preempted = False
        self._has_said_so = False

    @property
    def was_interrupted(self) -> bool:
        return self._interrupts > 0 or self.was_preempted

    def run(self, requests: Sequence[Request], composer: Composer) -> None:
        """Run until every cell is answered, or until an interrupt has let what runs end.

        Raises RequestError where a child found the request itself to be wrong.
        """
        with self._interruptible():
            self.begin(requests, composer)
            ended: list[Ended] = []
            while self.turn(ended):
                ended = []
                while not ended:
                    ended = self._executor.events(self._judge)
                    self._say_interrupted()

    def begin(self, requests: Sequence[Request], composer: Composer) -> None:
        """Take over what an earlier sweep left, and plan what is missing."""
        self._store.cancel_running()
        self._check_functions(requests)
        self._plan(requests, composer)

    def turn(self, ended: Sequence[Ended]) -> bool:
        """One commit: results in, next trials out. Returns whether anything runs."""
        with self._store.turn():
            ended = [event for event in ended if not self._was_recorded(event)]
            recorded = [(event, self._record(event)) for event in ended]
            mends = [self._placed(event) for event in ended if event.mend] or self._found_wrong()
            while self._conclude():
                pass  # what follows may be answered already
            jobs = [] if mends or self.was_interrupted else self._next_jobs()
            mends = mends or self._found_wrong()
            jobs = [] if mends else jobs  # their attempts are cancelled at the end
        if self.was_interrupted:
            for job in self._executor.drop():
                del self._running[job.trial_id]  # its attempt is cancelled at the end
        for job in jobs:
            self._executor.start(job)
        for event, again in recorded:
            self._watcher.ended(event, again=again)
        for job in jobs:
            self._watcher.started(job)
        if mends:
            raise RequestError(mends[0])
        self._say_notes()
        self._announce_finished()
        return bool(self._running)

    def _say_interrupted(self) -> None:
        """Once, and not in the signal's handler: it may have come in the middle of a print."""
        if self.was_interrupted and not self._has_said_so:
            self._has_said_so = True
            self._watcher.interrupted(len(self._running), is_preempted=self.was_preempted)

    def _found_wrong(self) -> list[str]:
        """What has come to light of the searches themselves."""
        return [s.mend for study in self._studies for s in study.searches if s.mend]

    def _say_notes(self) -> None:
        for study in self._studies:
            for note in study.notes:
                self._watcher.noted(note)
            study.notes.clear()

    def _plan(self, requests: Sequence[Request], composer: Composer) -> None:
        def begin(request: Request, search: Search) -> SearchedArm:
            return SearchedArm(request, search, self._store, composer, self._executor.slots)

        asked = {request.plan.name: self._asked(request) for request in requests}
        with self._store.turn():
            if self._how.retry:
                statuses = self._store.statuses()
                every = set().union(*asked.values())
                self._store.forget(t for t in every if statuses.get(t) in _FAILED)
                for request in requests:
                    forget_failures(self._store, request, composer)
            for request in requests:
                self._store.save_plan(request.plan)
                self._store.add_trials(request.trials.values())
            statuses = self._store.statuses()
            durations = self._store.durations()
            for request in requests:
                fixed = FixedCells(request, request.begun_cells, statuses, durations)
                searched = [begin(request, search) for search in request.begun_searches]
                notes = [note for search in searched for note in search.notes]
                followers = followers_of(request, self._store, composer)
                self._studies.append(Ongoing(request, [*searched, fixed], begin, followers, notes))
        for study in self._studies:
            request = study.request
            proposed = {c.trial_id for s in study.searches for c in s.cells}
            known = asked[request.plan.name] | proposed
            done = sum(statuses.get(t) in (FINAL if t in proposed else ANSWERS) for t in known)
            self._watcher.planned(request, request.expected, min(done, request.expected))
        self._say_notes()

    def _asked(self, request: Request) -> set[str]:
        """The request's trials, and those that followed from what was measured last time."""
        if request.plan.name not in self._store.plan_names():
            return set(request.trials)
        cells = self._store.plan(request.plan.name).cells
        followed = {c.trial_id for c in cells if c.phase == "report" and request.may_grow(c.arm)}
        return {*request.trials, *followed}

    def _check_functions(self, requests: Sequence[Request]) -> None:
        """Let a child import the user's functions and check their signatures, before any trial."""
        checks: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        for request in requests:
            for config in request.configs:
                paths = tuple(config.get(g, {}).get("_target_") for g in _CALLED)
                if any(path and not path.startswith("sweeper.") for path in paths):
                    checks.setdefault(paths, config)
        for number, config in enumerate(checks.values()):
            self._executor.start(self._job(Trial(f"check-{number}", 0, config), 0))
        left = len(checks)
        tried_again: set[str] = set()
        while left and not self.was_interrupted:
            for event in self._executor.events(self._judge):
                trial_id = event.job.trial_id
                if event.ending.is_chance and trial_id not in tried_again:
                    tried_again.add(trial_id)
                    self._executor.start(event.job)
                    continue
                left -= 1
                if event.ending.status != "done" and not self.was_interrupted:
                    raise RequestError(
                        event.mend or f"the user's code cannot be loaded: {event.ending.error}"
                    )

    def _job(self, trial: Trial, attempt: int) -> Job:
        outputs = self._how.outputs
        return Job(
            trial_id=trial.trial_id,
            attempt=attempt,
            seed=trial.seed,
            config=trial.config,
            folder=str(outputs.trial(trial.trial_id).resolve()),
            cache=str(outputs.cache.resolve()),
            allowed=tuple(self._how.allowed),
            timeout_s=self._how.timeout_s,
            memory_mib=self._how.memory_mib,
            alone=attempt > 1 and self._store.tally(trial.trial_id, ("oom",)) > 0,
            data=self._how.data.of(trial.config) if self._how.data else {},
        )

    def _next_jobs(self) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < self._executor.room():
            trial = self._ask()
            if trial is None:
                if self._conclude():
                    continue  # what was asked last was answered already; now there are new cells
                break
            attempt = self._store.start(trial.trial_id)
            self._running[trial.trial_id] = attempt, trial
            jobs.append(self._job(trial, attempt))
        return jobs

    def _ask(self) -> Trial | None:
        """The next trial that nobody runs yet: retries first, then recipe by recipe."""
        if self._again:
            return self._again.pop()
        for study in self._studies:
            for source in study.sources:
                while (trial := source.ask()) is not None:
                    if not self._is_answered(source, trial):
                        return trial
        return None

    def _is_answered(self, source: Source, trial: Trial) -> bool:
        """Whether the trial needs no slot: it is answered, or another recipe runs it now."""
        is_running = trial.trial_id in self._running and trial.trial_id not in self._overtaken
        if is_running or trial in self._again:
            self._tellers[trial.trial_id].append(source)
            return True
        if isinstance(source, SearchedArm):
            self._store.add_trials([trial])
        answer = self._store.answer(trial.trial_id)
        if answer is not None and source.accepts(trial.trial_id, answer.status):
            source.tell(trial.trial_id, answer.ending)
            return True
        self._tellers[trial.trial_id].append(source)
        return False

    def _was_recorded(self, event: Ended) -> bool:
        """Whether it is told a second time how an attempt ended; being lost was no end."""
        job = event.job
        if self._running.get(job.trial_id, (0,))[0] == job.attempt:
            return False
        left = ("running", "cancelled", "lost")
        return self._store.attempt_status(job.trial_id, job.attempt) not in left

    def _record(self, event: Ended) -> bool:
        """Write an ending and tell whoever asked; returns whether the trial is tried again."""
        trial_id, attempt, ending = event.job.trial_id, event.job.attempt, event.ending
        current, trial = self._running.get(trial_id, (0, None))
        if attempt == current:
            del self._running[trial_id]
        if event.mend:  # the request is at fault, not the trial: it waits for the mend
            ending = replace(ending, status="cancelled")
        if self._comes_too_late(event, is_current=attempt == current):
            ending = replace(ending, status="superseded")
        unanswered = self._not_answered_by(trial_id, ending)
        again = trial is not None and (self._is_worth_another(trial_id, ending) or bool(unanswered))
        if ending.status == "preempted" and not again:
            ending = replace(ending, status="crashed", error="told to stop a hundred times over")
        if attempt > 1 and ending.status in FINAL:
            ending = self._with_points_before(trial_id, ending)
        self._store.end(trial_id, attempt, event.device, ending, again=again)
        if again and trial is not None:
            self._again.append(trial)
        if ending.status in FINAL and (unanswered or not again):
            for source in self._tellers.pop(trial_id, ()):
                if source not in unanswered:
                    source.tell(trial_id, ending)
        if unanswered:
            self._tellers[trial_id] = unanswered
        return again

    def _not_answered_by(self, trial_id: str, ending: Ending) -> list[Source]:
        """Who came to wait for the whole of a trial when it had been told to end already."""
        was_given_up = trial_id in self._given_up
        self._given_up.discard(trial_id)
        if ending.status != "pruned" or not was_given_up:
            return []
        return [s for s in self._tellers[trial_id] if not s.accepts(trial_id, ending.status)]

    def _comes_too_late(self, event: Ended, *, is_current: bool) -> bool:
        """Whether another attempt has answered; the first accepted result is the trial's.

        One that was given up as lost may come back: its result counts if there is none yet.
        """
        trial_id = event.job.trial_id
        if is_current:
            return trial_id in self._overtaken
        answer = self._store.answer(trial_id)
        if event.ending.status not in RESULTS or (answer and answer.status != "lost"):
            return True
        self._again = [trial for trial in self._again if trial.trial_id != trial_id]
        self._overtaken.add(trial_id)
        return False

    def _is_worth_another(self, trial_id: str, ending: Ending) -> bool:
        is_chance = ending.is_chance or ending.status == "preempted"
        budget = _RETRIES.get(ending.status, 0)
        return is_chance and self._store.tally(trial_id, (ending.status,)) < budget

    def _with_points_before(self, trial_id: str, ending: Ending) -> Ending:
        """With what earlier attempts reported before the point from which this one went on."""
        curve = ending.curve
        for earlier in reversed(self._store.attempts(trial_id)):
            if earlier.status in _ENDED_FOR_GOOD:
                break  # this one began anew, perhaps with other code
            curve = joined(earlier.ending.curve, curve)
        return replace(ending, curve=curve)

    def _placed(self, event: Ended) -> str:
        """The mend with the recipe and the arm that it concerns."""
        for study in self._studies:
            for cell in study.request.plan.cells:
                if cell.trial_id == event.job.trial_id:
                    return f"recipe {study.request.plan.name}: arm {cell.arm!r}: {event.mend}"
        return event.mend

    def _conclude(self) -> bool:
        """Ask for what follows from what is answered; returns whether that was anything."""
        grown = next((study for study in self._studies if study.conclude(self._store)), None)
        if grown is not None:
            self._watcher.grown(grown.request)
        return grown is not None

    def _announce_finished(self) -> None:
        for study in self._studies:
            if study.is_concluded and not study.is_finished:
                study.is_finished = True
                self._watcher.finished(study.request)

    def _judge(self, point: Reported) -> bool:
        """Whether to give the trial up: if all who wait for it do, and nobody will ask for it."""
        trial_id = point.trial_id
        if self._running.get(trial_id, (0,))[0] != point.attempt:
            return False
        answers = [source.judge(point) for source in self._tellers.get(trial_id, ())]
        if not answers or not all(answers):
            return False
        if any(s.wants(trial_id) for study in self._studies for s in study.sources):
            return False
        self._given_up.add(trial_id)
        return True

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """First SIGINT: finish what runs. Second: stop now. SIGTERM, SIGUSR2: leave checkpoints."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(*_: object) -> None:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt

        def preempt(*_: object) -> None:
            self.was_preempted = True
            self._executor.preempt()

        handlers = {
            signal.SIGINT: interrupt, signal.SIGTERM: preempt, signal.SIGUSR2: preempt,
        }  # fmt: skip
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
