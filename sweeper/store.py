"""The one durable place: a SQLite file that the sweep process alone writes, under a lock."""

import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from sweeper.fingerprint import digest_of
from sweeper.folders import Outputs
from sweeper.masking import masked
from sweeper.plan import Plan
from sweeper.records import ADDED, SCHEMA, Reader, added_columns, encode_curve
from sweeper.store_file import (
    BUSY_S,
    check_schema,
    connect,
    has_tables,
    lock,
    translated,
)
from sweeper.trial import FINAL, Ending, Trial

# SQLite begins its log anew after 4 MiB, unless there is always some reader of the old one.
_LOG_BYTES = 16 << 20

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
CREATE TABLE IF NOT EXISTS fingerprints (  -- what attempts ran with, and what folders held
    digest TEXT PRIMARY KEY, content BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plans (
    name TEXT PRIMARY KEY, planned_at REAL NOT NULL, plan BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turns (  -- a search's asks and tells, in their order
    study TEXT NOT NULL, turn INTEGER NOT NULL, what TEXT NOT NULL,
    PRIMARY KEY (study, turn)
) WITHOUT ROWID;
"""


class Store(Reader):
    """The writer: one process at a time, one transaction a turn; nothing counts before it."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self._lock = lock(outputs)
        self._log_limit = _LOG_BYTES
        self._recorded: set[str] = set()  # fingerprints that this process has written
        try:
            self._db, self._attempts = _open_for_writing(outputs)
        except BaseException:
            os.close(self._lock)
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            os.close(self._lock)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One transaction: results in, next trials out. Rolled back if the body raises."""
        with translated(self.outputs):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has undone it already, and may refuse this too: what is lost is
                # the turn, and what is said is the first that went wrong.
                with suppress(sqlite3.DatabaseError):
                    self._db.execute("ROLLBACK")
                self._recorded.clear()
                raise
        self._shorten_log()

    def _shorten_log(self) -> None:
        """Begin SQLite's log anew where readers, one upon the other, have kept it from doing so.

        One that stays keeps the log: it is tried again when as much more has been written.
        """
        with suppress(OSError, sqlite3.DatabaseError):  # all is committed: nothing here may fail
            log = self.outputs.store.with_name(self.outputs.store.name + "-wal")
            if log.stat().st_size > self._log_limit:
                self._db.execute("PRAGMA busy_timeout = 500")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._db.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")
                self._log_limit = log.stat().st_size + _LOG_BYTES

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
            ((t.trial_id, t.seed, json.dumps(masked(t.config), sort_keys=True)) for t in trials),
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
        """Record how an attempt ended; with `again` the trial goes back to waiting.

        A superseded attempt changes nothing of its trial: another one answers it.
        """
        self._db.execute(
            "UPDATE attempts SET status = ?, device = ?, ended_at = ?, duration_s = ?, "
            "metrics = ?, curve = ?, error = ?, versions = ?, fingerprint = ?, read_keys = ? "
            "WHERE trial_id = ? AND attempt = ?",
            (
                ending.status, device, time.time(), ending.duration_s,
                json.dumps(dict(ending.metrics)), encode_curve(ending.curve), ending.error,
                json.dumps(dict(ending.versions)), self._fingerprint(ending),
                None if ending.read is None else json.dumps(list(ending.read)), trial_id, attempt,
            ),
        )  # fmt: skip
        if ending.status == "superseded":
            return
        answers = ending.status in FINAL and not again
        self._db.execute(
            "UPDATE trials SET status = ?, attempt = ? WHERE trial_id = ?",
            (ending.status if answers else "waiting", attempt if answers else None, trial_id),
        )

    def _fingerprint(self, ending: Ending) -> str | None:
        if not ending.sources and not ending.data:
            return None
        content = {"sources": dict(ending.sources), "data": dict(ending.data)}
        digest = digest_of(content)
        if digest not in self._recorded:
            self.add_content(digest, content)
            self._recorded.add(digest)
        return digest

    def add_content(self, digest: str, content: Mapping[str, Any]) -> None:
        """Record what a fingerprint, or a folder's digest, stands for."""
        blob = zlib.compress(json.dumps(dict(content)).encode(), 1)
        self._db.execute("INSERT OR IGNORE INTO fingerprints VALUES (?, ?)", (digest, blob))

    def keep(self, trial_id: str, attempt: int, fingerprint: str) -> None:
        """Let an attempt count although its files are by now as this fingerprint says."""
        self._db.execute(
            "UPDATE attempts SET kept = ? WHERE trial_id = ? AND attempt = ?",
            (fingerprint, trial_id, attempt),
        )

    def set_aside(self, study: str, kept: int = 0) -> None:
        """Let a search begin anew, or after its first turns; all of it stays under another name."""
        before = f"{study} before %"
        (earlier,) = self._db.execute(
            "SELECT count(DISTINCT study) FROM turns WHERE study LIKE ?", (before,)
        ).fetchone()
        self._db.execute(
            "UPDATE turns SET study = ? WHERE study = ?", (f"{study} before {earlier + 1}", study)
        )
        self._db.execute(
            "INSERT INTO turns SELECT ?, turn, what FROM turns WHERE study = ? AND turn < ?",
            (study, f"{study} before {earlier + 1}", kept),
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

    def attempt_status(self, trial_id: str, attempt: int) -> str | None:
        """How an attempt ended, or `running`; None where there was no such attempt."""
        row = self._db.execute(
            "SELECT status FROM attempts WHERE trial_id = ? AND attempt = ?", (trial_id, attempt)
        ).fetchone()
        return row[0] if row else None

    def tally(self, trial_id: str, statuses: Iterable[str]) -> int:
        """How many attempts at a trial ended in one of these."""
        rows = self._db.execute("SELECT status FROM attempts WHERE trial_id = ?", (trial_id,))
        wanted = set(statuses)
        return sum(status in wanted for (status,) in rows)


def _open_for_writing(outputs: Outputs) -> tuple[sqlite3.Connection, dict[str, int]]:
    """The store, made where there is none, and how many attempts each trial has had.

    A store of a newer version is left as it is.
    """
    with translated(outputs):
        db = connect(outputs.store, "mode=rwc")
    try:
        with translated(outputs):
            if has_tables(db):
                check_schema(db, outputs, SCHEMA)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA cache_size = -65536")  # KiB: pages of 100,000 trials
            db.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.split(";")[:-1]:
                db.execute(statement)
            for name in ADDED.keys() - added_columns(db):
                db.execute(f"ALTER TABLE attempts ADD COLUMN {name} {ADDED[name]}")
            db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
            db.execute("COMMIT")
            had = db.execute("SELECT trial_id, max(attempt) FROM attempts GROUP BY trial_id")
            return db, dict(had)
    except BaseException:
        db.close()
        raise
