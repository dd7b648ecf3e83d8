"""What runs in a trial's own process: from the fork to the last line it answers."""

import fcntl
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sweeper.errors import Preempted, Pruned
from sweeper.executors import memory
from sweeper.executors.job import Job
from sweeper.executors.log import log_to
from sweeper.executors.perform import perform

F_SETSIG = getattr(fcntl, "F_SETSIG", 10)  # Linux; Python's fcntl names it from 3.13 on


# Who wants the trial's place back says so with one of these (NCCL keeps USR1 for itself).
TOLD_BY = {signal.SIGTERM, signal.SIGUSR2}


@dataclass(frozen=True)
class Ends:
    """The child's ends of what ties it to its orchestrator."""

    lifeline: Connection  # closes when the orchestrator dies
    channel: Connection  # answers go out; a byte in means: pruned
    wakeup: Connection  # the interpreter writes the number of each signal that comes


def main(ends: Ends, data: bytes, device: str, visible: str) -> None:
    """The child's life: its own group, the dead man's switch, its log, the trial, the answer."""
    os.setsid()
    _die_with(ends.lifeline.fileno())
    answers = Answers(ends.channel)
    _listen_for_signals(ends.wakeup.fileno(), answers)
    job = Job.from_bytes(data)
    os.environ["CUDA_VISIBLE_DEVICES"] = visible  # before CUDA starts: later has no effect
    if not job.is_check:
        log_to(Path(job.folder) / f"log-{job.attempt}.txt")
    if job.memory_mib:
        memory.limit(job.memory_mib)
    ending, mend = perform(job, device, answers.report)
    sys.stdout.flush()
    sys.stderr.flush()
    answers.last({"ending": vars(ending), "mend": mend})


def _listen_for_signals(wakeup: int, answers: "Answers") -> None:
    """Let the next report tell the trial to stop; note the signal even while Python cannot run."""
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    for number in TOLD_BY:
        signal.signal(number, answers.preempt)
    # A Ctrl-C that came before this process had left the terminal's group was for the sweep.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    block = partial(signal.pthread_sigmask, signal.SIG_BLOCK, TOLD_BY)
    unblock = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, TOLD_BY)
    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=_forget_signals)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_BY | {signal.SIGINT})


def _forget_signals() -> None:
    """The user's own processes end at SIGTERM as ever: a pool is ended so."""
    signal.set_wakeup_fd(-1)
    for number in TOLD_BY:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_BY)


def _die_with(lifeline: int) -> None:
    """Let the kernel kill this whole group once the orchestrator's end of the pipe closes.

    Our parent is the forkserver, so PR_SET_PDEATHSIG would not fire; and no thread would run in a
    process that is stopped or holds the interpreter's lock.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:  # it closed before the switch was armed
            os.killpg(0, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


class Answers:
    """Lines of JSON to the orchestrator. `report` never waits: what the pipe refuses is kept."""

    def __init__(self, channel: Connection) -> None:
        # Our end alone must not wait: with O_NONBLOCK the orchestrator's would not either.
        self._socket = socket.socket(fileno=os.dup(channel.fileno()))
        self._kept = bytearray()
        self._pid = os.getpid()
        self._is_preempted = False

    def preempt(self, *_: object) -> None:
        """The handler of the signals that want the place back."""
        self._is_preempted = True

    def report(self, step: float, metrics: Mapping[str, float]) -> None:
        if os.getpid() != self._pid:
            return  # a fork of the user's does not speak for the trial
        self._write({"step": step, "metrics": dict(metrics)})
        self._send(socket.MSG_DONTWAIT)
        if self._is_pruned():
            raise Pruned
        if self._is_preempted:
            raise Preempted

    def last(self, answer: Mapping[str, Any]) -> None:
        """The final line; this one waits until all has gone out."""
        if os.getpid() != self._pid:
            os._exit(1)  # a fork that came back out of the user's code is none of ours
        self._write(answer)
        while self._kept:
            self._send(0)

    def _write(self, answer: Mapping[str, Any]) -> None:
        self._kept += json.dumps(answer).encode() + b"\n"

    def _send(self, flags: int) -> None:
        try:
            while self._kept:
                del self._kept[: self._socket.send(self._kept[:65536], flags)]
        except BlockingIOError:
            return

    def _is_pruned(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])
