"""Where things lie: our own conf and recipes, the user's, and everything under outputs."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweeper.errors import RequestError

_PACKAGE = Path(__file__).resolve().parent


def own(name: str) -> Path:
    """Our `conf` or `recipes`: in a wheel the folder lies in the package; in a clone beside it."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def search(name: str, added: Iterable[str | Path]) -> list[Path]:
    """The user's folders, in the order given, before our own `conf` or `recipes`."""
    folders = [Path(folder).resolve() for folder in added]
    for folder in folders:
        if not folder.is_dir():
            raise RequestError(f"--{name} {folder}: there is no such folder.")
    return [*folders, own(name)]


@contextmanager
def private() -> Iterator[None]:
    """Whatever is made within is for its owner alone: folders 0700, files 0600.

    The umask is the process's: the only thing that also binds SQLite, joblib and the user's code.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def new_file(path: Path, flags: int) -> int:
    """Open a file of ours for writing, made if it is not there; a link that lies there is refused.

    Results may lie in a folder that came from somewhere else: a link in it would lead out of it.
    """
    mode = flags if flags & os.O_RDWR else flags | os.O_WRONLY
    return os.open(path, mode | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


@dataclass(frozen=True)
class Outputs:
    """Every path under the folder of results, in one place."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "sweeper.sqlite"

    @property
    def lock(self) -> Path:
        return self.root / "sweeper.lock"

    @property
    def log(self) -> Path:
        return self.root / "sweeper.log"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def reproduction(self) -> Path:
        return self.root / "reproduction.csv"

    def recipe(self, name: str) -> Path:
        """A plan's folder. Raises RequestError where a foreign store would lead out of ours."""
        if Path(name).name != name or name in ("", "..") or "\0" in name:
            raise RequestError(
                f"{self.store} names a plan {name!r}, which no version of sweeper writes: use a "
                "store of your own, with --outputs DIR."
            )
        return self.root / name

    def recipe_file(self, name: str) -> Path:
        """Where a sweep without a recipe file leaves the one that it came to."""
        return self.recipe(name) / f"{name}.yaml"

    def trial(self, trial_id: str) -> Path:
        return self.root / "trials" / trial_id

    def work(self, trial_id: str) -> Path:
        """The user's part of a trial's folder, in which the built-in training leaves files too."""
        return self.trial(trial_id) / "work"
