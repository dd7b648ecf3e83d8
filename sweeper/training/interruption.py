"""A run that is stopped on purpose and goes on from its checkpoint: how far its loss jumps."""

import math
from collections.abc import Callable, Mapping
from typing import Any

# The loss is read after each of so many steps.
STEPS = 20


class Interruption:
    """Whether and when `train.interrupt_after` stops the run, and what comes of it."""

    def __init__(self, train: Mapping[str, Any]) -> None:
        self._after = train["interrupt_after"]
        self._before: float | None = None
        self._largest = -math.inf
        self._steps = 0

    def is_due(self, epochs: int) -> bool:
        """Whether the run is to be stopped after so many epochs, and has not been."""
        return self._after == epochs and self._before is None

    def over(self, training_loss: float) -> None:
        """The run stands where it was stopped, with this loss."""
        self._before = training_loss

    def step(self, read_loss: Callable[[], float]) -> None:
        """Called after each step; the first ones after an interruption are read."""
        if self._before is not None and self._steps < STEPS:
            self._steps += 1
            loss = read_loss()
            self._largest = max(self._largest, math.inf if math.isnan(loss) else loss)

    def metrics(self) -> dict[str, float]:
        """resume_jump: the largest loss of the steps after over the loss before."""
        if self._before is None or not self._steps:
            return {}
        return {"resume_jump": self._largest / max(self._before, 1e-45)}

    def state(self) -> dict[str, Any]:
        """What was read so far."""
        return {"before": self._before, "largest": self._largest, "steps": self._steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Hold what was read when `state` was taken."""
        self._before, self._largest = state["before"], state["largest"]
        self._steps = state["steps"]
