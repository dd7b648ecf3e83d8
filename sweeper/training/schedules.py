"""The learning rate of each step, as a function of the step alone (`plateau` also listens)."""

import math
from collections.abc import Callable, Mapping
from typing import Any

Curve = Callable[[int], float]


class Schedule:
    """A share of the base lr for each step from 0, times what the plateau rule has taken off."""

    def __init__(self, lr: float, share: Curve, plateau: "Plateau | None" = None) -> None:
        self._lr, self._share, self._plateau = lr, share, plateau

    def at(self, step: int) -> float:
        """The learning rate with which step number `step` (from 0) is taken."""
        return self._lr * self._share(step) * (self._plateau.share if self._plateau else 1.0)

    def observe(self, losses: Mapping[str, float]) -> None:
        """Tell the losses of an evaluated epoch; only `plateau` minds."""
        if self._plateau:
            self._plateau.observe(losses)

    def state(self) -> dict[str, float]:
        """What was learnt from the losses so far: all that is more than a function of the step."""
        return self._plateau.state() if self._plateau else {}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Stand where `state` was taken."""
        if self._plateau:
            self._plateau.load_state(state)


class Plateau:
    """Multiply by `factor` once the watched loss has not fallen by `threshold` (a share of the
    best) for `patience` evaluated epochs."""

    def __init__(self, schedule: Mapping[str, Any]) -> None:
        self._watch, self._threshold = schedule["watch"], schedule["threshold"]
        self._factor, self._patience = schedule["factor"], schedule["patience"]
        self._best, self._waited = math.inf, 0
        self.share = 1.0

    def observe(self, losses: Mapping[str, float]) -> None:
        loss = losses[self._watch]
        if loss < self._best * (1 - self._threshold):
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited >= self._patience:
            self.share *= self._factor
            self._waited = 0

    def state(self) -> dict[str, float]:
        return {"best": self._best, "waited": self._waited, "share": self.share}

    def load_state(self, state: Mapping[str, float]) -> None:
        self._best, self._waited = state["best"], int(state["waited"])
        self.share = state["share"]


def build(schedule: Mapping[str, Any], *, lr: float, steps_per_epoch: int, epochs: int) -> Schedule:
    """The schedule of a run of `epochs` × `steps_per_epoch` steps from the base rate `lr`."""
    if schedule["name"] == "plateau":
        return Schedule(lr, _constant, Plateau(schedule))
    total = steps_per_epoch * epochs
    return Schedule(lr, _curve(schedule, steps_per_epoch, total))


def _curve(schedule: Mapping[str, Any], per_epoch: int, total: int) -> Curve:
    match schedule["name"]:
        case "constant":
            return _constant
        case "step":
            every = schedule["every_epochs"] * per_epoch
            return lambda step: schedule["factor"] ** (step // every)
        case "multi_step":
            milestones = [m * per_epoch for m in schedule["milestones"]]
            return lambda step: schedule["factor"] ** sum(step >= m for m in milestones)
        case "exponential":
            return lambda step: schedule["factor"] ** step
        case "cosine":
            return lambda step: _cosine(1.0, schedule["final_lr_share"], step / total)
        case "one_cycle":
            return _one_cycle(schedule, total)
        case "warmup":
            # The first step is taken with 1/steps of the rate: with zero it would be lost.
            return lambda step: min(1.0, (step + 1) / schedule["steps"])
        case other:
            raise ValueError(f"there is no schedule {other!r}")


def _constant(_: int) -> float:
    return 1.0


def _cosine(start: float, end: float, passed: float) -> float:
    """From `start` to `end` along half a cosine; `passed` runs from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * passed))


def _one_cycle(schedule: Mapping[str, Any], total: int) -> Curve:
    """Up from `start_share` to the base lr, then down (Smith 2018, arXiv:1803.09820)."""
    peak = schedule["peak_share"] * total

    def share(step: int) -> float:
        if step < peak:
            return _cosine(schedule["start_share"], 1.0, step / peak)
        return _cosine(1.0, schedule["final_lr_share"], (step - peak) / (total - peak))

    return share
