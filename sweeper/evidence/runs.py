"""One finished trial as the evidence reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Instead of a status: looks ended before this arm needed the seed.
NOT_ASKED = "not needed"


@dataclass(frozen=True)
class Run:
    """A cell of the plan with its trial's accepted attempt (status `waiting` where there is none).

    `curve` maps `step` and each reported name to equally long lists; None where not reported.
    """

    arm: str
    seed: int
    phase: str
    trial_id: str
    status: str
    attempt: int | None = None
    device: str = ""
    duration_s: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Mapping[str, list[float | None]] = field(default_factory=dict)
    error: str = ""
    loss: str = ""  # what was minimised, where the built-in task says so
    axes: Mapping[str, Any] = field(default_factory=dict)  # what a search proposed
    # Versions by library, and a digest for each file of the user's, by path.
    ran_with: Mapping[str, str] = field(default_factory=dict)
    # The keys that a task of the user's read; None where nobody took note, as of our own.
    read: frozenset[str] | None = None
    read_all_told: bool = True  # whether every attempt that led here told what it read
