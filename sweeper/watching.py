"""What the command line shows of a sweep that runs: a live view, or plain lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from sweeper.executors.job import Ended, Job
from sweeper.narrator import Narrator, SilentWatcher, interruption
from sweeper.trial import RESULTS
from sweeper.view import console, escape, show_tables

if TYPE_CHECKING:
    from sweeper.evidence.tables import Tables
    from sweeper.planning import Request


@contextmanager
def watcher() -> Iterator[SilentWatcher]:
    """A live view on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield PlainWatcher()
        return
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"), TimeRemainingColumn(), console=console,
    )  # fmt: skip
    with progress:
        yield LiveWatcher(progress)


class PlainWatcher(Narrator):
    """A line when a recipe begins, a line for what went wrong, a line now and then for the rest."""

    _EVERY_S = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._said_at = time.monotonic()

    def ended(self, event: Ended, *, again: bool) -> None:
        super().ended(event, again=again)
        if time.monotonic() - self._said_at > self._EVERY_S:
            self.say(self.progress())

    def written(self, name: str, tables: "Tables") -> None:
        show_tables(name, tables)

    def say(self, line: str) -> None:
        self._said_at = time.monotonic()
        console.print(line, markup=False, soft_wrap=True)


class LiveWatcher(SilentWatcher):
    """A bar a recipe: trials answered, running, failed, time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[TaskID, set[str]] = {}
        self._bars: dict[str, TaskID] = {}
        self._running: set[str] = set()
        self._failed: set[str] = set()
        self._searching: TaskID | None = None  # whose trials are not all known beforehand

    def planned(self, request: "Request", trials: int, done: int) -> None:
        arms = len(request.plan.arms)
        task = self._progress.add_task(
            f"{escape(request.plan.name)} ({arms} arms)", total=trials, completed=done, note=""
        )
        self._tasks[task] = set(request.trials)
        self._bars[request.plan.name] = task
        for note in request.notes:
            self._progress.console.print(escape(note), soft_wrap=True)
        if request.searches:
            self._searching = task

    def noted(self, note: str) -> None:
        self._progress.console.print(escape(note), soft_wrap=True)

    def grown(self, request: "Request") -> None:
        self._tasks[self._bars[request.plan.name]] |= set(request.trials)

    def started(self, job: Job) -> None:
        if self._searching is not None and not any(job.trial_id in t for t in self._tasks.values()):
            self._tasks[self._searching].add(job.trial_id)
        self._running.add(job.trial_id)
        self._refresh(job.trial_id)

    def ended(self, event: Ended, *, again: bool) -> None:
        trial_id = event.job.trial_id
        self._running.discard(trial_id)
        if event.ending.status not in {*RESULTS, "pruned", "skipped"} and not again:
            self._failed.add(trial_id)
        for task, trials in self._tasks.items():
            if trial_id in trials and not again:
                self._progress.advance(task)
        self._refresh(trial_id)

    def written(self, name: str, tables: "Tables") -> None:
        show_tables(name, tables)

    def interrupted(self, running: int, *, is_preempted: bool) -> None:
        self._progress.console.print(interruption(running, is_preempted=is_preempted))

    def _refresh(self, trial_id: str) -> None:
        for task, trials in self._tasks.items():
            if trial_id in trials:
                running, failed = len(self._running & trials), len(self._failed & trials)
                self._progress.update(task, note=f"{running} running, {failed} failed")
