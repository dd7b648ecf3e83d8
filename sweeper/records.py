"""What was recorded, read from the store: also while a sweep writes to it."""

import json
import re
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from sweeper.errors import RequestError
from sweeper.folders import Outputs
from sweeper.plan import Plan, Planned
from sweeper.store_file import explained, open_for_reading
from sweeper.trial import RESULTS, Curve, Ending, Trial

SCHEMA = 1

# Columns of `attempts` that stores of before lack until a sweep writes to them. The schema stays:
# an older version reads and writes on without them.
ADDED = {
    "fingerprint": "TEXT",  # of what the attempt ran with
    "kept": "TEXT",  # the state of the same files under which its user let it count
    "read_keys": "TEXT",  # those that a task of the user's read of its configuration, as JSON
}
_OF_PROVENANCE = ("fingerprint", "kept")


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
    fingerprint: str | None = None  # of the user's files that it ran with


@dataclass(frozen=True)
class Read:
    """What the attempts that led to a trial's answer read of its configuration."""

    keys: frozenset[str] = frozenset()
    is_whole: bool = True  # whether all of them told: one that was killed did not


def encode_curve(curve: Mapping[str, list[float | None]]) -> bytes:
    """A whole curve as one compressed value, not a row per point."""
    return zlib.compress(json.dumps(dict(curve), separators=(",", ":")).encode(), 1)


def decode_curve(blob: bytes | None) -> Curve:
    """The curve, whose numbers stay text until they are asked for where they are as we write them.

    To read each number of 100,000 curves, only to print it again, takes longer than all the rest.
    """
    text = zlib.decompress(blob).decode() if blob else "{}"
    if _PLAIN.fullmatch(text):
        columns = dict(column.split('":[') for column in text[2:-2].split('],"'))
        if len({column.count(",") for column in columns.values()}) == 1:
            return WrittenCurve(columns)
    curve: dict[str, list[float | None]] = json.loads(text)
    return curve


class WrittenCurve(Mapping[str, list[float | None]]):
    """A curve that is kept as the JSON that was written; `step` is of whole numbers."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> list[float | None]:
        column: list[float | None] = json.loads(f"[{self._columns[name]}]")
        return column

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def texts(self, name: str) -> list[str]:
        """A column as Python prints its numbers; empty where there is no number, nan included."""
        column = self._columns[name]
        if name == "step":
            column = column.replace(".0", "")
        elif "n" in column or "N" in column:
            column = column.replace("null", "").replace("NaN", "").replace("Infinity", "inf")
        return column.split(",") if self._columns[name] else []


def _list_of(number: str) -> str:
    return rf"\[(?:{number}(?:,{number})*+)?\]"


# Floats as `repr` writes them, which is what a table says too; steps are whole, and below 2**53.
_WHOLE = r"(?:0|[1-9]\d{0,14})(?:\.0)?"
_FLOAT = r"(?:-?(?:0|[1-9]\d*+)(?:\.\d++(?:e[-+]\d++)?|e[-+]\d++)|null|NaN|-?Infinity)"
_NAME = r'"[^"\\\[\]\x00-\x1f]*+"'
_PLAIN = re.compile(rf'\{{"step":{_list_of(_WHOLE)}(?:,{_NAME}:{_list_of(_FLOAT)})*+\}}', re.ASCII)


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

    def planned(self) -> list[Planned]:
        """The name and the recipe of every plan, the latest last; arms and cells are not made."""
        rows = self._db.execute("SELECT plan FROM plans ORDER BY planned_at, name").fetchall()
        with _decoding():
            return [Planned.from_json(zlib.decompress(blob).decode()) for (blob,) in rows]

    def statuses(self, trial_ids: Collection[str] | None = None) -> dict[str, str]:
        """The status of these trials, or of every trial ever asked for, by id."""
        if trial_ids is None:
            return dict(self._db.execute("SELECT trial_id, status FROM trials"))
        rows = self._db.execute(
            f"SELECT t.trial_id, t.status FROM {_THESE}", (json.dumps(list(trial_ids)),)
        )
        return dict(rows)

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
            f"SELECT {self._columns()} FROM attempts a WHERE trial_id = ? ORDER BY attempt",
            (trial_id,),
        )
        return [_attempt(row) for row in rows.fetchall()]

    def answers(self, trial_ids: Iterable[str]) -> Iterator[Attempt]:
        """The attempt that answers each trial, for those that have one."""
        rows = self._db.execute(
            f"SELECT {self._columns()} FROM {_THESE} "
            "JOIN attempts a ON a.trial_id = t.trial_id AND a.attempt = t.attempt",
            (json.dumps(list(dict.fromkeys(trial_ids))),),
        )
        # All are read before one is decoded: SQLite's log grows for as long as somebody reads.
        return map(_attempt, rows.fetchall())

    def _columns(self) -> str:
        """Those of an attempt, from `attempts a`."""
        fingerprint = "a.fingerprint" if "fingerprint" in added_columns(self._db) else "NULL"
        return ", ".join([*(f"a.{column}" for column in _ATTEMPT), fingerprint])

    def answer(self, trial_id: str) -> Attempt | None:
        """The attempt that answers one trial, if there is one."""
        found = self._db.execute(
            f"SELECT {self._columns()} FROM attempts a WHERE trial_id = ? "
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
        added = ", ".join(f"a.{name}" if name in known else "NULL" for name in _OF_PROVENANCE)
        rows = self._db.execute(
            f"SELECT t.trial_id, a.attempt, {added}, coalesce(a.versions, '{{}}') "
            "FROM trials t JOIN attempts a ON a.trial_id = t.trial_id AND a.attempt = t.attempt"
        )
        return [Provenance(*row) for row in rows]

    def content(self, digest: str) -> dict[str, Any]:
        """What a fingerprint, or a folder's digest, stands for; empty where nobody recorded it."""
        if "fingerprint" not in added_columns(self._db):
            return {}
        row = self._db.execute(
            "SELECT content FROM fingerprints WHERE digest = ?", (digest,)
        ).fetchone()
        found: dict[str, Any] = json.loads(zlib.decompress(row[0])) if row else {}
        return found

    def read_keys(self, trial_ids: Collection[str]) -> dict[str, Read]:
        """What was read of each answered trial's configuration, as far as anybody took note.

        An attempt may go on from what the one before left in its folder, so all of them count
        since the last that came to a result.
        """
        if "read_keys" not in added_columns(self._db):
            return {}
        rows = self._db.execute(
            f"SELECT a.trial_id, a.status, a.read_keys, a.attempt = t.attempt FROM {_THESE} "
            "JOIN attempts a ON a.trial_id = t.trial_id AND a.attempt <= t.attempt "
            "ORDER BY a.trial_id, a.attempt",
            (json.dumps(list(trial_ids)),),
        )
        found: dict[str, Read] = {}
        for trial_id, status, told, is_the_answer in rows.fetchall():
            before = found.get(trial_id, Read())
            with _decoding():
                keys = before.keys | set(json.loads(told or "[]"))
            is_whole = before.is_whole and told is not None
            ended = status in (*RESULTS, "skipped") and not is_the_answer
            if status != "superseded":
                found[trial_id] = Read() if ended else Read(keys, is_whole)
        return found

    def starts(self) -> dict[str, float]:
        """When the answer of each answered trial began, in seconds since 1970."""
        return dict(
            self._db.execute(
                "SELECT t.trial_id, a.started_at FROM trials t JOIN attempts a "
                "ON a.trial_id = t.trial_id AND a.attempt = t.attempt"
            )
        )

    def durations(self) -> dict[str, float]:
        """Seconds that each answered trial took."""
        return dict(
            self._db.execute(
                "SELECT t.trial_id, a.duration_s FROM trials t JOIN attempts a "
                "ON a.trial_id = t.trial_id AND a.attempt = t.attempt"
            )
        )


_ATTEMPT = (
    "trial_id", "attempt", "status", "device", "started_at", "duration_s", "metrics", "curve",
    "error", "versions",
)  # fmt: skip
# The trials asked for, found one by one: a recipe reads no row of another's.
_THESE = "json_each(?) AS w CROSS JOIN trials t ON t.trial_id = w.value"


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
    trial_id, attempt, status, device, started_at, duration_s, *rest = row
    metrics, curve, error, versions, fingerprint = rest
    with _decoding():
        ending = Ending(
            status=status,
            metrics=dict(json.loads(metrics or "{}")),
            curve=decode_curve(curve),
            error=error or "",
            duration_s=duration_s or 0.0,
            versions=_versions(versions or "{}"),
        )
    return Attempt(trial_id, attempt, status, device, started_at, ending, fingerprint)


@lru_cache(maxsize=256)
def _versions(text: str) -> Mapping[str, str]:
    """Few ever differ."""
    return dict(json.loads(text))


def added_columns(db: sqlite3.Connection) -> set[str]:
    """Those of the added columns that this store has."""
    return ADDED.keys() & {row[1] for row in db.execute("PRAGMA table_info(attempts)")}
