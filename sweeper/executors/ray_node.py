"""What a Ray task does on its node: one attempt in a fresh process, with a beat to the driver.

Ray's worker runs nothing of the user's. It holds the pipe that the attempt's group dies with, so
that whatever ends the worker ends the trial, and one worker serves many trials.
"""

import asyncio
import functools
import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ray

from sweeper.executors import workdir
from sweeper.executors.devices import CPU, Slot
from sweeper.executors.job import Ended, Job, Reported
from sweeper.executors.process import Processes

BEAT_S = 0.5
PRUNE, PREEMPT = "prune", "preempt"
_REPLY_S = 60.0
# A shared folder may show a new file late.
_LOOKS, _BETWEEN_LOOKS_S = 10, 0.5


class Inbox:
    """An actor beside the driver: beats come in, orders go out with the replies."""

    def __init__(self) -> None:
        self._letters: list[bytes] = []
        self._orders: dict[str, str] = {}
        self._has_some = asyncio.Event()

    async def beat(self, attempt: str, letter: bytes) -> str:
        """Keep a letter for the driver; returns what the attempt is to do, or nothing."""
        self._letters.append(letter)
        self._has_some.set()
        return self._orders.get(attempt, "")

    async def take(self) -> list[bytes]:
        """All letters since the last call; waits for the first."""
        await self._has_some.wait()
        self._has_some.clear()
        letters, self._letters = self._letters, []
        return letters

    async def order(self, orders: dict[str, str]) -> None:
        """Have these attempts told with their next beats."""
        self._orders.update(orders)


class _Beats:
    """Sends what was heard of an attempt to the inbox."""

    def __init__(self, job: Job, inbox: Any) -> None:
        self._key, self._inbox, self._node = key_of(job), inbox, node()
        self._heard: list[tuple[float, Any]] = []  # only appended to, by the attempt's thread
        self._sent = 0

    def heard(self, reported: Reported) -> None:
        self._heard.append((reported.step, reported.metrics))

    def send(self) -> "Future[str]":
        """The next beat; its reply is an order or nothing."""
        letter = json.dumps(self.rest()).encode()
        reply: Future[str] = self._inbox.beat.remote(self._key, letter).future()
        return reply

    def rest(self) -> dict[str, Any]:
        """What no beat has taken yet."""
        first, self._sent = self._sent, len(self._heard)
        points = self._heard[first : self._sent]
        return {"attempt": self._key, "node": self._node, "first": first, "points": points}


def key_of(job: Job) -> str:
    """What an attempt is called between the driver and the nodes."""
    return f"{job.trial_id}/{job.attempt}"


def attempt(data: bytes, inbox: Any, shared: str, word: str, grace_s: float) -> bytes:
    """Perform an attempt on this node; the answer is JSON."""
    job = Job.from_bytes(data)
    mend = look(shared, word)
    if mend:
        return json.dumps({"mend": mend}).encode()
    if not job.is_check:
        job = replace(job, work=workdir.begin(Path(job.folder), job.attempt))
    processes, beats = _processes(grace_s), _Beats(job, inbox)
    raylet = os.getppid()
    beats.send().result(_REPLY_S)  # the lease begins: nothing runs that is not waited for
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(processes.run, job, _slot(), beats.heard)
        while not wait([running], BEAT_S).done:
            if os.getppid() != raylet:
                os._exit(1)  # Ray would let a worker go on whose node is no more
            _obey(beats.send(), running, processes, job)
    return json.dumps(_answer(running.result(), beats)).encode()


def _obey(reply: "Future[str]", running: "Future[Ended]", processes: Processes, job: Job) -> None:
    """Do what the reply says, if it comes before the attempt ends or the next beat is due."""
    both: list[Future[Any]] = [reply, running]
    wait(both, BEAT_S, FIRST_COMPLETED)
    if not reply.done() or reply.exception() is not None:
        return
    if reply.result() == PRUNE:
        processes.prune(job.trial_id, job.attempt)
    elif reply.result() == PREEMPT:
        processes.preempt()


def _answer(ended: Ended, beats: _Beats) -> dict[str, Any]:
    return {
        "mend": ended.mend, "device": ended.device, "ending": asdict(ended.ending), **beats.rest(),
    }  # fmt: skip


@functools.cache
def _processes(grace_s: float) -> Processes:
    """One server of processes for all attempts that this worker gets."""
    here = str(Path.cwd())  # the user's folder: a file `grp.py` there must not hide a library
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in path if p and p != here)
    return Processes(grace_s)


def _slot() -> Slot:
    devices = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    return Slot("cuda:0", ",".join(devices)) if devices else Slot(CPU)


def node() -> str:
    """The address of this node."""
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def look(shared: str, word: str) -> str:
    """Whether this node sees what the driver wrote where the results go; what is wrong if not."""
    return _look_once(shared, word)


@functools.cache
def _look_once(shared: str, word: str) -> str:
    found = ""
    for _ in range(_LOOKS):
        try:
            found = Path(shared).read_text(encoding="utf-8")
        except OSError as error:
            found = repr(error)
        if found == word:
            break
        time.sleep(_BETWEEN_LOOKS_S)
    folder = Path(shared).parent
    if found != word:
        return (
            f"node {node()} does not see the results' folder {folder}: keep it where every node "
            "has it at the same place (NFS, Lustre, EFS, a ReadWriteMany volume), as in --outputs "
            "/shared/outputs."
        )
    if not os.access(folder, os.W_OK):
        return f"node {node()} may not write to the results' folder {folder}: let its user do so."
    return ""
