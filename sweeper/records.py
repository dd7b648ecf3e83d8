"""What was recorded, read from the store: also while a sweep writes to it."""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from sweeper.errors import RequestError
from sweeper.folders import Outputs
from sweeper.plan import Plan
from sweeper.store_file import explained, open_for_reading
from sweeper.trial import Ending, Trial

SCHEMA = 1

# Columns of `attempts` that stores of before lack until a sweep writes to them. The schema stays:
# an older version reads and writes on without them.
ADDED = {
    "fingerprint": "TEXT",  # of what the attempt ran with
    "kept": "TEXT",  # the state of the same files under which its user let it count
}


@dataclass(frozen=True)
class Provenance:
    """What the attempt that answers a trial ran with; no fingerprint of built-in code alone."""

    trial_id: str
    attempt: int
    fingerprint: str | None
    kept: str | None
    versions: str  # JSON


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
        self._db = open_for_reading(outputs, SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.DatabaseError):  # a page that only this reading came to
            raise RequestError(explained(self.outputs, error)) from error

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
        with _decoding():
            return Plan.from_json(zlib.decompress(row[0]).decode())

    def statuses(self) -> dict[str, str]:
        """The status of every trial ever asked for, by id."""
        return dict(self._db.execute("SELECT trial_id, status FROM trials"))

    def running(self) -> list[tuple[str, int, float]]:
        """Trial, attempt and start (seconds since 1970) of what runs now, the earliest first."""
        rows = self._db.execute(
            "SELECT trial_id, attempt, started_at FROM attempts WHERE status = 'running' "
            "ORDER BY started_at, trial_id"
        )
        return list(rows)

    def find_trials(self, prefix: str) -> list[str]:
        """The ids that start with these digits, sorted."""
        rows = self._db.execute(
            "SELECT trial_id FROM trials WHERE substr(trial_id, 1, ?) = ? ORDER BY trial_id",
            (len(prefix), prefix),
        )
        return [trial_id for (trial_id,) in rows]

    def trial(self, trial_id: str) -> tuple[Trial, str]:
        """A trial as it was asked, and its status."""
        row = self._db.execute(
            "SELECT seed, config, status FROM trials WHERE trial_id = ?", (trial_id,)
        ).fetchone()
        with _decoding():
            seed, config, status = row
            return Trial(trial_id, seed, dict(json.loads(config))), status

    def attempts(self, trial_id: str) -> list[Attempt]:
        """All attempts at a trial, the first first."""
        rows = self._db.execute(
            f"SELECT {_ATTEMPT} FROM attempts WHERE trial_id = ? ORDER BY attempt", (trial_id,)
        )
        return [_attempt(row) for row in rows.fetchall()]

    def answers(self, trial_ids: Iterable[str]) -> Iterator[Attempt]:
        """The attempt that answers each trial, for those that have one."""
        wanted = set(trial_ids)
        columns = ", ".join(f"a.{c}" for c in _ATTEMPT.split(", "))
        rows = self._db.execute(
            f"SELECT {columns} FROM trials t JOIN attempts a "
            "ON a.trial_id = t.trial_id AND a.attempt = t.attempt"
        )
        # All are read before one is decoded: SQLite's log grows for as long as somebody reads.
        return map(_attempt, [row for row in rows if row[0] in wanted])

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

    def provenances(self) -> list[Provenance]:
        """What the answer of each answered trial ran with."""
        known = added_columns(self._db)
        added = ", ".join(f"a.{name}" if name in known else "NULL" for name in ADDED)
        rows = self._db.execute(
            f"SELECT t.trial_id, a.attempt, {added}, coalesce(a.versions, '{{}}') "
            "FROM trials t JOIN attempts a ON a.trial_id = t.trial_id AND a.attempt = t.attempt"
        )
        return [Provenance(*row) for row in rows]

    def content(self, digest: str) -> dict[str, Any]:
        """What a fingerprint, or a folder's digest, stands for; empty where nobody recorded it."""
        if not added_columns(self._db):
            return {}
        row = self._db.execute(
            "SELECT content FROM fingerprints WHERE digest = ?", (digest,)
        ).fetchone()
        found: dict[str, Any] = json.loads(zlib.decompress(row[0])) if row else {}
        return found

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


@contextmanager
def _decoding() -> Iterator[None]:
    """What is not as we wrote it is a damage of the store, like a torn page."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        damage = sqlite3.DatabaseError(f"{type(error).__name__}: {error}")
        damage.sqlite_errorname = "SQLITE_CORRUPT"
        raise damage from error


def _attempt(row: tuple[Any, ...]) -> Attempt:
    trial_id, attempt, status, device, started_at, duration_s, metrics, curve, error, versions = row
    with _decoding():
        ending = Ending(
            status=status,
            metrics=dict(json.loads(metrics or "{}")),
            curve=decode_curve(curve),
            error=error or "",
            duration_s=duration_s or 0.0,
            versions=dict(json.loads(versions or "{}")),
        )
    return Attempt(trial_id, attempt, status, device, started_at, ending)


def added_columns(db: sqlite3.Connection) -> set[str]:
    """Those of the added columns that this store has: all of them, or of an older one none."""
    return ADDED.keys() & {row[1] for row in db.execute("PRAGMA table_info(attempts)")}
