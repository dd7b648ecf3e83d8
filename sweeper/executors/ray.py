"""Trials as Ray core tasks, on whatever machines a Ray cluster has at the moment.

Ray places tasks and tells of dead workers and nodes; it retries nothing. Attempts, and which of
them counts, are the sweep's own business: an attempt that nothing is heard of for its lease is
given up as lost, and if it comes back, it ends a second time.
"""

import json
import math
import queue
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper.errors import RequestError
from sweeper.executors import ray_node, workdir
from sweeper.executors.job import Ended, Job, Judge, Reported
from sweeper.executors.perform import Curve
from sweeper.trial import RESULTS, Ending

# How long the loop may wait without a look at what a signal's handler asked for.
_PATIENCE_S = 0.2
# Longer between two looks than this, and it was we who did not listen.
_ATTENTION_S = 2.0
_REFRESH_S = 1.0
_LOOK_S = 120.0  # a node may first have to unpack what is shipped and start a worker
_EVERY_FILE = ".seen-by-every-node"


@dataclass(frozen=True)
class Needs:
    """What one trial takes of a node."""

    cpus: float
    devices: int = 0  # whole ones; none for trials on the cpu
    per_device: int = 1

    @property
    def gpus(self) -> float:
        """As Ray counts them, in ten-thousandths."""
        if self.per_device > 1:
            return math.floor(10_000 / self.per_device) / 10_000
        return float(self.devices)

    def fit(self, resources: dict[str, float]) -> int:
        """How many trials such a node holds."""
        by_cpu = int(resources.get("CPU", 0) / self.cpus + 1e-6)
        if not self.devices:
            return by_cpu
        return min(by_cpu, int(resources.get("GPU", 0)) // self.devices * self.per_device)

    def shares(self, job: Job) -> int:
        return self.per_device if job.alone else 1

    def options(self, job: Job) -> dict[str, Any]:
        gpus = float(self.devices) if job.alone else self.gpus
        return {"num_cpus": self.cpus, "num_gpus": gpus, "name": ray_node.key_of(job)}


@dataclass
class _Flight:
    """An attempt on its way, and what was heard of it."""

    job: Job
    ref: Any
    node: str = ""
    heard_at: float | None = None  # by the clock that runs while we listen; None: has not begun
    points: int = 0
    curve: Curve = field(default_factory=Curve)
    is_lost: bool = False
    answer: dict[str, Any] | None = None  # its points are not all here yet


class RayExecutor:
    """Hands each job to Ray as a task with a share of a GPU, or with CPUs.

    `slots` limits how many tasks Ray is given at once, and lets a cluster that grows by demand
    grow to it; without, there are as many as the nodes hold now.
    """

    def __init__(
        self, needs: Needs, outputs: Path, lease_s: float, grace_s: float, slots: int | None = None
    ) -> None:
        self._needs, self._lease_s, self._limit = needs, lease_s, slots
        self._flights: dict[str, _Flight] = {}
        self._settled: dict[str, int] = {}  # by trial: whose work folder was taken over last
        self._queue: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._must_preempt = False
        self._clock = 0.0
        self._looked_at = self._refreshed_at = time.monotonic()
        self._every = outputs.resolve() / _EVERY_FILE
        self._word = secrets.token_hex(8)
        self._shares = self._count_shares()
        try:
            self._check_nodes()
            self._inbox = self._make_inbox()
        except RequestError:
            self._every.unlink(missing_ok=True)
            raise
        # By default Ray ends a worker after each task that has a GPU: 0.8 s a trial.
        task: Any = ray.remote(max_calls=0, max_retries=0)(ray_node.attempt)
        self._submit: Callable[[Job], Any] = lambda job: task.options(**needs.options(job)).remote(
            job.to_bytes(), self._inbox, str(self._every), self._word, grace_s
        )
        self._listen()

    @property
    def slots(self) -> int:
        if self._limit:
            return self._limit
        now = time.monotonic()
        if now - self._refreshed_at > _REFRESH_S:
            self._refreshed_at, self._shares = now, self._count_shares()
        return max(1, self._shares)  # with no node at all, one task waits for the first

    def room(self) -> int:
        taken = (self._needs.shares(f.job) for f in self._flights.values() if not f.is_lost)
        return max(0, self.slots - sum(taken))

    def start(self, job: Job) -> None:
        key, ref = ray_node.key_of(job), self._submit(job)
        self._flights[key] = _Flight(job, ref)
        ref.future().add_done_callback(lambda answer: self._queue.put((key, answer)))

    def drop(self) -> list[Job]:
        unheard = [key for key, flight in self._flights.items() if flight.heard_at is None]
        dropped = [self._flights.pop(key) for key in unheard]
        for flight in dropped:
            ray.cancel(flight.ref, force=True)
        return [flight.job for flight in dropped]

    def events(self, judge: Judge) -> list[Ended]:
        ended: list[Ended] = []
        if self._must_preempt:
            self._must_preempt = False
            waiting = Ending("preempted", error="told to stop before it had begun")
            ended += [Ended(job, "", waiting) for job in self.drop()]
            self._order(ray_node.PREEMPT, list(self._flights))
        for key, future in self._arrived():
            if key:
                ended += self._answered(key, future)
            else:
                self._read(future, judge)
                self._listen()
        self._let_time_pass()
        ended += [self._land(key, judge) for key in self._complete()]
        return ended + self._expired()

    def preempt(self) -> None:
        self._must_preempt = True

    def close(self) -> None:
        """Ray ends the workers of a driver that leaves, and the trials with them."""
        self._every.unlink(missing_ok=True)
        ray.shutdown()

    def _listen(self) -> None:
        self._inbox.take.remote().future().add_done_callback(
            lambda letters: self._queue.put(("", letters))
        )

    def _arrived(self) -> Iterator[tuple[str, "Future[Any]"]]:
        """What lies in the queue, after a short wait for the first."""
        try:
            yield self._queue.get(timeout=_PATIENCE_S)
            while True:
                yield self._queue.get_nowait()
        except queue.Empty:
            return

    def _read(self, letters: "Future[list[bytes]]", judge: Judge) -> None:
        if letters.exception() is not None:  # the inbox died; Ray starts another
            time.sleep(_PATIENCE_S)
            return
        for letter in map(json.loads, letters.result()):
            flight = self._flights.get(letter["attempt"])
            if flight is not None:
                flight.node, flight.heard_at = letter["node"], self._clock
                self._hear(flight, letter, judge)

    def _hear(self, flight: _Flight, letter: dict[str, Any], judge: Judge) -> None:
        """Pass on the points that are new; the answer brings some that a letter may have too."""
        job, known = flight.job, flight.points - letter["first"]
        for step, metrics in letter["points"][max(0, known) :]:
            flight.curve.add(step, metrics)
            if judge(Reported(job.trial_id, job.attempt, step, metrics)):
                self._order(ray_node.PRUNE, [ray_node.key_of(job)])
        flight.points = max(flight.points, letter["first"] + len(letter["points"]))

    def _order(self, order: str, keys: list[str]) -> None:
        self._inbox.order.remote(dict.fromkeys(keys, order))

    def _answered(self, key: str, future: "Future[bytes]") -> list[Ended]:
        """An attempt's task is over: it failed, or its answer waits until all points are here."""
        flight = self._flights.get(key)
        if flight is None:
            return []  # it was dropped
        error = future.exception()
        if error is None:
            flight.answer, flight.heard_at = json.loads(future.result()), self._clock
            return []
        del self._flights[key]
        if flight.is_lost:
            return []
        return [self._death(flight, error)]

    def _complete(self) -> list[str]:
        """The answered attempts whose letters have all come, or will not come any more."""
        return [
            key
            for key, flight in self._flights.items()
            if flight.answer is not None and flight.heard_at is not None
            if flight.points >= flight.answer.get("first", 0)
            or self._clock - flight.heard_at > _ATTENTION_S
        ]

    def _land(self, key: str, judge: Judge) -> Ended:
        flight = self._flights.pop(key)
        answer, job = flight.answer, flight.job
        assert answer is not None
        if "ending" not in answer:
            return Ended(job, "", Ending("cancelled"), answer["mend"])
        self._hear(flight, answer, judge)
        ending = Ending(**answer["ending"])
        if ending.status == "oom" and self._had_company(job):
            ending = replace(ending, is_chance=True)
        self._settle(job, ending.status)
        return Ended(job, f"{answer['device']}@{answer['node']}", ending, answer["mend"])

    def _had_company(self, job: Job) -> bool:
        return self._needs.per_device > 1 and not job.alone and not job.memory_mib

    def _settle(self, job: Job, status: str) -> None:
        """Let the next attempt go on where this one ended; one that it overtook may stop."""
        others = [f.job for f in self._flights.values() if f.job.trial_id == job.trial_id]
        is_latest = all(other.attempt < job.attempt for other in others)
        if status in RESULTS:
            self._order(ray_node.PREEMPT, [ray_node.key_of(other) for other in others])
        elif not is_latest:
            return
        if not job.is_check and job.attempt > self._settled.get(job.trial_id, 0):
            self._settled[job.trial_id] = job.attempt
            workdir.promote(Path(job.folder), job.attempt)

    def _let_time_pass(self) -> None:
        now = time.monotonic()
        self._clock += min(now - self._looked_at, _ATTENTION_S)
        self._looked_at = now

    def _expired(self) -> list[Ended]:
        ended = []
        for flight in self._flights.values():
            if flight.heard_at is None or flight.is_lost or flight.answer is not None:
                continue
            if self._clock - flight.heard_at > self._lease_s:
                flight.is_lost = True
                error = f"nothing was heard of node {flight.node} for {self._lease_s:g} s"
                ended.append(self._lost(flight, "lost", error))
        return ended

    def _death(self, flight: _Flight, error: BaseException) -> Ended:
        if isinstance(error, exceptions.RuntimeEnvSetupError):
            mend = f"the nodes cannot unpack what is shipped to them: {_said(error)}"
            return Ended(flight.job, "", Ending("cancelled"), mend)
        if isinstance(error, exceptions.OutOfMemoryError):
            text = f"Ray ended it: node {flight.node or '?'} is out of memory"
            return self._lost(flight, "oom", text, is_chance=self._had_company(flight.job))
        return self._lost(flight, "lost", f"node {flight.node or '?'} lost it: {_said(error)}")

    def _lost(self, flight: _Flight, status: str, error: str, *, is_chance: bool = True) -> Ended:
        curve = flight.curve
        ending = Ending(status, curve.last(), dict(curve.columns), error, is_chance=is_chance)
        return Ended(flight.job, f"?@{flight.node}" if flight.node else "", ending)

    def _count_shares(self) -> int:
        return sum(self._needs.fit(node["Resources"]) for node in _alive())

    def _make_inbox(self) -> Any:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(ray_node.Inbox).options(
            num_cpus=0, max_restarts=-1, max_concurrency=10_000, scheduling_strategy=here
        )
        inbox: Any = actor.remote()
        try:
            ray.get(inbox.order.remote({}), timeout=_LOOK_S)
        except exceptions.RayError as error:
            raise RequestError(
                f"the cluster cannot talk to this process ({_said(error)}): if it was started "
                "without a token, start it with RAY_AUTH_MODE=token, or set RAY_AUTH_MODE=disabled "
                "here too (docs/cluster.md)."
            ) from None
        return inbox

    def _check_nodes(self) -> None:
        """Before anything is spent: does a node hold a trial, and do all see the results?"""
        if not self._shares and not self._limit:
            raise RequestError(
                f"no node of the Ray cluster has the {_shown(self._needs)} that a trial asks for: "
                "let one join, ask for less (executor.cpus_per_trial, executor.devices_per_trial), "
                "or give executor.slots where the cluster grows by demand."
            )
        self._every.write_text(self._word, encoding="utf-8")  # and `close` takes it away
        look: Any = ray.remote(ray_node.look)
        nodes = [node for node in _alive() if self._needs.fit(node["Resources"])]
        places = [NodeAffinitySchedulingStrategy(n["NodeID"], soft=False) for n in nodes]
        looks = [
            look.options(num_cpus=0, scheduling_strategy=place).remote(str(self._every), self._word)
            for place in places
        ]
        for node, found in zip(nodes, looks, strict=True):
            mend = _result_of(found, node["NodeManagerAddress"])
            if mend:
                raise RequestError(mend)


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _result_of(look: Any, node: str) -> str:
    try:
        return str(ray.get(look, timeout=_LOOK_S))
    except (exceptions.NodeDiedError, exceptions.WorkerCrashedError):
        return ""  # it has left; what runs on it is lost in good time
    except (exceptions.RayError, ImportError) as error:
        return (
            f"node {node} cannot run trials ({_said(error)}): give every node the same Python "
            "and packages as this machine (docs/cluster.md)."
        )


def _said(error: BaseException) -> str:
    """The first line that says something, of Ray's many."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0] if lines else ''}"


def _shown(needs: Needs) -> str:
    gpus = f"{needs.gpus:g} GPU and " if needs.devices else ""
    return f"{gpus}{needs.cpus:g} CPU"
