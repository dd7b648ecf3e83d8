"""Who has which share of which device: never more trials on one than it has slots."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweeper.executors.devices import Slot
from sweeper.executors.job import Job


@dataclass
class Placed:
    """A job on its slot; `has_company` once another job ran on the same device beside it."""

    job: Job
    slot: Slot
    has_company: bool = False


class Shares:
    """Deals jobs out over slots, to the device with the most free shares first.

    A job that must be alone has a device whole: no other job is put there until it has ended.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = {slot.name: slot for slot in slots}
        self._sizes = Counter(slot.name for slot in slots)
        self._placed: dict[str, list[Placed]] = {name: [] for name in self._slots}
        self._reserved: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._waiting_alone: deque[Job] = deque()

    @property
    def room(self) -> int:
        """How many more jobs would find a place at once."""
        free = sum(self._free(name) for name in self._slots if name not in self._reserved)
        return max(0, free - len(self._waiting) - len(self._waiting_alone))

    def add(self, job: Job) -> None:
        """A job that waits for a place."""
        (self._waiting_alone if job.alone else self._waiting).append(job)

    def place(self) -> Iterator[Placed]:
        """The waiting jobs that have a place now, each with it."""
        while self._waiting_alone and (name := self._freest()):
            self._reserved[name] = self._waiting_alone.popleft()
        for name, job in self._reserved.items():
            if not self._placed[name]:
                yield self._put(job, name)
        while self._waiting and (name := self._freest()) and self._free(name):
            yield self._put(self._waiting.popleft(), name)

    def drop(self) -> list[Job]:
        """Take back the jobs that have no place yet."""
        held = [name for name, job in self._reserved.items() if not self._has(name, job)]
        dropped = [*self._waiting, *self._waiting_alone, *(self._reserved.pop(n) for n in held)]
        self._waiting.clear()
        self._waiting_alone.clear()
        return dropped

    def remove(self, job: Job) -> Placed:
        """Free the place of a job that has ended; returns where it was."""
        for name, there in self._placed.items():
            for placed in there:
                if placed.job is job:
                    there.remove(placed)
                    if self._reserved.get(name) is job:
                        del self._reserved[name]
                    return placed
        raise KeyError(job.trial_id)

    def _has(self, name: str, job: Job) -> bool:
        return any(placed.job is job for placed in self._placed[name])

    def _free(self, name: str) -> int:
        return self._sizes[name] - len(self._placed[name])

    def _freest(self) -> str | None:
        open_ = [name for name in self._slots if name not in self._reserved]
        return max(open_, key=self._free, default=None)

    def _put(self, job: Job, name: str) -> Placed:
        placed = Placed(job, self._slots[name])
        there = self._placed[name]
        there.append(placed)
        if len(there) > 1:
            for each in there:
                each.has_company = True
        return placed
