"""How large the numbers are that a net reads: stretched, squashed, scaled, and how many they are.

Vectors are (samples, features), images (samples, channels, height, width), both float32.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from sweeper.training.images import LUMA
from sweeper.training.parts import Array, Axes, AxisError, Parts

# Mean and deviation per channel, of pixels / 255, as they are handed down with these data sets.
KNOWN = {
    "mnist": ([0.1307] * 3, [0.3081] * 3),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def stretch(parts: Parts, axes: Axes) -> Parts:
    """Inputs over so many decades: 10^(decades · u) − 1 of u between 0 and 1."""
    decades = axes["decades"]
    if not decades:
        return parts
    low: Any = 0.0
    width: Any = 255.0
    if parts.train_x.ndim == 2:
        low, width = _range(parts.train_x, (0,))
    train, val = (
        np.expm1(np.clip((x - low) / width, 0, 1) * (decades * np.log(10)), dtype=np.float64)
        for x in (parts.train_x, parts.val_x)
    )
    return replace(parts, train_x=train.astype(np.float32), val_x=val.astype(np.float32))


def squash(parts: Parts, axes: Axes) -> Parts:
    """Inputs through a function that bounds them, or flattens what is large."""
    how, at = axes["squash"], axes["squash_at"]
    if how == "none":
        return parts
    if how == "clip" and at is None:
        raise AxisError("data.squash_at: clip needs its bound.")
    if how == "tanh_scaled" and at is None:
        at = _usual_size(parts.train_x)
    train, val = (_squashed(x, how, at) for x in (parts.train_x, parts.val_x))
    return replace(parts, train_x=train, val_x=val)


def _usual_size(x: Array) -> float:
    positive = x[x > 0]
    if not len(positive):
        raise AxisError("data.squash_at: no training input is above 0 to take it from: give it.")
    return float(np.median(positive))


def _squashed(x: Array, how: str, at: float) -> Array:
    if how == "clip":
        return np.clip(x, 0, np.float32(at))
    if how == "log":
        return np.sign(x) * np.log1p(np.abs(x))
    return np.tanh(x / np.float32(at)) if how == "tanh_scaled" else np.tanh(x)


def add_useless(parts: Parts, axes: Axes) -> Parts:
    """Columns that carry nothing, standard normal, beside the features."""
    count = axes["useless_inputs"]
    if not count:
        return parts
    if parts.train_x.ndim != 2:
        raise AxisError(f"data.useless_inputs: {count} need vectors; the samples are images.")
    rng = parts.generator("useless_inputs")
    val, train = (  # validation first: it stays the same where fewer samples train
        np.hstack([x, rng.standard_normal((len(x), count), np.float32)])
        for x in (parts.val_x, parts.train_x)
    )
    return replace(parts, train_x=train, val_x=val)


def scale(parts: Parts, axes: Axes) -> Parts:
    """Shift and scale both parts by what the training part alone shows, or as `mismatch` says."""
    mismatch = axes["mismatch"]
    if mismatch in ("unscaled", "own_statistics"):
        _check_mismatch(parts, axes)
    if axes["scaling"] == "none":
        return parts
    train, val = parts.train_x, parts.val_x
    centre, width = _centre_and_width(train, axes)
    if mismatch == "own_statistics":
        val_centre, val_width = _centre_and_width(val, {**axes, "statistics": "own"})
        return replace(
            parts, train_x=(train - centre) / width, val_x=(val - val_centre) / val_width
        )
    train = (train - centre) / width
    return replace(
        parts, train_x=train, val_x=val if mismatch == "unscaled" else (val - centre) / width
    )


def _check_mismatch(parts: Parts, axes: Axes) -> None:
    mismatch, scaling = axes["mismatch"], axes["scaling"]
    if scaling == "none":
        raise AxisError(f"data.mismatch: {mismatch} needs a scaling, and data.scaling is none.")
    if mismatch == "own_statistics" and scaling == "unit" and _are_pixels(parts.train_x, axes):
        raise AxisError("data.mismatch: own_statistics changes nothing where images are / 255.")


def _are_pixels(x: Array, axes: Axes) -> bool:
    return x.ndim == 4 and not axes["decades"] and axes["squash"] == "none"


def _centre_and_width(x: Array, axes: Axes) -> tuple[Any, Any]:
    scaling, per_channel = axes["scaling"], (0, 2, 3)
    if scaling == "standardize_channel":
        if x.ndim == 2:
            raise AxisError("data.scaling: standardize_channel needs images: use standardize.")
        return _moments(x, per_channel) if axes["statistics"] == "own" else _known(x, axes)
    if axes["statistics"] != "own":
        raise AxisError(f"data.statistics: {axes['statistics']} needs scaling standardize_channel.")
    if scaling == "unit" and _are_pixels(x, axes):
        return np.float32(0), np.float32(255)
    if scaling == "unit":
        return _range(x, (0,) if x.ndim == 2 else (0, 1, 2, 3))
    mean, deviation = _moments(x, (0,))
    return mean, deviation**2 if scaling == "standardize_by_variance" else deviation


def _known(x: Array, axes: Axes) -> tuple[Array, Array]:
    """Another data set's mean and deviation, in the pixels of this one."""
    if not _are_pixels(x, axes):
        raise AxisError(
            f"data.statistics: {axes['statistics']} are of pixels, which data.decades and "
            "data.squash leave none."
        )
    found = np.array(KNOWN[axes["statistics"]], np.float32) * np.float32(255)
    if x.shape[1] == 1:
        found = (found @ LUMA)[:, None]
    mean, deviation = found[..., None, None]
    return mean, deviation


def _range(values: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """The least value and the distance to the largest, over `axes`."""
    low = values.min(axis=axes, keepdims=True)
    return low, _safe(values.max(axis=axes, keepdims=True) - low, low)


def _moments(values: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and standard deviation over `axes`, summed in double precision."""
    mean = values.mean(axis=axes, keepdims=True, dtype=np.float64)
    spread = values.std(axis=axes, keepdims=True, dtype=np.float64)
    return mean.astype(np.float32), _safe(spread, mean).astype(np.float32)


def _safe(width: Array, around: Array) -> Array:
    """A constant feature is only shifted; what rounding leaves of it must not be blown up."""
    return np.where(width <= 1e-6 * np.maximum(np.abs(around), 1e-6), 1.0, width).astype(np.float32)


def transpose_validation(parts: Parts, axes: Axes) -> Parts:
    """Swap height and width of the validation images alone."""
    if axes["mismatch"] != "transposed":
        return parts
    parts.need_images("mismatch", "transposed")
    height, width = parts.val_x.shape[2:]
    if height != width:
        raise AxisError(f"data.mismatch: transposed images of {height} × {width} do not fit.")
    return replace(parts, val_x=parts.val_x.swapaxes(2, 3))


def reduce(parts: Parts, axes: Axes) -> Parts:
    """Vectors of the training part's first principal components, centred and not scaled."""
    wanted = axes["dimensions"]
    if wanted is None:
        return parts
    train, val = (x.reshape(len(x), -1).astype(np.float64) for x in (parts.train_x, parts.val_x))
    most = min(train.shape)
    if wanted > most:
        samples, inputs = train.shape
        raise AxisError(
            f"data.dimensions: {wanted} of at most {most} ({inputs} inputs, {samples} training "
            "samples)."
        )
    mean = train.mean(axis=0)
    found = np.linalg.svd(train - mean, full_matrices=False)[2][:wanted]
    # which way an axis points is the library's choice: let its largest part be positive
    largest = np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1)
    found = (found * np.sign(largest)).T
    train, val = (((x - mean) @ found).astype(np.float32) for x in (train, val))
    return replace(parts, train_x=train, val_x=val)


def scale_targets(parts: Parts, axes: Axes) -> Parts:
    """Labels as they are; targets as (samples, outputs…), scaled per output if asked."""
    scaling = axes["target_scaling"]
    if parts.classes:
        if scaling != "none":
            raise AxisError(f"data.target_scaling: {scaling} needs numbers as targets.")
        return parts
    train, val = (
        (y[:, None] if y.ndim == 1 else y).astype(np.float32) for y in (parts.train_y, parts.val_y)
    )
    if scaling == "none":
        return replace(parts, train_y=train, val_y=val)
    centre, width = _range(train, (0,)) if scaling == "unit" else _moments(train, (0,))
    if scaling == "center":
        return replace(parts, train_y=train - centre, val_y=val - centre)
    return replace(parts, train_y=(train - centre) / width, val_y=(val - centre) / width)
