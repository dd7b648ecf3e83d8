"""What a recipe comes to: its arms, resolved, and a trial for every arm and seed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from sweeper.errors import RequestError
from sweeper.recipe import TARGET, Recipe


@dataclass(frozen=True)
class PlannedArm:
    """An arm with what it changes; `difference` maps each axis to (value there, value here)."""

    name: str
    compared_with: str | None
    axes: Mapping[str, Any]  # every axis that differs between arms, by the name it is chosen with
    difference: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    same_as: str = ""  # of a variant: the arm whose trials these are, so that it says nothing new


@dataclass(frozen=True)
class Cell:
    """Which trial answers an arm at a seed."""

    arm: str
    seed: int
    trial_id: str
    phase: str = "report"  # or "search"
    axes: Mapping[str, Any] = field(default_factory=dict)  # what a search proposed


@dataclass(frozen=True)
class Proposal:
    """What a search tried: `told` is what Optuna was told, empty where it was told of none."""

    number: int
    values: Mapping[str, Any]
    status: str  # of the worst of its trials: done diverged pruned failed …
    told: tuple[float, ...]  # a number for each metric that is searched for; may be infinite
    trial_ids: tuple[str, ...]


@dataclass(frozen=True)
class ConcludedSearch:
    """What a search of one arm came to, and how it was done."""

    arm: str
    study: str  # the name under which its asks and tells are recorded
    metrics: tuple[str, ...]
    goals: tuple[str, ...]  # `down` or `up`, one for each metric
    axes: Mapping[str, Mapping[str, Any]]  # as the recipe gives them: low, high, log, choices …
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    optuna: str
    budget: int
    proposals: tuple[Proposal, ...]
    winner: int | None  # its number; None where nothing was told
    pareto: tuple[int, ...] = ()  # of several metrics: those that none is better than in all
    # Each axis with its share of what the told value varies by, and the noise floor of that share.
    importance: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What was looked at between two batches of seeds, and what it decided."""

    seeds: Mapping[str, int]  # how many each arm had
    verdicts: Mapping[str, str]  # of each line of the claims
    stopped: str = ""  # why no seeds were added, in words; empty where some were


@dataclass(frozen=True)
class Span:
    """How much it comes to: seeds that are added in looks may be few or many."""

    least: float
    most: float


@dataclass(frozen=True)
class Step:
    """What a round of a path tries: one change on top of those that were taken before."""

    round: int  # from 1
    change: str
    arm: str
    before: str  # the arm that it is held against
    is_taken: bool = False


@dataclass(frozen=True)
class Planned:
    """What a plan is called and what it asks; `name` is its folder under outputs."""

    name: str
    recipe_name: str
    recipe: Mapping[str, Any]  # as a mapping, so that reading a plan back needs no file

    @property
    def is_variant(self) -> bool:
        """Whether anything but seeds and executor was overridden: never in reproduction.csv."""
        return self.name != self.recipe_name

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError for what is no plan: what we read may be another's."""
        noun: Any = cls
        found: Self = _reader(noun).validate_json(text)
        return found

    def read_recipe(self) -> Recipe:
        """The recipe as a typed model."""
        try:
            return Recipe.model_validate(self.recipe)
        except ValidationError:
            raise RequestError(
                f"{self.name} was planned by another version of sweeper: run it again, which "
                "keeps every trial."
            ) from None


@dataclass(frozen=True)
class Plan(Planned):
    """Everything that a recipe asks for."""

    arms: tuple[PlannedArm, ...]
    cells: tuple[Cell, ...]
    overrides: tuple[str, ...] = ()
    searches: tuple[ConcludedSearch, ...] = ()
    looks: tuple[Look, ...] = ()
    factorial: tuple[str, ...] = ()  # the arm of each cell of the recipe's factorial
    path: tuple[Step, ...] = ()  # the rounds that were tried or are planned by now

    @property
    def arms_to_come(self) -> int:
        """How many arms its path has yet to ask for; its first round and its end are planned."""
        changes = sum(step.round == 1 for step in self.path)
        planned = {step.arm for step in self.path} | ({TARGET} if changes > 1 else set())
        return changes * (changes + 1) // 2 - len(planned)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


@cache
def _reader(noun: Any) -> TypeAdapter[Any]:
    return TypeAdapter(noun)
