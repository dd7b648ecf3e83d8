"""What a claim is decided on, and what is found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sweeper import factorial
from sweeper.claim import Assertion, Comparison, Exact
from sweeper.evidence.comparisons import Family, Weights, claimed, families
from sweeper.evidence.effects import contrast, effect_families
from sweeper.evidence.measures import Grid, Measure, as_reported
from sweeper.evidence.runs import Run
from sweeper.evidence.searches import Warnings, warnings
from sweeper.evidence.skipped import skipped
from sweeper.evidence.variance import Variance, shared_training
from sweeper.factorial import Effect
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
        shared = shared_training(self.plan, self.recipe)
        return families(self.recipe, self.grid, Variance(shared))

    @cached_property
    def effects(self) -> Sequence[Effect]:
        """What the recipe's factorial estimates; empty without one."""
        return self.recipe.factorial.effects() if self.recipe.factorial else ()

    @cached_property
    def effect_families(self) -> dict[str, Family]:
        """Their tests, a family of its own for each metric."""
        return effect_families(self.effects, self.plan.factorial, self.grid, self.families)

    @cached_property
    def warnings(self) -> Warnings:
        """What is to be mended before a searched arm is believed, by arm."""
        return warnings(self.plan)

    @cached_property
    def skipped(self) -> dict[str, str]:
        """Why arms do not apply, by arm."""
        return skipped(self.runs)

    def family(self, assertion: Assertion) -> Family:
        """Of the metric that the assertion speaks of: the recipe's first if it names none."""
        is_of_effect = isinstance(assertion, Comparison) and assertion.effect is not None
        found = self.effect_families if is_of_effect else self.families
        return found[assertion.metric or next(iter(self.families))]

    def weights(self, assertion: Comparison) -> Weights | None:
        """What a comparison compares; None where it is unknown or compared with nothing."""
        if assertion.effect is None:
            return claimed(assertion, self.grid)
        effect = factorial.find(assertion.effect, self.effects)
        if effect is None or not self.effect_families:
            return None
        return contrast(effect, self.plan.factorial, self.grid)

    def aliases(self, assertion: Comparison) -> list[str]:
        """What the contrast of its effect estimates besides: then nothing decides it."""
        name = assertion.effect or ""
        effect = factorial.find(name, self.effects)
        return factorial.others(name, effect) if effect else []

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
