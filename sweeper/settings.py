"""The values of the groups that say where and how: `executor` and `search`."""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

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


class Sampler(_Settings):
    """How a search proposes values, every option explicit."""

    name: Literal["tpe", "random", "qmc"]
    seed: int = Field(0, ge=0)
    startup_trials: int = Field(10, ge=1)
    multivariate: bool = True
    constant_liar: bool = True
