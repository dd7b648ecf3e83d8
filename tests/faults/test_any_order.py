"""A sweep under whatever may happen, in whatever order hypothesis finds.

The executor is a puppet: jobs end when and as the machine says, twice, late or never; the
orchestrator dies between any two turns; the clock jumps. Store, loop and recipes are the real ones.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sweeper.api import Places, prepare
from sweeper.executors.job import Ended, Job, Judge
from sweeper.narrator import SilentWatcher
from sweeper.store import Store
from sweeper.sweep import How, Sweep
from sweeper.trial import ANSWERS, FINAL, RESULTS, Ending

SLOTS = 3
RANK = {"waiting": 0, "running": 1} | dict.fromkeys(FINAL - RESULTS, 2) | dict.fromkeys(RESULTS, 3)
RECIPE: dict[str, Any] = {
    "question": "Does anything get lost?",
    "source": "own-notes",
    "baseline": {"task._target_": "nowhere.train", "optim.lr": 0.1},
    "arms": [{"name": f"rate_{n}", "set": {"optim.lr": 0.2 + n / 10}} for n in range(2)],
    "seeds": 2,
    "metrics": {"train_loss": {"smallest_effect": 0.1}},
    "claims": [],
}
_prepared: dict[int, Any] = {}


def requests_of(seeds: int) -> Any:
    """Composed once for each number of seeds: what they are does not change."""
    if seeds not in _prepared:
        folder = Path(tempfile.mkdtemp())
        (folder / "puppet.yaml").write_text(yaml.safe_dump(RECIPE))
        places = Places.of(folder / "outputs")
        _prepared[seeds] = prepare([str(folder / "puppet.yaml")], [f"seeds={seeds}"], places)
        shutil.rmtree(folder)
    return _prepared[seeds]


class Puppet:
    """An executor that only takes jobs; how they end is said to the sweep's turn directly."""

    slots = SLOTS

    def __init__(self) -> None:
        self.running: list[Job] = []

    def room(self) -> int:
        return SLOTS - len([job for job in self.running if not job.is_check])

    def start(self, job: Job) -> None:
        self.running.append(job)

    def drop(self) -> list[Job]:
        return []

    def events(self, judge: Judge) -> list[Ended]:
        checks = [job for job in self.running if job.is_check]
        self.running = [job for job in self.running if not job.is_check]
        return [Ended(job, "cpu", Ending("done")) for job in checks]

    def preempt(self) -> None: ...

    def close(self) -> None: ...


class AnyOrder(RuleBasedStateMachine):
    """What is acknowledged stays; one attempt answers; trials only move forward."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.places = Places.of(self.folder / "outputs")
        self.seeds = 1
        self.gone: list[Job] = []  # ended, given up, or left behind by a dead orchestrator
        self.acknowledged: dict[str, tuple[int, str]] = {}
        self.statuses: dict[str, str] = {}
        self.offset = 0.0
        now = time.time
        self.clock = mock.patch("sweeper.store.time.time", lambda: now() + self.offset)
        self.clock.start()
        self.open()

    def open(self) -> None:
        self.store = Store(self.places.outputs)
        self.puppet = Puppet()
        how = How(outputs=self.places.outputs)
        self.sweep = Sweep(self.store, self.puppet, how, SilentWatcher())
        self.sweep.begin(*requests_of(self.seeds))
        self.sweep.turn([])

    def teardown(self) -> None:
        self.drain()
        self.check()
        self.store.__exit__(None, None, None)
        self.clock.stop()
        shutil.rmtree(self.folder)

    def drain(self) -> None:
        """Whatever happened: the sweep comes to its end, and every trial to an answer."""
        while self.puppet.running:
            self.end(self.puppet.running.pop(0), "done")
        missing = {t for t in requests_of(self.seeds)[0][0].trials if t not in self.acknowledged}
        assert not missing

    def end(self, job: Job, status: str, *, is_chance: bool = False) -> None:
        """Deliver an ending; once the turn is over it is acknowledged."""
        self.gone.append(job)
        result = {"train_loss": float(job.attempt)}
        ending = Ending(status, result, {"step": [0]}, is_chance=is_chance)
        self.sweep.turn([Ended(job, "cpu", ending)])
        answer = self.store.answer(job.trial_id)
        if answer is not None:
            self.acknowledged.setdefault(job.trial_id, (answer.attempt, answer.status))
            if self.acknowledged[job.trial_id][1] == "lost":  # a result may still take its place
                self.acknowledged[job.trial_id] = answer.attempt, answer.status

    @rule()
    def more_seeds_are_asked_for(self) -> None:
        if self.seeds < 4:
            self.seeds += 1
            self.orchestrator_dies()

    @precondition(lambda self: self.puppet.running)
    @rule(which=st.integers(0, SLOTS - 1), status=st.sampled_from(sorted(ANSWERS - {"lost"})))
    def a_job_ends(self, which: int, status: str) -> None:
        job = self.puppet.running.pop(which % len(self.puppet.running))
        self.end(job, status)

    @precondition(lambda self: self.puppet.running)
    @rule(
        which=st.integers(0, SLOTS - 1),
        status=st.sampled_from(["lost", "crashed", "oom", "preempted"]),
    )
    def a_job_is_cut_short(self, which: int, status: str) -> None:
        job = self.puppet.running.pop(which % len(self.puppet.running))
        self.end(job, status, is_chance=status != "preempted")

    @precondition(lambda self: self.gone)
    @rule(which=st.integers(0, 50), status=st.sampled_from(["done", "diverged", "failed", "lost"]))
    def an_ending_is_delivered_that_nobody_waits_for(self, which: int, status: str) -> None:
        """A duplicate, or an attempt that comes back."""
        job = self.gone[which % len(self.gone)]
        self.end(job, status)
        self.gone.pop()

    @rule()
    def orchestrator_dies(self) -> None:
        """Between two turns: what it had running runs on somewhere, or not."""
        self.gone += self.puppet.running
        self.store._db.close()
        self.store.__exit__(None, None, None)
        self.open()

    @rule(seconds=st.sampled_from([-1e6, -60.0, 60.0, 1e6]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.offset += seconds

    @invariant()
    def check(self) -> None:
        query = "SELECT trial_id, attempt, status FROM attempts"
        with closing(sqlite3.connect(self.places.outputs.store)) as db:
            attempts = list(db.execute(query))
            trials = list(db.execute("SELECT trial_id, status, attempt FROM trials"))
        answers = {t: (attempt, status) for t, status, attempt in trials if attempt is not None}
        assert answers.items() >= self.acknowledged.items()
        for trial_id, (attempt, status) in answers.items():
            assert (trial_id, attempt, status) in attempts
        results: dict[str, Sequence[int]] = {}
        for trial_id, attempt, status in attempts:
            if status in RESULTS:
                results[trial_id] = [*results.get(trial_id, ()), attempt]
        assert all(len(accepted) == 1 for accepted in results.values())
        assert all(answers[trial_id][0] == accepted[0] for trial_id, accepted in results.items())
        for trial_id, status, _ in trials:
            before = self.statuses.get(trial_id, "waiting")
            assert RANK[status] >= RANK[before] or RANK[before] < 2, (before, status)
            self.statuses[trial_id] = status


AnyOrder.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
test_any_order = AnyOrder.TestCase
