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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sweeper.errors import Pruned
from sweeper.executors.job import Job
from sweeper.executors.perform import perform

F_SETSIG = getattr(fcntl, "F_SETSIG", 10)  # Linux; Python's fcntl names it from 3.13 on


def main(lifeline: Connection, channel: Connection, data: bytes, device: str, visible: str) -> None:
    """The child's life: its own group, the dead man's switch, its log, the trial, the answer."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _die_with(lifeline.fileno())
    job = Job.from_bytes(data)
    os.environ["CUDA_VISIBLE_DEVICES"] = visible  # before CUDA starts: later has no effect
    if not job.is_check:
        _log_to(Path(job.folder) / f"log-{job.attempt}.txt")
    answers = Answers(channel)
    ending, mend = perform(job, device, answers.report)
    sys.stdout.flush()
    sys.stderr.flush()
    answers.last({"ending": vars(ending), "mend": mend})


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


def _log_to(path: Path) -> None:
    """Standard output and error go to the trial's log, line by line, also from grandchildren."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # Whatever a trial prints (half a character, say) is no reason to end it.
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", buffering=1, closefd=False, errors="backslashreplace")
        for number in (1, 2)
    )


class Answers:
    """Lines of JSON to the orchestrator. `report` never waits: what the pipe refuses is kept."""

    def __init__(self, channel: Connection) -> None:
        # Our end alone must not wait: with O_NONBLOCK the orchestrator's would not either.
        self._socket = socket.socket(fileno=os.dup(channel.fileno()))
        self._kept = bytearray()

    def report(self, step: float, metrics: Mapping[str, float]) -> None:
        self._write({"step": step, "metrics": dict(metrics)})
        self._send(socket.MSG_DONTWAIT)
        if self._is_pruned():
            raise Pruned

    def last(self, answer: Mapping[str, Any]) -> None:
        """The final line; this one waits until all has gone out."""
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
