"""What a trial ran with: digests of the user's modules that it imported and of its data sets."""

import hashlib
import json
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Digests = dict[str, str]  # of what lies at a path, as the path is written

_PACKAGE = str(Path(__file__).resolve().parent)
_STANDARD = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), _PACKAGE}
_LIBRARIES = tuple(path + os.sep for path in _STANDARD)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

WHOLE_BYTES = 64 << 20  # a larger file counts by its size and by blocks of it
_BLOCK_BYTES = 64 << 10
_BLOCKS = 64
# Made before a child is forked: the first one costs a quarter of a millisecond.
_BLANK = hashlib.sha256()
# A file written so shortly before it was read may change again within the same tick of its clock.
_TICK_NS = 2_000_000_000


def digest_of(value: Any) -> str:
    """16 hex digits of SHA-256 over JSON with sorted keys."""
    return _short(_sha256(json.dumps(value, sort_keys=True).encode()))


def digest_of_file(path: str | Path) -> str | None:
    """16 hex digits of SHA-256 over a file's bytes; None where there is no such file.

    Beyond 64 MiB over the size and 64 blocks of 64 KiB, evenly spread, the last one included.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - half the time of Path.open
            size = os.fstat(file.fileno()).st_size
            if size <= WHOLE_BYTES:
                return _short(_sha256(file.readall()))
            found = _sha256(str(size).encode())
            for block in range(_BLOCKS):
                file.seek((size - _BLOCK_BYTES) * block // (_BLOCKS - 1))
                found.update(file.read(_BLOCK_BYTES))
            return _short(found)
    except OSError:
        return None


def _sha256(data: bytes) -> "hashlib._Hash":
    found = _BLANK.copy()
    found.update(data)
    return found


def _short(found: "hashlib._Hash") -> str:
    return found.hexdigest()[:16]


class Imported:
    """The user's modules in this process, each with its file's digest when it was first seen.

    What is edited later is not what runs: a digest stays until the module is imported anew.
    """

    def __init__(self) -> None:
        self._foreign: set[str] = set()  # looked at already, and a library's
        self._last: tuple[str, Any] | None = None  # of what was loaded before the first attempt
        self._own: dict[str, tuple[Any, str, str]] = {}  # by name: its import, file, digest
        self._here = ""

    def begin(self) -> None:
        """An attempt begins; what is loaded before the first of this process is not the user's."""
        self._here = os.getcwd()  # noqa: PTH109 - the user's code may go elsewhere
        if self._last is None:
            # In a process just forked each module that is only touched costs a copied page: one
            # is enough, since what is imported later comes after it.
            name = next(reversed(sys.modules))
            self._last = name, sys.modules[name]

    def look_back(self) -> None:
        """Count also what was loaded before from the current folder: in a notebook, say."""
        self.begin()
        for name, module in list(sys.modules.items()):
            if str(_of(module, "__file__")).startswith(self._here + os.sep):
                self._look_at(name)

    def see(self) -> None:
        """Take note of what has been imported since."""
        later = None
        while later is None:
            with suppress(RuntimeError):  # a thread of the user's imports meanwhile
                later = list(self._later())
        for name in [*self._own, *later]:
            self._look_at(name)

    def _later(self) -> Iterator[str]:
        for name in reversed(sys.modules):
            if self._last == (name, sys.modules[name]):
                return
            if name not in self._foreign:
                yield name

    def _look_at(self, name: str) -> None:
        module = sys.modules.get(name)
        spec, file = _of(module, "__spec__"), _of(module, "__file__")
        if name in self._own and self._own[name][0] is spec:
            return
        self._own.pop(name, None)
        if module is None:
            return  # taken out again; it may come back
        is_own = isinstance(file, str) and name != "__main__" and not _is_library(file)
        digest = digest_of_file(file) if is_own else None
        if digest is None:
            self._foreign.add(name)
        else:
            self._own[name] = (spec, os.path.join(self._here, file), digest)  # noqa: PTH118

    def digests(self) -> Digests:
        """The user's modules that are loaded now, by path: relative in the current folder."""
        self.see()
        loaded = [found for name, found in self._own.items() if name in sys.modules]
        return {file.removeprefix(self._here + os.sep): digest for _, file, digest in loaded}


def _of(module: Any, name: str) -> Any:
    return getattr(module, "__dict__", {}).get(name)  # a lazy module's getattr would import it


def _is_library(file: str) -> bool:
    return file.startswith(_LIBRARIES) or any(part in file for part in _INSTALLED)


imported = Imported()


def calls_user_code(config: Mapping[str, Any]) -> bool:
    """Whether a trial of this configuration runs anything that is not ours."""
    paths = (config.get(group, {}).get("_target_") for group in ("task", "model", "data"))
    return any(path and not path.startswith("sweeper.") for path in paths)


def named_paths(config: Mapping[str, Any]) -> Iterator[str]:
    """Every text of a configuration that may name a file or a folder of the user's."""
    for group in ("task", "model", "data"):
        values = config.get(group, {})
        if not str(values.get("_target_", "")).startswith("sweeper."):
            yield from _texts({k: v for k, v in values.items() if k not in ("_target_", "name")})
        elif group == "data" and isinstance(values.get("path"), str):
            yield values["path"]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


class DataSets:
    """Digests of the files and folders that configurations name, taken once in a command.

    What is known of a file is kept in `cache`, so that only its size and time are read again.
    """

    def __init__(self, cache: Path, results: Path) -> None:
        self._cache = cache / "fingerprints"
        # A folder that holds these is a place to work in, and no data set.
        self._around = (Path.cwd(), results.resolve())
        self._known: dict[str, str | None] = {}
        self.listings: dict[str, Digests] = {}  # what each folder's digest stands for

    def of(self, config: Mapping[str, Any]) -> Digests:
        """The digest of each file and folder that a configuration names."""
        found = {path: self.digest(path) for path in named_paths(config)}
        return {path: digest for path, digest in found.items() if digest is not None}

    def digest(self, path: str) -> str | None:
        """Of a file's bytes, or of a folder's names and bytes; None where there is neither.

        Names that begin with a dot, and `__pycache__`, do not count.
        """
        if path not in self._known:
            self._known[path] = self._take(path)
        return self._known[path]

    def _take(self, text: str) -> str | None:
        try:
            path = Path(text).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return None
        if path.is_file():
            return self._digests(path, [("", str(path))]).get("")
        if not path.is_dir() or any(place.is_relative_to(path) for place in self._around):
            return None
        listing = self._digests(path, sorted(_files(str(path), "", set())))
        digest = digest_of(listing)
        self.listings[digest] = listing
        return digest

    def _digests(self, path: Path, files: list[tuple[str, str]]) -> Digests:
        """The digest of each file; what has the size and time of before is not read again."""
        kept_at = self._cache / f"{digest_of(str(path))}.json"
        read_at, before = _kept(kept_at)
        now: dict[str, tuple[int, int, str]] = {}
        started = time.time_ns()
        for name, file in files:
            with suppress(OSError):  # gone meanwhile, or a link to nothing
                stat = Path(file).stat()
                state, known = (stat.st_size, stat.st_mtime_ns), before.get(name)
                is_same = known and tuple(known[:2]) == state and state[1] < read_at - _TICK_NS
                digest = known[2] if known and is_same else digest_of_file(file)
                if digest is not None:
                    now[name] = (*state, digest)
        if {name: list(entry) for name, entry in now.items()} != before:
            _keep(kept_at, started, now)
        return {name: entry[2] for name, entry in now.items()}


def _files(folder: str, prefix: str, above: set[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """(name below the folder, path) of every file; links are followed, but never round."""
    with suppress(OSError):
        stat = Path(folder).stat()
        here = (stat.st_dev, stat.st_ino)
        if here in above:
            return
        for entry in os.scandir(folder):
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if entry.is_dir():
                yield from _files(entry.path, f"{prefix}{entry.name}/", above | {here})
            elif entry.is_file():
                yield prefix + entry.name, entry.path


def _kept(path: Path) -> tuple[int, dict[str, list[Any]]]:
    """When the files were read, and size, time and digest of each."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return int(found["read_at"]), dict(found["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, {}


def _keep(path: Path, read_at: int, files: Mapping[str, tuple[int, int, str]]) -> None:
    with suppress(OSError):  # without it the next command reads the files again
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"read_at": read_at, "files": files}, file)
        Path(beside).replace(path)
