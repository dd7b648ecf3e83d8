"""The nouns that cross from asking to doing: a configuration, a trial, how a trial ended."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sweeper.masking import masked

Status = Literal[
    "waiting", "running", "done", "diverged", "pruned", "failed", "crashed", "oom",
    "timeout", "lost", "skipped", "preempted", "cancelled", "superseded",
]  # fmt: skip

# A trial with one of these answers its cell; `preempted` and `cancelled` send it back to waiting,
# and a `superseded` attempt came after another had answered.
RESULTS: frozenset[str] = frozenset({"done", "diverged"})
FINAL: frozenset[str] = RESULTS | {
    "pruned", "failed", "crashed", "oom", "timeout", "lost", "skipped",
}  # fmt: skip
# What answers a cell of a comparison: a pruned trial answers the search that gave it up, alone.
ANSWERS: frozenset[str] = FINAL - {"pruned"}


class Config(Mapping[str, Any]):
    """A resolved configuration, read as `config["optim"]["lr"]` or `config.optim.lr`.

    `read` gathers the dotted key of each value that was asked for, also where there is none, and
    `optim.*` where the names in a group were. To print it is not to read it.
    """

    __slots__ = ("_prefix", "_read", "_values")  # so that vars() does not go around it

    def __init__(
        self, values: Mapping[str, Any], read: set[str] | None = None, prefix: str = ""
    ) -> None:
        self._values = dict(values)
        self._read = set() if read is None else read
        self._prefix = prefix

    def __getitem__(self, key: str) -> Any:
        name = f"{self._prefix}{key}"
        value = self._values.get(key)
        if not (isinstance(value, Mapping) and value):  # else what is in it may yet be read
            self._read.add(name)
        if key not in self._values:
            raise KeyError(key)
        return Config(value, self._read, f"{name}.") if isinstance(value, Mapping) else value

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError:
            raise AttributeError(
                f"the configuration has no {key!r}; it has {', '.join(map(str, self._values))}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        self._read.add(f"{self._prefix}*")
        return iter(self._values)

    def __len__(self) -> int:
        self._read.add(f"{self._prefix}*")
        return len(self._values)

    def __repr__(self) -> str:
        return f"Config({masked(self._values)!r})"

    def __copy__(self) -> "Config":
        return Config(self._values, self._read, self._prefix)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Config":
        return Config(copy.deepcopy(self._values, memo), self._read, self._prefix)

    def __reduce__(self) -> tuple[Any, ...]:
        read_all(self)  # another process tells nobody what it reads
        return Config, (self._values,)


def read_all(config: Config) -> None:
    """Count every value as read."""
    for value in config.values():
        if isinstance(value, Config):
            read_all(value)


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed; `trial_id` says what was asked, not where it ran."""

    trial_id: str
    seed: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Ending:
    """How an attempt at a trial ended: plain values, as the child said them or its death showed.

    `curve` maps each reported name (and `step`) to its values, equally long; None stands where a
    name was not reported at that step.
    """

    status: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Mapping[str, list[float | None]] = field(default_factory=dict)
    error: str = ""
    duration_s: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    is_chance: bool = False  # the death was the moment's, not the code's: worth one more try
    # What it ran with, a digest by path: the user's modules, and the files that the config names.
    sources: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    # The keys that a task of the user's read of its configuration; None where nobody took note.
    read: Sequence[str] | None = None


Curve = Mapping[str, list[float | None]]


def joined(earlier: Curve, later: Curve) -> Curve:
    """A curve with the points of an earlier attempt that lie before its first step."""
    steps, before = later.get("step"), earlier.get("step")
    if not steps or not before:
        return later
    kept = sum(step < steps[0] for step in before)  # type: ignore[operator]
    if not kept:
        return later
    names = dict.fromkeys([*earlier, *later])
    return {
        name: [
            *(earlier[name][:kept] if name in earlier else [None] * kept),
            *(later[name] if name in later else [None] * len(steps)),
        ]
        for name in names
    }
