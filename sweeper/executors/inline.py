"""Trials in the sweep's own process, one after another."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from sweeper.errors import Preempted, Pruned
from sweeper.executors.job import Ended, Job, Judge, Reported
from sweeper.executors.perform import Curve, perform
from sweeper.fingerprint import imported

# What ends within this time shares one commit of the store.
_SHARED_S = 0.05
_AHEAD = 64
_SHORT_S = 0.01


class InlineExecutor:
    """One slot, no process of its own: for debugging and very short trials."""

    slots = 1

    def __init__(self, device: str = "cpu") -> None:
        imported.look_back()
        self._device = device
        self._waiting: deque[Job] = deque()
        self._is_preempted = False
        self._took_s = _SHARED_S  # the last trial; only short ones are taken many at a time

    def room(self) -> int:
        return (_AHEAD if self._took_s < _SHORT_S else 1) - len(self._waiting)

    def start(self, job: Job) -> None:
        self._waiting.append(job)

    def drop(self) -> list[Job]:
        dropped, self._waiting = list(self._waiting), deque()
        return dropped

    def events(self, judge: Judge) -> list[Ended]:
        ended: list[Ended] = []
        until = time.monotonic() + _SHARED_S
        while self._waiting and time.monotonic() < until:
            ended.append(self._run(self._waiting.popleft(), judge))
        return ended

    def _run(self, job: Job, judge: Judge) -> Ended:
        curve = Curve()
        is_pruned = False

        def report(step: float, metrics: Mapping[str, float]) -> None:
            nonlocal is_pruned
            curve.add(step, metrics)
            if is_pruned:
                raise Pruned
            if self._is_preempted:
                raise Preempted
            is_pruned = judge(Reported(job.trial_id, job.attempt, step, metrics))

        ending, mend = perform(job, self._device, report)
        self._took_s = ending.duration_s
        return Ended(job, self._device, replace(ending, curve=curve.columns), mend)

    def preempt(self) -> None:
        self._is_preempted = True

    def close(self) -> None:
        self._waiting.clear()
