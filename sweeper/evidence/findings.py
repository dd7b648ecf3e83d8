"""What a claim is decided on, and what is found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sweeper.claim import Assertion, Exact
from sweeper.evidence.comparisons import Family, families
from sweeper.evidence.measures import Grid, Measure, as_reported
from sweeper.evidence.runs import Run
from sweeper.plan import Plan
from sweeper.recipe import Recipe


@dataclass(frozen=True)
class Evidence:
    """A plan with its runs, laid out by arm and seed, and every comparison made on them."""

    plan: Plan
    runs: Sequence[Run]

    @cached_property
    def recipe(self) -> Recipe:
        return self.plan.read_recipe()

    @cached_property
    def grid(self) -> Grid:
        return Grid.of(self.plan, self.runs)

    @cached_property
    def families(self) -> dict[str, Family]:
        return families(self.recipe, self.grid)

    def family(self, assertion: Assertion) -> Family:
        """Of the metric that the assertion speaks of: the recipe's first if it names none."""
        return self.families[assertion.metric or next(iter(self.families))]

    def measured(self, assertion: Exact) -> tuple[str, Measure]:
        """What an equality is about: any reported metric, also one not under `metrics:`."""
        name = assertion.metric or next(iter(self.families))
        if name in self.families:
            return name, self.families[name].measured
        return name, as_reported(name, self.grid)

    def reference_of(self, arm: str, given: str | None) -> str | None:
        """The arm to hold it against: the given one, else the one it is compared with."""
        return given or self.grid.arms[self.grid.index[arm]].compared_with


@dataclass(frozen=True)
class Finding:
    """The verdict on one assertion and a sentence that says why.

    `measured` is a difference (for `exact` the largest), or for an event its share of seeds.
    """

    verdict: str
    reason: str
    measured: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    n: int | None = None
    arm: str = ""
    reference: str = ""
    metric: str = ""
