"""What a recipe asserts: claims, each an assertion of some kind or several with letters."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sweeper.errors import RequestError
from sweeper.metric import MetricExpression, parse

LONGEST_NAME = 200  # a file system takes 255 bytes, the end that marks a variant included
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Part(BaseModel):
    """A mapping within a recipe: nothing unknown, nothing that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=False)


def parsed(metric: str) -> MetricExpression:
    """The metric; ValueError, as a model's check raises it, where it is of no such grammar."""
    try:
        return parse(metric)
    except RequestError as error:
        raise ValueError(str(error)) from None


class _Claim(Part):
    statement: str = Field(min_length=1, description="What the document asserts, in own words.")
    documented: str | Finite = Field("", description="The document's own figure.")
    metric: str | None = Field(None, description="The metric; the recipe's first if not given.")

    @field_validator("metric")
    @classmethod
    def _parses(cls, metric: str | None) -> str | None:
        if metric is not None:
            parsed(metric)
        return metric

    def arms_named(self) -> list[str]:
        """Every arm that the claim speaks of."""
        named = [getattr(self, "arm", None), getattr(self, "reference", None)]
        named += [*(getattr(self, "arms", None) or ()), *(getattr(self, "contrast", None) or ())]
        return [name for name in named if name is not None]


class Comparison(_Claim):
    """A difference paired by seed: `arm` against `reference`, a `contrast` of several arms, or the
    `effect` of an axis or interaction of the factorial.

    `no_worse`: surely not worse by the smallest effect; it may be better.
    """

    kind: Literal["better", "worse", "no_effect", "no_worse"]
    arm: str | None = None
    reference: str | None = Field(None, description="The arm it started from if not given.")
    contrast: dict[str, Finite] | None = Field(
        None, description="Weights of arms; their weighted sum is compared with zero."
    )
    effect: str | None = Field(
        None, description="An axis of the factorial, or two as in `model.norm:optim.lr`."
    )

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if [self.arm, self.contrast, self.effect].count(None) != 2:
            raise ValueError("give one of `arm`, `contrast` and `effect`")
        if self.contrast is not None and self.reference is not None:
            raise ValueError("a `contrast` has no `reference`: give that arm a weight")
        if self.effect is not None and self.reference is not None:
            raise ValueError("an `effect` has no `reference`: it is high against low")
        if self.contrast is not None and abs(sum(self.contrast.values())) > 1e-9:
            raise ValueError("the weights of a `contrast` add up to zero, as in {a: 1, b: -1}")
        if self.contrast is not None and not any(self.contrast.values()):
            raise ValueError("a `contrast` has weights other than zero, as in {a: 1, b: -1}")
        return self


class _Event(_Claim):
    """Something that happens in a run or does not; decided on the share of seeds."""

    arm: str | None = None
    arms: list[str] | None = Field(
        None, min_length=1, description="Several arms: it holds for a seed if in most of them."
    )
    negated: bool = Field(False, description="The claim is that it does not happen.")

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.arm is None) == (self.arms is None):
            raise ValueError("give either `arm` or `arms`")
        return self


class Reaches(_Event):
    """The metric reaches a level (at least it where up is better, at most it where down is)."""

    kind: Literal["reaches"]
    level: float = Field(allow_inf_nan=False)


class Diverges(_Event):
    """The run becomes NaN or inf, within so many steps where that is given."""

    kind: Literal["diverges"]
    within_steps: int | None = Field(None, ge=1)
    after_level: float | None = Field(
        None, allow_inf_nan=False, description="The metric had reached this level before."
    )


# Every name that a run may be given, in the order in which they are told.
Diagnosis = Literal[
    "diverged", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R7_overfitting", "R8", "R9", "R10",
    "vanishing_gradients", "exploding_gradients", "dead_units", "lr_too_large", "lr_too_small",
    "oscillation", "plateau",
]  # fmt: skip


class Diagnosed(_Event):
    """The loss-trend rule or the health record names it."""

    kind: Literal["diagnosed"]
    diagnosis: Diagnosis


class Order(_Claim):
    """The arms rank as stated, the best first."""

    kind: Literal["order"]
    arms: list[str] = Field(min_length=2)


class Exact(_Claim):
    """An equality, without statistics: of `arm` and `reference`, seed by seed, or a named check."""

    kind: Literal["exact"]
    arm: str | None = None
    reference: str | None = None
    check: str | None = Field(
        None,
        min_length=1,
        description="A metric that is 1 where a check holds, reported by task=checks or by yours.",
    )

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.arm is None) == (self.check is None):
            raise ValueError("give either `arm` or `check`")
        if self.check is not None and (self.reference or self.metric):
            raise ValueError("a `check` has neither `reference` nor `metric`: its name is both")
        return self


Assertion = Annotated[
    Comparison | Reaches | Diverges | Diagnosed | Order | Exact, Field(discriminator="kind")
]


class Claim(Part):
    """A row of the ledger: one assertion, or several with letters."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.\-]+$", max_length=LONGEST_NAME)
    source: str | None = Field(None, description="The document; the recipe's if not given.")
    assertion: Assertion | None = None
    parts: dict[str, Assertion] | None = Field(
        None, min_length=1, description="Assertions by letter; reproduced when every one is."
    )
    statement: str = ""

    @model_validator(mode="before")
    @classmethod
    def _assertion_lies_flat(cls, raw: Any) -> Any:
        """In YAML the assertion's keys stand beside the id; `kind` tells that there is one."""
        if not isinstance(raw, Mapping) or "parts" in raw or "assertion" in raw:
            return raw
        own = {k: raw[k] for k in ("id", "source") if k in raw}
        return {**own, "assertion": {k: v for k, v in raw.items() if k not in own}}

    @field_validator("parts")
    @classmethod
    def _letters(cls, parts: dict[str, Assertion] | None) -> dict[str, Assertion] | None:
        for letter in parts or ():
            if not re.fullmatch(r"[a-z]", letter):
                raise ValueError(f"parts are named by one small letter, but got {letter!r}")
        return parts

    def assertions(self) -> Iterator[tuple[str, Assertion]]:
        """The id and the assertion of each line: `T2.1a`, `T2.1b`, or the bare id."""
        if self.assertion is not None:
            yield self.id, self.assertion
        for letter, part in (self.parts or {}).items():
            yield self.id + letter, part
