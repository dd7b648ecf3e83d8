"""A fresh process for each trial, forked from a server that has torch loaded, on this machine."""

import json
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from sweeper.executors import child
from sweeper.executors.devices import Slot
from sweeper.executors.job import Ended, Job, Judge, Reported
from sweeper.executors.perform import Curve
from sweeper.trial import Ending

_PRELOAD = ["sweeper.executors.child", "sweeper.training.loop"]
_LOG_TAIL = 2000
# Between its answer and its end: a thread that the user's code left running would hold the slot.
_FAREWELL_S = 5.0
# A child killed before it had a group of its own is killed once more.
_AGAIN_S = 0.1
# Process.start polls the children of other threads: unlocked, clean ends are read as exit 255.
_processes = threading.Lock()


class LocalExecutor:
    """joblib runs one thread a slot; each takes jobs and gives every one a process of its own."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = len(slots)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Reported | Ended | BaseException] = queue.SimpleQueue()
        self._unfinished = 0
        self._children: dict[str, Connection] = {}  # what talks to each running trial
        self._talking = threading.Lock()  # no channel is closed, its number reused, while we write
        self._groups: set[int] = set()
        self._is_closing = False
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)
        self._server = threading.Thread(target=self._serve_all, args=(slots,), daemon=True)
        self._server.start()

    def room(self) -> int:
        return self.slots - self._unfinished

    def start(self, job: Job) -> None:
        self._unfinished += 1
        self._jobs.put(job)

    def drop(self) -> list[Job]:
        return []  # there is a slot for every job that there was room for

    def events(self, judge: Judge) -> list[Ended]:
        ended = []
        for event in self._arrived():
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Ended):
                self._unfinished -= 1
                ended.append(event)
            elif judge(event):
                self._prune(event.trial_id)
        return ended

    def _arrived(self) -> Iterator[Reported | Ended | BaseException]:
        """What lies in the inbox, after at most a second's wait for the first."""
        try:
            yield self._inbox.get(timeout=1.0)
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _prune(self, trial_id: str) -> None:
        with self._talking:
            channel = self._children.get(trial_id)
            if channel is not None:
                with suppress(OSError):  # it has ended meanwhile
                    os.write(channel.fileno(), b"!")

    def close(self) -> None:
        self._is_closing = True
        for _ in range(self.slots):
            self._jobs.put(None)
        for group in list(self._groups):
            _kill_group(group)
        self._server.join(timeout=10.0)

    def _serve_all(self, slots: Sequence[Slot]) -> None:
        try:
            Parallel(n_jobs=len(slots), backend="threading")(
                delayed(self._serve)(slot) for slot in slots
            )
        except BaseException as error:  # noqa: BLE001 - raised again by `events`
            self._inbox.put(error)

    def _serve(self, slot: Slot) -> None:
        while (job := self._jobs.get()) is not None and not self._is_closing:
            self._inbox.put(self._run(job, slot))

    def _run(self, job: Job, slot: Slot) -> Ended:
        started = time.monotonic()
        if not job.is_check:
            Path(job.folder).mkdir(parents=True, exist_ok=True)
        curve = Curve()
        ours, theirs = self._context.Pipe(duplex=True)
        lifeline_theirs, lifeline_ours = self._context.Pipe(duplex=False)
        with ours, lifeline_ours:
            with theirs, lifeline_theirs:
                process = self._fork(lifeline_theirs, theirs, job, slot)
            self._children[job.trial_id] = ours
            try:
                answer, is_late = self._listen(job, process, ours, curve)
                exit_code = self._reap(process)
            finally:
                with self._talking:
                    del self._children[job.trial_id]
        took_s = time.monotonic() - started
        name = slot.visible or slot.device
        if answer is not None and not is_late:
            ending = Ending(**{**answer["ending"], "curve": curve.columns})
            return Ended(job, name, ending, answer["mend"])
        status, error = _death(job, exit_code, is_late=is_late)
        log = "" if job.is_check else _tail(Path(job.folder) / f"log-{job.attempt}.txt")
        is_chance = status == "crashed" and exit_code < 0  # of a late one we were the killer
        ending = Ending(
            status, curve.last(), curve.columns, error + log, took_s, is_chance=is_chance
        )
        return Ended(job, name, ending)

    def _fork(self, lifeline: Connection, channel: Connection, job: Job, slot: Slot) -> BaseProcess:
        arguments = (lifeline, channel, job.to_bytes(), slot.device, slot.visible)
        process = self._context.Process(target=child.main, args=arguments, daemon=False)
        # The server starts in this thread's mask: Ctrl-C is for the sweep, not for what it started.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        with _processes, _bare_main(), _safe_path():
            process.start()
        assert process.pid is not None
        self._groups.add(process.pid)
        return process

    def _listen(
        self, job: Job, process: BaseProcess, channel: Connection, curve: Curve
    ) -> tuple[dict[str, Any] | None, bool]:
        """Collect the child's lines until it is dead; returns its answer and if it was late."""
        deadline = time.monotonic() + job.timeout_s if job.timeout_s else None
        answer, buffer, is_late = None, b"", False
        sources: list[Any] = [channel, process.sentinel]
        while sources:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = wait(sources, left)
            if deadline is not None and time.monotonic() >= deadline:
                is_late = is_late or answer is None
                deadline = time.monotonic() + _AGAIN_S
                _kill_group(process.pid)
            if channel in ready:
                data = _read(channel)
                if not data:
                    sources.remove(channel)
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    answer = self._heard(job, json.loads(line), curve) or answer
                if answer is not None and not is_late:
                    deadline = time.monotonic() + _FAREWELL_S
            elif process.sentinel in ready:
                break  # dead, and all that it wrote was read
        return answer, is_late

    def _heard(self, job: Job, line: dict[str, Any], curve: Curve) -> dict[str, Any] | None:
        if "ending" in line:
            return line
        curve.add(line["step"], line["metrics"])
        self._inbox.put(Reported(job.trial_id, job.attempt, line["step"], line["metrics"]))
        return None

    def _reap(self, process: BaseProcess) -> int:
        """End the whole group, so that no grandchild outlives the trial; then the exit code."""
        wait([process.sentinel])
        with _processes:
            process.join()
        _kill_group(process.pid)
        self._groups.discard(process.pid or 0)
        code = process.exitcode
        process.close()
        return 255 if code is None else code


def _read(channel: Connection) -> bytes:
    try:
        return os.read(channel.fileno(), 1 << 20)
    except ConnectionError:
        return b""


def _kill_group(group: int | None) -> None:
    if group:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # it is gone, or the child died before it had a group


def _death(job: Job, exit_code: int, *, is_late: bool) -> tuple[str, str]:
    if is_late:
        return "timeout", f"stopped after its time limit of {job.timeout_s:g} s"
    if exit_code < 0:
        return "crashed", f"killed by signal {_signal_name(-exit_code)}"
    return "crashed", f"the process ended with exit code {exit_code} before it answered"


def _signal_name(number: int) -> str:
    """Real-time signals, a library's own business, have no names."""
    return {s.value: s.name for s in signal.Signals}.get(number, str(number))


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL))
            text = file.read().decode(errors="replace").strip()
    except OSError:
        return ""
    return f"\n{text}" if text else ""


@contextmanager
def _bare_main() -> Iterator[None]:
    """Hide our `__main__` from the child, which would import it again: 30 ms instead of 11."""
    kept = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = kept


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the current folder off the server's path: a user's `grp.py` there would break torch."""
    kept = {key: os.environ.get(key) for key in ("PYTHONSAFEPATH", "OMP_NUM_THREADS")}
    os.environ.update(PYTHONSAFEPATH="1", OMP_NUM_THREADS="1")
    try:
        yield
    finally:
        for key, value in kept.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
