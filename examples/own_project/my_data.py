"""Two spirals wound into each other: a small data set that no linear model can separate."""

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def spirals(*, seed: int, samples: int = 600, noise: float = 0.05, turns: float = 1.5) -> Arrays:
    """Points (samples, 2) and labels 0 or 1, split into train_x, train_y, val_x, val_y.

    `seed` is the axis `data.seed`; the other keywords become axes by being named here. A third
    of the samples is for validation.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, samples)
    along = np.sqrt(random.uniform(0.05, 1, samples))
    angle = 2 * np.pi * turns * along + np.pi * labels
    points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points += random.normal(0, noise, points.shape)
    held_out = samples // 3
    return points[held_out:], labels[held_out:], points[:held_out], labels[:held_out]
