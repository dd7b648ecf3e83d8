"""Where things lie: our own conf and recipes, the user's, and everything under outputs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sweeper.errors import RequestError

_PACKAGE = Path(__file__).resolve().parent


def _own(name: str) -> Path:
    """In a wheel the folder lies in the package; in a clone beside it."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def search(name: str, added: Iterable[str | Path]) -> list[Path]:
    """The user's folders, in the order given, before our own `conf` or `recipes`."""
    folders = [Path(folder).resolve() for folder in added]
    for folder in folders:
        if not folder.is_dir():
            raise RequestError(f"--{name} {folder}: there is no such folder.")
    return [*folders, _own(name)]


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
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def reproduction(self) -> Path:
        return self.root / "reproduction.csv"

    def recipe(self, name: str) -> Path:
        return self.root / name

    def trial(self, trial_id: str) -> Path:
        return self.root / "trials" / trial_id
