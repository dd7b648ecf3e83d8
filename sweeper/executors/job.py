"""What goes to an executor and what comes back: plain values both ways."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from sweeper.trial import Ending


@dataclass(frozen=True)
class Job:
    """An attempt at a trial, or (with no attempt) a check of the user's functions."""

    trial_id: str
    attempt: int
    seed: int
    config: Mapping[str, Any]
    folder: str  # of the trial: its logs, config and `work/`
    cache: str
    allowed: Sequence[str] = ()
    timeout_s: float | None = None
    memory_mib: int | None = None
    alone: bool = False  # beside others on its device it ran out of memory: now it has it whole
    data: Mapping[str, str] = field(default_factory=dict)  # digests of the files it will read
    work: str = "work"  # the name of the user's part of the folder

    @property
    def is_check(self) -> bool:
        return self.attempt == 0

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Job":
        return cls(**json.loads(data))


@dataclass(frozen=True)
class Reported:
    """A point of the curve, as it arrived."""

    trial_id: str
    attempt: int
    step: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Ended:
    """The end of an attempt; `mend` is set where the request itself was wrong."""

    job: Job
    device: str
    ending: Ending
    mend: str = ""


Judge = Callable[[Reported], bool]


class Executor(Protocol):
    """Where trials run."""

    @property
    def slots(self) -> int:
        """How many trials run at once."""

    def room(self) -> int:
        """How many more jobs may be started now."""

    def start(self, job: Job) -> None:
        """Hand over a job without waiting; it runs as soon as a slot is free."""

    def drop(self) -> list[Job]:
        """Take back the jobs that have not begun."""

    def events(self, judge: Judge) -> list[Ended]:
        """The attempts that ended since; waits for the first, but no longer than a second.

        `judge` is called for each reported point, in the caller's thread; where it says True the
        attempt's next `report` raises Pruned. An attempt that was given up as lost may end a
        second time, if it comes back.
        """

    def preempt(self) -> None:
        """Have all that runs leave a checkpoint and end; called in a signal's handler.

        The next `report` of an attempt raises Preempted; what has not ended when the grace is
        over is killed.
        """

    def close(self) -> None:
        """Stop whatever still runs and release the slots."""
