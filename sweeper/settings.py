"""The values of the groups that say where and how: `executor` and `search`."""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Executor(_Settings):
    """Where trials run."""

    name: Literal["local", "inline"]
    slots: int | None = Field(None, ge=1)
    devices: list[str] | None = Field(None, min_length=1)
    timeout_s: float | None = Field(None, gt=0, allow_inf_nan=False)

    @field_validator("devices")
    @classmethod
    def _are_devices(cls, devices: list[str] | None) -> list[str] | None:
        for device in devices or ():
            if not re.fullmatch(r"cpu|(cuda:)?\d+|(GPU|MIG)-[\w/-]+", device):
                raise ValueError(f"{device!r} is no device: write cpu, cuda:0 or a UUID (GPU-…)")
        return devices

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
