"""An attempt in a fresh process of its own, forked from a server that has torch loaded."""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sweeper.executors import child
from sweeper.executors.devices import Slot
from sweeper.executors.job import Ended, Job, Reported
from sweeper.executors.memory import OomKills
from sweeper.executors.perform import Curve
from sweeper.trial import Ending

Heard = Callable[[Reported], None]

_PRELOAD = ["sweeper.executors.child"]
# With what the built-in choices of `data` and `model` import, which a child would do each time.
_TORCH = ["sweeper.training.loop", "sweeper.training.data", "sweeper.training.models"]
_LOG_TAIL = 2000
# Between its answer and its end: a thread that the user's code left running would hold the slot.
_FAREWELL_S = 5.0
# A child killed before it had a group of its own is killed once more.
_AGAIN_S = 0.1
# A server that died is started anew by the next fork, but the one that finds it dead may fail.
_FORKS = 3
# Its sockets are closed a moment before it can be seen to be dead: until then every fork fails.
_DYING_S = 0.2
# What multiprocessing says of a child whose server died before it could tell the exit code.
_UNKNOWN = 255
# Process.start polls the children of other threads: unlocked, clean ends are read as exit 255.
_processes = threading.Lock()


@dataclass
class _Child:
    """A running attempt: its process and the two ends that it writes to."""

    job: Job
    process: BaseProcess
    channel: Connection
    signals: Connection
    lifeline: Connection  # the kernel kills the child once this end is closed
    was_told: bool = False  # to leave a checkpoint and end
    is_dead: bool = False  # its number may soon be another's

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid


class Processes:
    """Runs attempts, each in a fresh process that is gone, its group with it, when it is over.

    Safe to call from many threads: `run` blocks the thread that calls it.
    """

    def __init__(self, grace_s: float, *, preload_torch: bool = True) -> None:
        self._grace_s = grace_s
        self._children: dict[tuple[str, int], _Child] = {}
        self._talking = threading.Lock()  # no channel is closed, its number reused, while we write
        self._is_closing = False
        self._oom_kills = OomKills()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*_PRELOAD, *(_TORCH if preload_torch else [])])

    def run(self, job: Job, slot: Slot, heard: Heard) -> Ended:
        """Perform an attempt in a process of its own; `heard` is called for each reported point."""
        if self._is_closing:
            return Ended(job, slot.name, Ending("cancelled"))
        started = time.monotonic()
        kills = self._oom_kills.count()
        curve = Curve()
        if not job.is_check:
            Path(job.folder).mkdir(parents=True, exist_ok=True)
        try:
            living = self._fork(job, slot)
        except (OSError, EOFError) as failure:
            reason = f"no process could be started for it ({failure!r})"
            return Ended(job, slot.name, Ending("lost", error=reason, is_chance=True))
        with living.channel, living.signals, living.lifeline:
            try:
                answer, is_late = self._listen(living, curve, heard)
                code = _reap(living)
            finally:
                with self._talking:
                    del self._children[job.trial_id, job.attempt]
            was_told = living.was_told or _was_signalled(living.signals)
        if answer is not None and not is_late:
            return _answered(job, slot, answer, curve, was_told=was_told)
        status, error = self._death(job, code, kills, is_late=is_late, was_told=was_told)
        log = "" if job.is_check else _tail(Path(job.folder) / f"log-{job.attempt}.txt")
        # Of a late one we were the killer; an exit code was the code's own doing.
        is_chance = status == "lost" or (status == "crashed" and code is not None and code < 0)
        took_s = time.monotonic() - started
        ending = Ending(
            status, curve.last(), curve.columns, error + log, took_s, is_chance=is_chance
        )
        return Ended(job, slot.name, ending)

    def prune(self, trial_id: str, attempt: int) -> None:
        """Let the attempt's next report raise Pruned."""
        with self._talking, suppress(OSError, KeyError):  # it has ended meanwhile
            os.write(self._children[trial_id, attempt].channel.fileno(), b"!")

    def preempt(self) -> None:
        """Let every attempt's next report raise Preempted; after the grace they are killed."""
        with self._talking:
            told = [living for living in self._children.values() if not living.was_told]
            for living in told:
                living.was_told = True
                with suppress(ProcessLookupError):
                    os.kill(living.pid, signal.SIGTERM)
        if told:
            late = threading.Timer(self._grace_s, self._kill, [told])
            late.daemon = True
            late.start()

    def close(self) -> None:
        """Kill every process that still runs."""
        self._is_closing = True
        with self._talking:
            running = list(self._children.values())
        self._kill(running)

    def _kill(self, unwanted: list[_Child]) -> None:
        with self._talking:
            for living in unwanted:
                if not living.is_dead:
                    _kill_child(living)

    def _fork(self, job: Job, slot: Slot) -> _Child:
        for left in reversed(range(_FORKS)):
            try:
                return self._fork_once(job, slot)
            except (OSError, EOFError):
                if not left:
                    raise
                time.sleep(_DYING_S)
        raise AssertionError

    def _fork_once(self, job: Job, slot: Slot) -> _Child:
        ours, theirs = self._context.Pipe(duplex=True)
        signals, wakeup = self._context.Pipe(duplex=False)
        lifeline_theirs, lifeline_ours = self._context.Pipe(duplex=False)
        ends = child.Ends(lifeline_theirs, theirs, wakeup)
        process = self._context.Process(
            target=child.main, args=(ends, job.to_bytes(), slot.device, slot.visible), daemon=False
        )
        try:
            with lifeline_theirs, theirs, wakeup:
                # The server starts in this thread's mask: what ends the sweep must not end it.
                signal.pthread_sigmask(signal.SIG_BLOCK, child.TOLD_BY | {signal.SIGINT})
                with _processes, _bare_main(), _safe_path():
                    process.start()
        except BaseException:
            for end in (ours, signals, lifeline_ours):
                end.close()
            raise
        living = _Child(job, process, ours, signals, lifeline_ours)
        with self._talking:
            self._children[job.trial_id, job.attempt] = living
            if self._is_closing:
                _kill_child(living)
        return living

    def _listen(
        self, living: _Child, curve: Curve, heard: Heard
    ) -> tuple[dict[str, Any] | None, bool]:
        """Collect the child's lines until it is dead; returns its answer and if it was late."""
        job, channel, sentinel = living.job, living.channel, living.process.sentinel
        deadline = time.monotonic() + job.timeout_s if job.timeout_s else None
        answer, buffer, is_late = None, b"", False
        sources: list[Any] = [channel, sentinel]
        while sources:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = wait(sources, left)
            if deadline is not None and time.monotonic() >= deadline:
                is_late = is_late or answer is None
                deadline = time.monotonic() + _AGAIN_S
                _kill_group(living.pid)
            if channel in ready:
                data = _read(channel)
                if not data:
                    sources.remove(channel)
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    answer = _heard(job, json.loads(line), curve, heard) or answer
                if answer is not None and not is_late:
                    deadline = time.monotonic() + _FAREWELL_S
            elif sentinel in ready:
                break  # dead, and all that it wrote was read
        return answer, is_late

    def _death(
        self, job: Job, code: int | None, kills: int | None, *, is_late: bool, was_told: bool
    ) -> tuple[str, str]:
        """Status and reason of an attempt that ended without an answer."""
        if is_late:
            return "timeout", f"stopped after its time limit of {job.timeout_s:g} s"
        if was_told or (code is not None and -code in child.TOLD_BY):
            return "preempted", "told to stop before it had ended"
        if code is None:
            return "lost", "the server that starts the trials' processes died, and it with it"
        if code == -signal.SIGKILL and self._oom_kills.took_one(kills):
            return "oom", "killed by the kernel: the machine, or its share of it, is out of memory"
        if code < 0:
            return "crashed", f"killed by signal {_signal_name(-code)}"
        return "crashed", f"the process ended with exit code {code} before it answered"


def _heard(job: Job, line: dict[str, Any], curve: Curve, heard: Heard) -> dict[str, Any] | None:
    if "ending" in line:
        return line
    curve.add(line["step"], line["metrics"])
    heard(Reported(job.trial_id, job.attempt, line["step"], line["metrics"]))
    return None


def _answered(
    job: Job, slot: Slot, answer: dict[str, Any], curve: Curve, *, was_told: bool
) -> Ended:
    """What the child said of itself; told to stop, whatever it failed with came of that."""
    ending = Ending(**{**answer["ending"], "curve": curve.columns})
    if was_told and ending.status in ("failed", "oom") and not answer["mend"]:
        ending = replace(ending, status="preempted")
    return Ended(job, slot.name, ending, answer["mend"])


def _reap(living: _Child) -> int | None:
    """End the whole group, so that no grandchild outlives the trial; then the exit code.

    None where nobody knows it: the server died, and the child that it left is ended here.
    """
    wait([living.process.sentinel])
    living.is_dead = True
    with _processes:
        living.process.join()
    code = living.process.exitcode
    if code == _UNKNOWN and _is_alive(living.pid):
        code = None
    _kill_group(living.pid)
    living.process.close()
    return code


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _was_signalled(signals: Connection) -> bool:
    """Whether somebody told the child to stop: the kernel noted each signal as a byte."""
    if not signals.poll():
        return False
    return bool(child.TOLD_BY & set(os.read(signals.fileno(), 4096)))


def _read(channel: Connection) -> bytes:
    try:
        return os.read(channel.fileno(), 1 << 20)
    except ConnectionError:
        return b""


def _kill_child(living: _Child) -> None:
    """End the child and its group, also before it has made itself one."""
    _kill_group(living.pid)
    with suppress(ProcessLookupError):
        os.kill(living.pid, signal.SIGKILL)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it is gone, or the child died before it had a group


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
