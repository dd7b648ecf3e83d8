"""The store's file: who may write it, how it is opened, and what SQLite's errors mean."""

import fcntl
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sweeper.errors import RequestError
from sweeper.folders import Outputs, new_file

# How long SQLite waits for a lock, and we for what passes while a writer opens or closes.
BUSY_S = 30.0
_PATIENCE_S = 5.0
_PASSING = ("SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "SQLITE_READONLY")
_INDEX_BYTES = 64 << 10  # what SQLite takes at once for the index of its log, twice


def lock(outputs: Outputs) -> int:
    """Hold the folder for one writer. The kernel frees the lock when the process dies."""
    try:
        outputs.root.mkdir(parents=True, exist_ok=True)
        handle = new_file(outputs.lock, os.O_RDWR)
    except OSError as error:
        raise RequestError(
            f"cannot write to {outputs.root} ({error.strerror}): choose another with --outputs DIR."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RequestError(
            f"another sweep ({_named(holder(outputs))}) is writing to {outputs.root}: wait for it, "
            "stop it (`sweeper cancel`), or choose another folder with --outputs DIR."
        ) from None
    with suppress(OSError):  # who holds it is a courtesy, also on a full disk
        os.truncate(handle, 0)
        os.write(handle, f"{os.getpid()} {socket.gethostname()}\n".encode())
    return handle


def holder(outputs: Outputs) -> tuple[int, str] | None:
    """The process that writes to the folder now and its host; None where nobody does."""
    if not is_being_written(outputs):
        return None
    try:
        pid, host = outputs.lock.read_text(errors="replace").split()
        return max(0, int(pid)), host  # a group, or all, is never meant
    except (OSError, ValueError):
        return 0, "unknown"


def _named(process: tuple[int, str] | None) -> str:
    pid, host = process or (0, "unknown")
    return f"process {pid or 'unknown'}" + (f" on {host}" if host != socket.gethostname() else "")


def is_being_written(outputs: Outputs) -> bool:
    """Whether a sweep holds the folder now."""
    try:
        handle = os.open(outputs.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def open_for_reading(outputs: Outputs, schema: int) -> sqlite3.Connection:
    """The store for reading, also while its writer opens or closes it, also on a read-only disk."""
    if outputs.store.is_file():
        with translated(outputs):
            db = _connect_to_read(outputs)
        try:
            if has_tables(db):
                check_schema(db, outputs, schema)
                return db
        except BaseException:
            db.close()
            raise
        db.close()  # of a writer that has only just begun, or found no room to
    raise RequestError(f"{outputs.root} holds no results yet: start with `sweeper run RECIPE`.")


def has_tables(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _connect_to_read(outputs: Outputs) -> sqlite3.Connection:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return connect(outputs.store, "mode=ro")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(_PASSING):
                raise
            if not os.access(outputs.root, os.W_OK):
                return _connect_where_nothing_is_written(outputs.store)
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _connect_where_nothing_is_written(store: Path) -> sqlite3.Connection:
    """SQLite reads no log where it cannot write beside it: a store that has one is read in memory.

    The log of a writer that was killed holds its latest results.
    """
    logs = [log for end in ("-wal", "-journal") if (log := Path(f"{store}{end}")).is_file()]
    if not any(log.stat().st_size for log in logs):
        return connect(store, "mode=ro&immutable=1")
    with TemporaryDirectory() as folder:
        for file in (store, *logs):
            shutil.copyfile(file, Path(folder) / file.name)
        with closing(connect(Path(folder) / store.name, "mode=rw")) as copied:
            db = sqlite3.connect(":memory:", isolation_level=None)
            copied.backup(db)
            return db


def connect(store: Path, how: str) -> sqlite3.Connection:
    # Tables are written by a thread of their own, each with a connection of its own.
    uri = f"{store.resolve().as_uri()}?{how}"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        db.execute("PRAGMA trusted_schema = OFF")  # a view or trigger that came with it runs less
        has_tables(db)  # the file is read only here
    except BaseException:
        db.close()
        raise
    return db


def check_schema(db: sqlite3.Connection, outputs: Outputs, schema: int) -> None:
    with translated(outputs):
        row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None or int(row[0]) > schema:
        raise RequestError(
            f"{outputs.store} was written by a newer version of sweeper "
            f"(store {row[0] if row else '?'}, this version reads {schema}): upgrade sweeper, or "
            "choose another folder with --outputs DIR."
        )


@contextmanager
def translated(outputs: Outputs) -> Iterator[None]:
    """SQLite's errors as one message with the mend."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise RequestError(explained(outputs, error)) from error


_NOT_LOST = "run the same command again; nothing that was recorded is lost."
_ELSEWHERE = "choose another folder with --outputs DIR."
_DAMAGED = (
    "{place} is damaged or no store of sweeper ({error}): move it away (its CSV tables stay) or "
    f"{_ELSEWHERE}"
)
_MEANINGS = {
    "FULL": f"the disk of {{place}} is full: make room and {_NOT_LOST}",
    "IOERR": f"the disk of {{place}} failed ({{error}}, {{code}}): mend it and {_NOT_LOST}",
    "BUSY": f"another program keeps {{place}} to itself ({{error}}): close it and {_NOT_LOST}",
    "CANTOPEN": f"cannot open {{place}} ({{error}}): mend its permissions or disk, or {_ELSEWHERE}",
    "READONLY": f"cannot write to {{place}} ({{error}}): {_ELSEWHERE}",
    "PERM": f"cannot write to {{place}} ({{error}}): {_ELSEWHERE}",
    "NOTADB": _DAMAGED,
    "CORRUPT": _DAMAGED,
    "": "the store {place} answered: {error}.",
}


def explained(outputs: Outputs, error: sqlite3.DatabaseError) -> str:
    """What an error of SQLite means, with the mend."""
    code = getattr(error, "sqlite_errorname", "") or ""
    kind = code.removeprefix("SQLITE_").partition("_")[0]
    if kind in ("IOERR", "CANTOPEN") and _is_full(outputs.root):
        kind = "FULL"
    if "no such table" in str(error):
        kind = "NOTADB"
    meaning = _MEANINGS.get(kind, _MEANINGS[""])
    return meaning.format(place=outputs.store, error=error, code=code)


def _is_full(folder: Path) -> bool:
    """SQLite knows a full disk by name when it writes the store, not its index of the log."""
    try:
        return shutil.disk_usage(folder).free < _INDEX_BYTES
    except OSError:
        return False
