"""The values of the groups that say where and how: `executor`, `search` and `pruner`."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from sweeper.limits import MOST_MIB, MOST_SECONDS, MOST_SLOTS


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Executor(_Settings):
    """Where trials run; the choices of the group hold those keys that have a meaning there."""

    name: Literal["local", "inline", "ray"]
    slots: int | None = Field(None, ge=1, le=MOST_SLOTS)
    devices: list[str] | None = Field(None, min_length=1)
    per_device: int | None = Field(None, ge=1, le=MOST_SLOTS)
    devices_per_trial: int = Field(1, ge=1, le=MOST_SLOTS)
    timeout_s: float | None = Field(None, gt=0, le=MOST_SECONDS, allow_inf_nan=False)
    grace_s: float = Field(20.0, ge=0, le=MOST_SECONDS, allow_inf_nan=False)
    preload_torch: bool = True
    memory_mib: int | None = Field(None, ge=1, le=MOST_MIB)
    address: str | None = None
    cpus_per_trial: float = Field(1.0, gt=0, allow_inf_nan=False)
    lease_s: float = Field(60.0, ge=3, le=MOST_SECONDS, allow_inf_nan=False)

    @field_validator(
        "slots", "per_device", "devices_per_trial", "timeout_s", "grace_s", "memory_mib",
        "cpus_per_trial", "lease_s", mode="before",
    )  # fmt: skip
    @classmethod
    def _are_numbers(cls, value: object) -> object:
        if isinstance(value, bool):  # which pydantic would count as 1
            raise ValueError("a number belongs here, not a switch")
        return value

    @field_validator("devices")
    @classmethod
    def _are_devices(cls, devices: list[str] | None) -> list[str] | None:
        for device in devices or ():
            if not re.fullmatch(r"cpu|(cuda:)?\d+|(GPU|MIG)-[\w/-]+", device):
                raise ValueError(f"{device!r} is no device: write cpu, cuda:0 or a UUID (GPU-…)")
        return devices

    @model_validator(mode="after")
    def _are_not_too_many(self) -> Self:
        if len(self.devices or [""]) * (self.per_device or 1) > MOST_SLOTS:
            raise ValueError(f"devices and per_device make at most {MOST_SLOTS} slots")
        return self

    @model_validator(mode="after")
    def _shares_or_spans(self) -> Self:
        if self.devices_per_trial > 1 and (self.per_device or 1) > 1:
            raise ValueError(
                "per_device shares a GPU between trials and devices_per_trial gives a trial "
                "several: give one of the two"
            )
        return self

    @model_validator(mode="after")
    def _ray_deals_devices(self) -> Self:
        if self.name == "ray" and self.devices not in (None, ["cpu"]):
            raise ValueError("Ray deals out its nodes' GPUs: leave devices out, or give [cpu]")
        return self

    @model_validator(mode="after")
    def _inline_cannot_stop(self) -> Self:
        if self.name == "inline" and self.timeout_s is not None:
            raise ValueError("timeout_s needs executor=local: a process that can be stopped")
        return self


class _Choice(_Settings):
    """Settings of one of several kinds, each with options of its own."""

    name: str
    options: ClassVar[Mapping[str, tuple[str, ...]]]

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_switch(cls, value: object, info: ValidationInfo) -> object:
        kind = str(cls.model_fields[info.field_name or ""].annotation)
        if isinstance(value, bool) and "bool" not in kind and ("int" in kind or "float" in kind):
            raise ValueError("a number belongs here, not a switch")
        return value

    @model_validator(mode="after")
    def _has_its_own_options(self) -> Self:
        own = self.options[self.name]
        for option in sorted(self.model_fields_set - {"name", *own}):
            shown = f"its options are {', '.join(own)}" if own else "it has none"
            raise ValueError(f"{option} is no option of {self.name}: {shown}")
        return self

    @model_serializer
    def _own(self) -> dict[str, Any]:
        return {"name": self.name, **{name: getattr(self, name) for name in self._kept()}}

    def _kept(self) -> tuple[str, ...]:
        return self.options[self.name]


_OF_TPE = ("startup_trials", "multivariate", "constant_liar")
_OF_EVERY_OLD = ("seed", *_OF_TPE, "importance")  # kept: a study is called by its settings


class Sampler(_Choice):
    """How a search proposes values, every option explicit."""

    options = {
        "tpe": (
            "seed", "startup_trials", "multivariate", "group", "constant_liar", "importance",
        ),
        "random": _OF_EVERY_OLD,
        "qmc": _OF_EVERY_OLD,
        "gp": ("seed", "startup_trials", "deterministic", "importance"),
        "cmaes": (
            "seed", "startup_trials", "population_size", "separable", "with_margin",
            "adapt_learning_rate", "consider_pruned", "importance",
        ),
    }  # fmt: skip

    name: Literal["tpe", "random", "qmc", "gp", "cmaes"]
    seed: int = Field(0, ge=0)
    startup_trials: int = Field(10, ge=1)
    multivariate: bool = True
    group: bool | None = None
    constant_liar: bool = True
    deterministic: bool = False
    population_size: int | None = Field(None, ge=2)
    separable: bool = False
    with_margin: bool = False
    adapt_learning_rate: bool = False
    consider_pruned: bool = False
    importance: Literal["ped_anova", "fanova", "none"] = "ped_anova"

    def _kept(self) -> tuple[str, ...]:
        """What is at its default and came later is left out: a study is called by its sampler."""
        later = {"group": None, "importance": "ped_anova"}
        return tuple(o for o in super()._kept() if o not in later or getattr(self, o) != later[o])

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.group and not self.multivariate:
            raise ValueError("group models axes jointly: it needs multivariate=true")
        chosen = [
            n for n in ("separable", "with_margin", "adapt_learning_rate") if getattr(self, n)
        ]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} exclude each other: choose one")
        return self


class Pruner(_Choice):
    """Which trials of a search are given up before their end, every option explicit."""

    options = {
        "none": (),
        "median": ("startup_trials", "warmup_steps", "interval_steps", "min_trials"),
        "percentile": (
            "percentile", "startup_trials", "warmup_steps", "interval_steps", "min_trials",
        ),
        "asha": ("min_resource", "reduction_factor", "min_early_stopping_rate", "bootstrap_count"),
        "hyperband": ("min_resource", "max_resource", "reduction_factor", "bootstrap_count"),
        "wilcoxon": ("p_threshold", "startup_steps"),
    }  # fmt: skip

    name: Literal["none", "median", "percentile", "asha", "hyperband", "wilcoxon"]
    percentile: float = Field(25.0, ge=0, le=100)
    startup_trials: int = Field(5, ge=0)
    warmup_steps: int = Field(0, ge=0)
    interval_steps: int = Field(1, ge=1)
    min_trials: int = Field(1, ge=1)
    min_resource: int | Literal["auto"] = 1
    max_resource: int | Literal["auto"] = "auto"
    reduction_factor: int = Field(4, ge=2)
    min_early_stopping_rate: int = Field(0, ge=0)
    bootstrap_count: int = Field(0, ge=0)
    p_threshold: float = Field(0.1, ge=0, le=1)
    startup_steps: int = Field(2, ge=0)

    @field_validator("min_resource", "max_resource", mode="before")
    @classmethod
    def _are_steps(cls, steps: object) -> object:
        is_number = isinstance(steps, int) and not isinstance(steps, bool) and steps >= 1
        if not is_number and steps != "auto":
            raise ValueError(f"give steps from 1 up, or auto, and not {steps!r}")
        return steps

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        low, high = self.min_resource, self.max_resource
        if self.name == "hyperband" and low == "auto":
            raise ValueError("min_resource is a number of steps in hyperband: write 1")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            raise ValueError(f"min_resource is at most max_resource, but got {low} and {high}")
        open_end = high if self.name == "hyperband" else low
        if self.bootstrap_count and open_end == "auto":
            raise ValueError("bootstrap_count needs a number of steps where auto stands")
        return self


def options_of(sampler: Mapping[str, Any]) -> dict[str, Any]:
    """A sampler's settings that mean something to its kind."""
    without = _OF_TPE if sampler["name"] in ("random", "qmc") else ()
    return {option: value for option, value in sampler.items() if option not in without}
