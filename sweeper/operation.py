"""What may be done to a sweep from another terminal: look at it, and stop it."""

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweeper.errors import RequestError
from sweeper.folders import Outputs
from sweeper.plan import Plan
from sweeper.records import Reader
from sweeper.store_file import holder

# Between the two signals of `--now`: the sweep must have seen the first.
_APART_S = 0.3


@dataclass(frozen=True)
class Running:
    """An attempt that runs now; `arm` is of the first plan that asks for its trial."""

    trial_id: str
    attempt: int
    plan: str
    arm: str
    seed: int | None
    seconds: float


@dataclass(frozen=True)
class SweepStatus:
    """What a folder of results holds, and the process that writes to it, if one does."""

    plans: Sequence[Plan]
    statuses: Mapping[str, str]
    running: Sequence[Running]
    writer: tuple[int, str] | None


def read_status(outputs: Outputs) -> SweepStatus:
    """One short look: a reader that stayed open would let the store's log grow without end."""
    writer = holder(outputs)
    with Reader(outputs) as reader:
        plans = [reader.plan(name) for name in reader.plan_names()]
        statuses, running = reader.statuses(), reader.running()
    if writer is None:  # a sweep that was killed left these behind
        return SweepStatus(
            plans, {t: "waiting" if s == "running" else s for t, s in statuses.items()}, [], None
        )
    places: dict[str, tuple[str, str, int | None]] = {
        c.trial_id: (p.name, c.arm, c.seed) for p in reversed(plans) for c in p.cells
    }
    now = time.time()
    return SweepStatus(
        plans,
        statuses,
        [
            Running(trial_id, attempt, *places.get(trial_id, ("", "", None)), now - started_at)
            for trial_id, attempt, started_at in running
        ],
        writer,
    )


def cancel_sweep(outputs: Outputs, *, now: bool) -> str:
    """Ask the sweep that writes to the folder to stop; returns what was asked of whom.

    Raises RequestError where there is none, or it runs where we cannot reach it.
    """
    found = holder(outputs)
    if found is None:
        raise RequestError(f"no sweep is writing to {outputs.root}: there is nothing to cancel.")
    pid, host = found
    if not pid or host != socket.gethostname():
        raise RequestError(
            f"the sweep that writes to {outputs.root} runs on {host} as process {pid or 'unknown'}:"
            " cancel it there."
        )
    try:
        os.kill(pid, signal.SIGINT)
        if now:
            time.sleep(_APART_S)
            os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return f"process {pid} has just ended."
    except PermissionError:
        raise RequestError(
            f"process {pid} belongs to another user: ask them, or become them, to cancel it."
        ) from None
    if now:
        return f"process {pid} stops now; the same command runs what was running again."
    return f"process {pid} ends once what runs has ended; --now does not wait for that."
