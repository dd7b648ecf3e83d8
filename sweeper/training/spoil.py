"""Faults planted into the training part, labels first, then outliers; and what cleaning leaves."""

from dataclasses import replace

import numpy as np

from sweeper.training.parts import Array, Axes, AxisError, Parts

# The median of the absolute deviations times this is the standard deviation of a normal law.
TO_DEVIATION = 1.4826


def label_noise(parts: Parts, axes: Axes) -> Parts:
    """Draw a share of the training labels anew; the samples of a smaller share are among them."""
    if not axes["label_noise"]:
        return parts
    parts.need_classes("label_noise")
    rng, n = parts.generator("label_noise"), len(parts.train_y)
    drawn = rng.integers(len(parts.classes), size=n)
    chosen = rng.permutation(n)[: _part(axes["label_noise"], n)]
    labels = parts.train_y.copy()
    labels[chosen] = drawn[chosen]
    return replace(parts, train_y=labels)


def label_shift(parts: Parts, axes: Axes) -> Parts:
    """Move the training labels on, so that each sample has that of one before it."""
    shift = axes["label_shift"]
    if not shift:
        return parts
    if shift % len(parts.train_y) == 0:
        raise AxisError(
            f"data.label_shift: {shift} comes round to where it was, with "
            f"{len(parts.train_y)} training samples."
        )
    return replace(parts, train_y=np.roll(parts.train_y, shift, axis=0))


def blank(parts: Parts, axes: Axes) -> Parts:
    """Put the mean sample in the place of a share of the training samples; labels stay."""
    if not axes["blank_share"]:
        return parts
    n = len(parts.train_x)
    rows = parts.generator("blank").permutation(n)[: _part(axes["blank_share"], n)]
    x = parts.train_x.astype(np.float32)
    x[rows] = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    return replace(parts, train_x=x)


def outliers(parts: Parts, axes: Axes) -> Parts:
    """Spoil a share of the training samples: an input times, or the target plus, a large number."""
    if not axes["outlier_share"]:
        return parts
    rng, n = parts.generator("outliers"), len(parts.train_x)
    rows = rng.permutation(n)[: _part(axes["outlier_share"], n)]
    size = np.float32(axes["outlier_size"])
    if axes["outlier_in"] == "inputs":
        x = parts.train_x.astype(np.float32)
        flat = x.reshape(n, -1)
        for row, at in zip(rows, rng.random(len(rows)), strict=True):
            there = np.flatnonzero(flat[row])  # times anything, zero stays zero
            if len(there):
                flat[row, there[int(at * len(there))]] *= size
        return replace(parts, train_x=x)
    if parts.classes:
        raise AxisError("data.outlier_in: targets needs numbers as targets, not classes.")
    y = parts.train_y.astype(np.float32)
    y[rows] += size * y.std(dtype=np.float64).astype(np.float32)
    return replace(parts, train_y=y)


def clean(parts: Parts, axes: Axes) -> Parts:
    """Leave out training samples with an input or a target far from the median of all."""
    beyond = axes["clean_beyond"]
    if beyond is None:
        return parts
    keep = _near(parts.train_x, beyond)
    if not parts.classes:
        keep &= _near(parts.train_y, beyond)
    if not keep.any():
        raise AxisError(f"data.clean_beyond: {beyond} leaves no training sample.")
    return parts.of_training(keep)


def _part(share: float, of: int) -> int:
    """How many a share is: at least one, or it would be none."""
    return max(1, round(share * of))


def _near(values: Array, beyond: float) -> Array:
    """(samples,) whether all of a sample lies within so many deviations of each column's median.

    The deviation is robust, since the outliers themselves widen the standard deviation; where
    more than half of a column is one value, that would be 0, and the standard one is taken.
    """
    columns = values.reshape(len(values), -1).astype(np.float64)
    away = np.abs(columns - np.median(columns, axis=0))
    robust = TO_DEVIATION * np.median(away, axis=0)
    deviation = np.where(robust > 0, robust, columns.std(axis=0))
    near: Array = np.all(away <= beyond * deviation, axis=1)
    return near
