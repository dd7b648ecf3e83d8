"""A fresh process for each trial on the slots of this machine."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from joblib import Parallel, delayed

from sweeper.executors.devices import Slot
from sweeper.executors.job import Ended, Job, Judge, Reported
from sweeper.executors.process import Processes
from sweeper.executors.shares import Placed, Shares

# How long the loop may wait without a look at what a signal's handler asked for.
_PATIENCE_S = 0.2


class LocalExecutor:
    """joblib runs one thread a slot; each takes jobs and gives every one a process of its own."""

    def __init__(
        self, slots: Sequence[Slot], grace_s: float = 20.0, *, preload_torch: bool = True
    ) -> None:
        self._slots = len(slots)
        self._shares = Shares(slots)
        self._processes = Processes(grace_s, preload_torch=preload_torch)
        self._begun: queue.SimpleQueue[Placed | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._must_preempt = False
        self._threads = threading.Thread(target=self._serve_all, daemon=True)
        self._threads.start()

    @property
    def slots(self) -> int:
        return self._slots

    def room(self) -> int:
        return self._shares.room

    def start(self, job: Job) -> None:
        self._shares.add(job)
        self._place()

    def drop(self) -> list[Job]:
        return self._shares.drop()

    def events(self, judge: Judge) -> list[Ended]:
        if self._must_preempt:  # at each look: a trial may just be beginning
            self._processes.preempt()
        ended = []
        for event in self._arrived():
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Ended):
                ended.append(self._released(event))
            elif judge(event):
                self._processes.prune(event.trial_id, event.attempt)
        return ended

    def preempt(self) -> None:
        self._must_preempt = True

    def close(self) -> None:
        for _ in range(self._slots):
            self._begun.put(None)
        self._processes.close()
        self._threads.join(timeout=10.0)

    def _place(self) -> None:
        for placed in self._shares.place():
            self._begun.put(placed)

    def _released(self, event: Ended) -> Ended:
        """Its share is free; out of memory beside others is not yet the trial's own fault."""
        placed = self._shares.remove(event.job)
        self._place()
        if event.ending.status == "oom" and placed.has_company and not event.job.memory_mib:
            return replace(event, ending=replace(event.ending, is_chance=True))
        return event

    def _arrived(self) -> Iterator[Reported | Ended | BaseException]:
        """What lies in the inbox, after a short wait for the first."""
        try:
            yield self._inbox.get(timeout=_PATIENCE_S)
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _serve_all(self) -> None:
        try:
            Parallel(n_jobs=self._slots, backend="threading")(
                delayed(self._serve)() for _ in range(self._slots)
            )
        except BaseException as error:  # noqa: BLE001 - raised again by `events`
            self._inbox.put(error)

    def _serve(self) -> None:
        while (placed := self._begun.get()) is not None:
            self._inbox.put(self._processes.run(placed.job, placed.slot, self._inbox.put))
