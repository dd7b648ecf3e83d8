"""The values of the groups that say where and how: `executor` and `search`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Executor(_Settings):
    """Where trials run."""

    name: Literal["local", "inline"]
    slots: int | None = Field(None, ge=1)
    devices: list[str] | None = Field(None, min_length=1)
    timeout_s: float | None = Field(None, gt=0, allow_inf_nan=False)


class Sampler(_Settings):
    """How a search proposes values, every option explicit."""

    name: Literal["tpe", "random", "qmc"]
    seed: int = Field(0, ge=0)
    startup_trials: int = Field(10, ge=1)
    multivariate: bool = True
    constant_liar: bool = True
