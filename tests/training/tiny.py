"""Small arrays, each sample with a name of its own, and what the data axes make of them."""

from typing import Any

import numpy as np

from sweeper.training import prepare
from sweeper.training.values import Data

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(5, 3, (100, 4)).astype(np.float32)
X[:, 0] = np.arange(100)  # names each sample
Y = np.arange(100) % 5
IMAGES = RANDOM.integers(0, 256, (50, 6, 7, 3), dtype=np.uint8)
NUMBERS = RANDOM.normal(100, 20, 100).astype(np.float32)


def prepared(raw: Any, seed: int = 0, **changes: Any) -> prepare.Prepared:
    axes = {**Data(scaling="none").model_dump(), **changes}
    return prepare.prepare(raw, axes, seed)


def names(part: Any) -> list[float]:
    found: list[float] = part[:, 0].tolist()
    return found
