"""What happens in a sweep, told in lines: on a plain terminal, and in the log under outputs."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sweeper.executors.job import Ended, Job
from sweeper.folders import new_file
from sweeper.trial import RESULTS

if TYPE_CHECKING:
    from sweeper.evidence.tables import Tables
    from sweeper.planning import Request


class SilentWatcher:
    """Watches a sweep and says nothing."""

    def planned(self, request: "Request", trials: int, done: int) -> None: ...

    def grown(self, request: "Request") -> None: ...

    def started(self, job: Job) -> None: ...

    def ended(self, event: Ended, *, again: bool) -> None: ...

    def interrupted(self, running: int, *, is_preempted: bool) -> None: ...

    def noted(self, note: str) -> None: ...

    def finished(self, request: "Request") -> None: ...

    def written(self, name: str, tables: "Tables") -> None:
        """The tables of a plan lie on disk."""


def interruption(running: int, *, is_preempted: bool) -> str:
    """What an interrupted sweep waits for."""
    if is_preempted:
        return f"Told to stop: {running} running trials are to leave a checkpoint and end."
    return f"Interrupted: waiting for {running} running trials; once more stops them now."


class Narrator(SilentWatcher):
    """Tells what begins and what goes wrong; a subclass says where, and what else it tells."""

    def __init__(self) -> None:
        self._total = self._done = 0
        self._places: dict[str, str] = {}

    def say(self, line: str) -> None:
        raise NotImplementedError

    def planned(self, request: "Request", trials: int, done: int) -> None:
        self._total += trials
        self._done += done
        arms = len(request.plan.arms)
        self.grown(request)
        self.say(f"{request.plan.name}: {arms} arms, {trials} trials, {done} done already")
        for note in request.notes:
            self.say(note)

    def grown(self, request: "Request") -> None:
        reported = (c for c in request.plan.cells if c.phase == "report")
        self._places |= {c.trial_id: f"{c.arm}, seed {c.seed}" for c in reported}

    def ended(self, event: Ended, *, again: bool) -> None:
        self._done += not again
        if event.ending.status not in {*RESULTS, "pruned"}:  # as its search meant it
            self.say(self.sentence(event, again=again))

    def interrupted(self, running: int, *, is_preempted: bool) -> None:
        self.say(interruption(running, is_preempted=is_preempted))

    def noted(self, note: str) -> None:
        self.say(note)

    def place(self, job: Job) -> str:
        """A trial by its id, and by arm and seed where a plan names it."""
        return f"trial {job.trial_id} ({self._places.get(job.trial_id, 'of a search')})"

    def progress(self) -> str:
        return f"{self._done} of {max(self._total, self._done)} trials"

    def sentence(self, event: Ended, *, again: bool) -> str:
        """How an attempt ended, and the first line of why."""
        ending = event.ending
        goes_on = ", goes on later" if ending.status == "preempted" else ", tried once more"
        reason = f": {ending.error.splitlines()[0]}" if ending.error else ""
        return f"{self.place(event.job)}: {ending.status}{goes_on if again else ''}{reason}"


class Log(Narrator):
    """Every start and every end, a line each with its time, added to a file.

    A disk that takes no more lines ends nothing: the store is the truth, this is for reading.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> "Log":
        try:
            self._file = os.fdopen(
                new_file(self._path, os.O_APPEND), "a", encoding="utf-8", errors="backslashreplace"
            )
        except OSError:
            self._file = None
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.say("ended" if error is None else f"ended by {type(error).__name__}: {error}")
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                return

    def say(self, line: str) -> None:
        if self._file is not None:
            try:
                self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
                self._file.flush()
            except (OSError, ValueError):
                return

    def started(self, job: Job) -> None:
        alone = ", alone on its device" if job.alone else ""
        self.say(f"{self.place(job)}: attempt {job.attempt} starts{alone}")

    def ended(self, event: Ended, *, again: bool) -> None:
        self._done += not again
        said = self.sentence(event, again=again)
        took = f"{event.ending.duration_s:.3g} s on {event.device}"
        self.say(f"{said} ({took}; {self.progress()})")

    def finished(self, request: "Request") -> None:
        self.say(f"{request.plan.name}: every trial is answered")
