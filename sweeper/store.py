"""The one durable place: a SQLite file that the sweep process alone writes, under a lock."""

import fcntl
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from sweeper.errors import RequestError
from sweeper.folders import Outputs
from sweeper.plan import Plan
from sweeper.trial import FINAL, Ending, Trial

SCHEMA = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trials (
    trial_id TEXT PRIMARY KEY, seed INTEGER NOT NULL, config TEXT NOT NULL,
    status TEXT NOT NULL, attempt INTEGER  -- the attempt that answers the trial
);
CREATE TABLE IF NOT EXISTS attempts (
    trial_id TEXT NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL,
    device TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL, duration_s REAL,
    metrics TEXT, curve BLOB, error TEXT, versions TEXT,
    PRIMARY KEY (trial_id, attempt)
);
CREATE TABLE IF NOT EXISTS plans (
    name TEXT PRIMARY KEY, planned_at REAL NOT NULL, plan BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turns (  -- a search's asks and tells, in their order
    study TEXT NOT NULL, turn INTEGER NOT NULL, what TEXT NOT NULL,
    PRIMARY KEY (study, turn)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Attempt:
    """A stored attempt; `status` is `running` until it has ended."""

    trial_id: str
    attempt: int
    status: str
    device: str
    started_at: float
    ending: Ending


def encode_curve(curve: Mapping[str, list[float | None]]) -> bytes:
    """A whole curve as one compressed value, not a row per point."""
    return zlib.compress(json.dumps(curve, separators=(",", ":")).encode(), 1)


def decode_curve(blob: bytes | None) -> dict[str, list[float | None]]:
    curve: dict[str, list[float | None]] = json.loads(zlib.decompress(blob)) if blob else {}
    return curve


class Reader:
    """Reads of a store, also while a sweep writes to it."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        if not outputs.store.is_file():
            raise RequestError(
                f"{outputs.root} holds no results yet: start with `sweeper run RECIPE`."
            )
        self._db = _connect(outputs, read_only=True)
        _check_schema(self._db, outputs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.DatabaseError):  # a page that only this reading came to
            raise RequestError(_explained(self.outputs, error)) from error

    def plan_names(self) -> list[str]:
        """Every plan that was run, the latest last."""
        rows = self._db.execute("SELECT name FROM plans ORDER BY planned_at, name")
        return [name for (name,) in rows]

    def plan(self, name: str) -> Plan:
        """The plan as it was last run. Raises RequestError where there is none."""
        row = self._db.execute("SELECT plan FROM plans WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise RequestError(
                f"{name!r} was never run into {self.outputs.root}: "
                f"its plans are {', '.join(self.plan_names()) or 'none'}."
            )
        return Plan.from_json(zlib.decompress(row[0]).decode())

    def statuses(self) -> dict[str, str]:
        """The status of every trial ever asked for, by id."""
        return dict(self._db.execute("SELECT trial_id, status FROM trials"))

    def find_trials(self, prefix: str) -> list[str]:
        """The ids that start with these digits, sorted."""
        rows = self._db.execute(
            "SELECT trial_id FROM trials WHERE substr(trial_id, 1, ?) = ? ORDER BY trial_id",
            (len(prefix), prefix),
        )
        return [trial_id for (trial_id,) in rows]

    def trial(self, trial_id: str) -> tuple[Trial, str]:
        """A trial as it was asked, and its status."""
        seed, config, status = self._db.execute(
            "SELECT seed, config, status FROM trials WHERE trial_id = ?", (trial_id,)
        ).fetchone()
        return Trial(trial_id, seed, json.loads(config)), status

    def attempts(self, trial_id: str) -> list[Attempt]:
        """All attempts at a trial, the first first."""
        rows = self._db.execute(
            f"SELECT {_ATTEMPT} FROM attempts WHERE trial_id = ? ORDER BY attempt", (trial_id,)
        )
        return [_attempt(row) for row in rows]

    def answers(self, trial_ids: Iterable[str]) -> Iterator[Attempt]:
        """The attempt that answers each trial, for those that have one."""
        wanted = set(trial_ids)
        columns = ", ".join(f"a.{c}" for c in _ATTEMPT.split(", "))
        rows = self._db.execute(
            f"SELECT {columns} FROM trials t JOIN attempts a "
            "ON a.trial_id = t.trial_id AND a.attempt = t.attempt"
        )
        return (_attempt(row) for row in rows if row[0] in wanted)

    def answer(self, trial_id: str) -> Attempt | None:
        """The attempt that answers one trial, if there is one."""
        found = self._db.execute(
            f"SELECT {_ATTEMPT} FROM attempts WHERE trial_id = ? "
            "AND attempt = (SELECT attempt FROM trials WHERE trial_id = ?)",
            (trial_id, trial_id),
        ).fetchone()
        return _attempt(found) if found else None

    def turns(self, study: str) -> list[dict[str, Any]]:
        """What was asked of and told to a search, in order."""
        rows = self._db.execute("SELECT what FROM turns WHERE study = ? ORDER BY turn", (study,))
        return [json.loads(what) for (what,) in rows]

    def durations(self) -> dict[str, float]:
        """Seconds that each answered trial took."""
        return dict(
            self._db.execute(
                "SELECT t.trial_id, a.duration_s FROM trials t JOIN attempts a "
                "ON a.trial_id = t.trial_id AND a.attempt = t.attempt"
            )
        )


_ATTEMPT = (
    "trial_id, attempt, status, device, started_at, duration_s, metrics, curve, error, versions"
)


def _attempt(row: tuple[Any, ...]) -> Attempt:
    trial_id, attempt, status, device, started_at, duration_s, metrics, curve, error, versions = row
    ending = Ending(
        status=status,
        metrics=json.loads(metrics or "{}"),
        curve=decode_curve(curve),
        error=error or "",
        duration_s=duration_s or 0.0,
        versions=json.loads(versions or "{}"),
    )
    return Attempt(trial_id, attempt, status, device, started_at, ending)


class Store(Reader):
    """The writer: one process at a time, one transaction a turn; nothing counts before it."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self._lock = _lock(outputs)
        try:
            self._db, self._attempts = _open_for_writing(outputs)
        except BaseException:
            os.close(self._lock)
            raise

    def __exit__(self, *_: object) -> None:
        self._db.close()
        os.close(self._lock)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One transaction: results in, next trials out. Rolled back if the body raises."""
        with _translated(self.outputs):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has undone it already
                    self._db.execute("ROLLBACK")
                raise

    def save_plan(self, plan: Plan) -> None:
        """Keep a plan, so that `compare` and `report` need no recipe file."""
        self._db.execute(
            "INSERT OR REPLACE INTO plans VALUES (?, ?, ?)",
            (plan.name, time.time(), zlib.compress(plan.to_json().encode(), 1)),
        )

    def add_trials(self, trials: Iterable[Trial]) -> None:
        """Trials that are asked for; those already known keep what they have."""
        self._db.executemany(
            "INSERT OR IGNORE INTO trials VALUES (?, ?, ?, 'waiting', NULL)",
            ((t.trial_id, t.seed, json.dumps(t.config, sort_keys=True)) for t in trials),
        )

    def start(self, trial_id: str) -> int:
        """Begin a new attempt at a trial; returns its number, from 1."""
        attempt = int(self._attempts.get(trial_id, 0)) + 1
        self._attempts[trial_id] = attempt
        self._db.execute(
            "INSERT INTO attempts (trial_id, attempt, status, device, started_at) "
            "VALUES (?, ?, 'running', '', ?)",
            (trial_id, attempt, time.time()),
        )
        self._db.execute("UPDATE trials SET status = 'running' WHERE trial_id = ?", (trial_id,))
        return attempt

    def end(self, trial_id: str, attempt: int, device: str, ending: Ending, *, again: bool) -> None:
        """Record how an attempt ended; with `again` the trial goes back to waiting."""
        self._db.execute(
            "UPDATE attempts SET status = ?, device = ?, ended_at = ?, duration_s = ?, "
            "metrics = ?, curve = ?, error = ?, versions = ? WHERE trial_id = ? AND attempt = ?",
            (
                ending.status, device, time.time(), ending.duration_s,
                json.dumps(dict(ending.metrics)), encode_curve(ending.curve), ending.error,
                json.dumps(dict(ending.versions)), trial_id, attempt,
            ),
        )  # fmt: skip
        answers = ending.status in FINAL and not again
        self._db.execute(
            "UPDATE trials SET status = ?, attempt = ? WHERE trial_id = ?",
            (ending.status if answers else "waiting", attempt if answers else None, trial_id),
        )

    def add_turn(self, study: str, turn: int, what: Mapping[str, Any]) -> None:
        """Record an ask or a tell of a search."""
        self._db.execute(
            "INSERT INTO turns VALUES (?, ?, ?)", (study, turn, json.dumps(dict(what)))
        )

    def forget(self, trial_ids: Iterable[str]) -> None:
        """Send trials back to waiting; their attempts stay on record."""
        self._db.executemany(
            "UPDATE trials SET status = 'waiting', attempt = NULL WHERE trial_id = ?",
            ((trial_id,) for trial_id in trial_ids),
        )

    def cancel_running(self) -> int:
        """Attempts that an orchestrator left behind when it died: charged to nobody."""
        with self.turn():
            done = self._db.execute(
                "UPDATE attempts SET status = 'cancelled', ended_at = ?, "
                "error = 'the orchestrator ended before this attempt did' WHERE status = 'running'",
                (time.time(),),
            )
            self._db.execute("UPDATE trials SET status = 'waiting' WHERE status = 'running'")
        return done.rowcount

    def tally(self, trial_id: str, statuses: Iterable[str]) -> int:
        """How many attempts at a trial ended in one of these."""
        rows = self._db.execute("SELECT status FROM attempts WHERE trial_id = ?", (trial_id,))
        wanted = set(statuses)
        return sum(status in wanted for (status,) in rows)


def _lock(outputs: Outputs) -> int:
    """Hold the folder for one writer. The kernel frees the lock when the process dies."""
    try:
        outputs.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(outputs.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RequestError(
            f"cannot write to {outputs.root} ({error.strerror}): choose another with --outputs DIR."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise RequestError(
            f"another sweep (process {holder or 'unknown'}) is writing to {outputs.root}: wait for "
            "it, stop it, or choose another folder with --outputs DIR."
        ) from None
    os.truncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle


def _open_for_writing(outputs: Outputs) -> tuple[sqlite3.Connection, dict[str, int]]:
    """The store, made where there is none, and how many attempts each trial has had.

    A store of a newer version is left as it is.
    """
    db = _connect(outputs, read_only=False)
    try:
        with _translated(outputs):
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                _check_schema(db, outputs)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA cache_size = -65536")  # KiB: pages of 100,000 trials
            db.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.split(";")[:-1]:
                db.execute(statement)
            db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
            db.execute("COMMIT")
            had = db.execute("SELECT trial_id, max(attempt) FROM attempts GROUP BY trial_id")
            return db, dict(had)
    except BaseException:
        db.close()
        raise


def is_being_written(outputs: Outputs) -> bool:
    """Whether a sweep holds the folder now."""
    try:
        handle = os.open(outputs.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _connect(outputs: Outputs, *, read_only: bool) -> sqlite3.Connection:
    with _translated(outputs):
        uri = f"{outputs.store.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        # Tables are written by a thread of their own, each with a connection of its own.
        db = sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None)
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the file is read only here
        return db


def _check_schema(db: sqlite3.Connection, outputs: Outputs) -> None:
    with _translated(outputs):
        row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None or int(row[0]) > SCHEMA:
        raise RequestError(
            f"{outputs.store} was written by a newer version of sweeper "
            f"(store {row[0] if row else '?'}, this version reads {SCHEMA}): upgrade sweeper, or "
            "choose another folder with --outputs DIR."
        )


@contextmanager
def _translated(outputs: Outputs) -> Iterator[None]:
    """SQLite's errors as one message with the mend."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise RequestError(_explained(outputs, error)) from error


def _explained(outputs: Outputs, error: sqlite3.DatabaseError) -> str:
    code = getattr(error, "sqlite_errorname", "") or ""
    place = outputs.store
    if code.startswith("SQLITE_FULL"):
        return (
            f"the disk of {place} is full: make room and run the same command again; nothing that "
            "was recorded is lost."
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return f"cannot write to {place} ({error}): choose another folder with --outputs DIR."
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or "no such table" in str(error):
        return (
            f"{place} is damaged or no store of sweeper ({error}): move it away (its CSV tables "
            "stay) or choose another folder with --outputs DIR."
        )
    return f"the store {place} answered: {error}."
