"""Columns of a table: of one type each, and named so that a user's name hides none of ours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sweeper.evidence.runs import Run

FIRST_METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


def metric_names(
    runs: Sequence[Run], besides: tuple[str, ...], *, of_curves: bool = False
) -> list[str]:
    """The four usual ones first, then whatever else was reported, sorted."""
    found: set[str] = set()
    for run in runs:
        found.update(run.curve)
        if not of_curves:
            found.update(run.metrics)
    others = found - {*FIRST_METRICS, *besides, "step"}
    return [*FIRST_METRICS, *sorted(others)]


def free(name: str, kind: str, taken: tuple[str, ...]) -> str:
    """The name as a column; a user's metric `status` must not hide ours."""
    return f"{name} ({kind})" if name in taken else name


def plain(values: Sequence[Any]) -> Any:
    """A column of one type, which Parquet takes too: switches, numbers, or else texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.array(list(values), dtype="boolean")
    if kinds and kinds <= {int, float}:
        return whole(values) if kinds == {int} else floats(values)
    return objects([None if value is None else _as_text(value) for value in values])


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def objects(values: Sequence[Any]) -> "np.typing.NDArray[np.object_]":
    """As they are."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def floats(values: Sequence[float | None]) -> "np.typing.NDArray[np.float64]":
    """Numbers with gaps."""
    return np.array(values, dtype=float)  # None becomes NaN


def whole(values: Sequence[float | None]) -> Any:
    """Whole numbers where all are, with gaps; floats otherwise."""
    numbers = floats(values)
    if not np.all(np.isnan(numbers) | (np.abs(numbers) < 2**53) & (numbers == np.floor(numbers))):
        return numbers
    missing = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(missing, 0, numbers).astype(np.int64), missing)
