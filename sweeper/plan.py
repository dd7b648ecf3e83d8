"""What a recipe comes to: its arms, resolved, and a trial for every arm and seed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sweeper.errors import RequestError
from sweeper.recipe import Recipe


@dataclass(frozen=True)
class PlannedArm:
    """An arm with what it changes; `difference` maps each axis to (value there, value here)."""

    name: str
    compared_with: str | None
    axes: Mapping[str, Any]  # every axis that differs between arms, by the name it is chosen with
    difference: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


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
class Plan:
    """Everything that a recipe asks for; `name` is its folder under outputs."""

    name: str
    recipe_name: str
    recipe: Mapping[str, Any]  # as a mapping, so that reading a plan back needs no file
    arms: tuple[PlannedArm, ...]
    cells: tuple[Cell, ...]
    overrides: tuple[str, ...] = ()
    searches: tuple[ConcludedSearch, ...] = ()
    looks: tuple[Look, ...] = ()

    @property
    def is_variant(self) -> bool:
        """Whether anything but seeds and executor was overridden: never in reproduction.csv."""
        return self.name != self.recipe_name

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Raises ValueError for what is no plan: what we read may be another's."""
        return _reader().validate_json(text)

    def read_recipe(self) -> Recipe:
        """The recipe as a typed model."""
        try:
            return Recipe.model_validate(self.recipe)
        except ValidationError:
            raise RequestError(
                f"{self.name} was planned by another version of sweeper: run it again, which "
                "keeps every trial."
            ) from None


@cache
def _reader() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)
