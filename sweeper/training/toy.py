"""Samples of a known law, so that what a net should have learnt is known: classes and numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sweeper.training import streams

Array = NDArray[Any]


def draw(
    *, kind: str, samples: int, seed: int, errors: str, spread: float, turns: float
) -> tuple[Array, ...]:
    """(x, y) of two classes; or four parts of numbers, the last fifth for validation.

    Errors have the standard deviation `spread`. They fall on the inputs of classes and on the
    training targets of numbers; the validation targets of these have none.
    """
    rng, noise = (streams.generator(seed, f"toy_{what}") for what in ("samples", "errors"))
    if kind in ("moons", "spirals"):
        labels = np.arange(samples) % 2
        t = rng.random(samples)
        x = _moons(t, labels) if kind == "moons" else _spirals(t, labels, turns)
        order = rng.permutation(samples)
        x = x + _errors(noise, errors, spread, x.shape)
        return x[order].astype(np.float32), labels[order]
    x, y = _NUMBERS[kind](rng, samples)
    held = max(1, samples // 5)
    observed = y + _errors(noise, errors, spread, y.shape)
    x, y, observed = (a.astype(np.float32) for a in (x, y, observed))
    return x[:-held], observed[:-held], x[-held:], y[-held:]


def _moons(t: Array, labels: Array) -> Array:
    """Two interleaved half circles of radius 1."""
    angle = np.pi * t
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    x: Array = np.where(labels[:, None] == 0, upper, lower)
    return x


def _spirals(t: Array, labels: Array, turns: float) -> Array:
    """Two arms from the middle to radius 2, evenly filled along their length, half a turn apart."""
    along = np.sqrt(0.01 + 0.99 * t)
    angle = 2 * np.pi * turns * along + np.pi * labels
    x: Array = 2 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x


def _curve(rng: Generator, samples: int) -> tuple[Array, Array]:
    """Neither odd nor even, so that a net without biases cannot follow it."""
    x = rng.uniform(-3, 3, (samples, 1))
    return x, np.sin(2 * x[:, 0]) + x[:, 0] ** 2 / 4


def _smooth(rng: Generator, samples: int) -> tuple[Array, Array]:
    x = rng.uniform(-2, 2, (samples, 2))
    return x, np.sin(2 * x[:, 0]) * np.cos(x[:, 1]) + x.prod(axis=1) / 2


def _linear(rng: Generator, samples: int) -> tuple[Array, Array]:
    """The target's deviation is about 1."""
    weights = rng.normal(size=10) / np.sqrt(10)
    x = rng.normal(size=(samples, 10))
    return x, x @ weights


_NUMBERS: dict[str, Callable[[Generator, int], tuple[Array, Array]]] = {
    "curve": _curve,
    "smooth": _smooth,
    "linear": _linear,
}


def _errors(rng: Generator, kind: str, spread: float, shape: tuple[int, ...]) -> Array:
    if kind == "laplace":
        return rng.laplace(scale=spread / np.sqrt(2), size=shape)
    return rng.normal(scale=spread, size=shape) if kind == "gaussian" else np.zeros(shape)
