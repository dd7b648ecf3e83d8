"""The axes that act on any data: which samples are taken, and how they are scaled.

Which samples a trial sees is decided before anything is left out, so that arms stay comparable:
the validation part first, then the training samples in one order, so 1,800 are among the 3,200.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweeper import targets
from sweeper.errors import DoesNotApply, RequestError, nearest
from sweeper.training import streams
from sweeper.training.values import Data

Array = NDArray[Any]
# What makes grey of red, green and blue (ITU-R BT.601, as Pillow does).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class AxisError(RequestError):
    """A data axis that these arrays cannot follow."""


@dataclass(frozen=True)
class Parts:
    """Samples on the way: x (samples, …), y (samples,) numbers of classes, or targets."""

    train_x: Array
    train_y: Array
    val_x: Array
    val_y: Array
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """What the loop reads: x (samples, channels, height, width) or (samples, features), float32.

    y is (samples,) int64 with `classes`, else (samples, outputs…) float32 and `classes` empty.
    """

    train_x: Tensor
    train_y: Tensor
    val_x: Tensor
    val_y: Tensor
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One sample's shape, channels first for images."""
        return tuple(self.train_x.shape[1:])

    @property
    def outputs(self) -> int:
        """How many numbers the model answers with per sample."""
        return len(self.classes) or self.train_y[0].numel()

    def to(self, device: str) -> "Prepared":
        """The same on another device."""
        return Prepared(
            self.train_x.to(device),
            self.train_y.to(device),
            self.val_x.to(device),
            self.val_y.to(device),
            self.classes,
        )


def load(data: Mapping[str, Any], seed: int) -> Prepared:
    """Call the source that `data` names and prepare what it returns, as the trial's seed draws it.

    Raises RequestError or ValueError where the data do not fit what is asked.
    """
    axes = {k: data[k] for k in Data.model_fields}
    own = {k: v for k, v in data.items() if k not in axes and k != "_target_"}
    raw = targets.call(data["_target_"], own, axes)
    try:
        return prepare(raw, axes, seed)
    except AxisError as error:
        if data["_target_"].startswith(targets.OWN):
            raise
        # a recipe's axis that a user's own data cannot follow is an arm that does not apply
        raise DoesNotApply(str(error)) from None
    except RequestError as error:
        place = f"data.path: {own['path']!r}" if "path" in own else data["_target_"]
        raise RequestError(f"{place}: {error}") from None


def prepare(raw: Any, axes: Mapping[str, Any], seed: int) -> Prepared:
    """Split, thin, colour and scale what a source returned: 2 arrays, or 4 already split."""
    arrays = _checked(raw)
    parts = _split(arrays, axes, seed) if len(arrays) == 2 else _given(arrays, axes, seed)
    parts = _thinned(_without(parts, axes["drop_classes"]), axes["class_samples"])
    if not len(parts.train_x) or not len(parts.val_x):
        raise AxisError("data.drop_classes: no sample is left for training or validation.")
    train_x, val_x = (_coloured(x, axes["color"]) for x in (parts.train_x, parts.val_x))
    is_image = train_x.ndim == 4
    train_x, val_x = _scaled(train_x, val_x, axes["scaling"], is_image)
    train_y, val_y = _targets(parts, axes["target_scaling"])
    return Prepared(
        _tensor(train_x), _tensor(train_y), _tensor(val_x), _tensor(val_y), parts.classes
    )


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _checked(raw: Any) -> tuple[Array, ...]:
    if not isinstance(raw, tuple | list) or len(raw) not in (2, 4):
        raise RequestError(
            "a data function returns (x, y) or (train_x, train_y, val_x, val_y), "
            f"not {_described(raw)}"
        )
    arrays = tuple(np.asarray(a) for a in raw)
    for part, (x, y) in zip(
        ("", "val_"), zip(arrays[::2], arrays[1::2], strict=True), strict=False
    ):
        _check_pair(x, y, "train_" if len(arrays) == 4 and not part else part)
    if len(arrays) == 4 and arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise RequestError(
            f"train_x has samples of shape {arrays[0].shape[1:]}, val_x of {arrays[2].shape[1:]}"
        )
    return arrays


def _described(raw: Any) -> str:
    sized = isinstance(raw, tuple | list)
    return f"{type(raw).__name__} of {len(raw)}" if sized else type(raw).__name__


def _check_pair(x: Array, y: Array, part: str) -> None:
    for name, array in ((f"{part}x", x), (f"{part}y", y)):
        if array.dtype == object or array.ndim == 0:
            raise RequestError(f"{name} is not an array of equal rows (its type is {array.dtype})")
        if not len(array):
            raise RequestError(f"{name} is empty")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RequestError(f"{name} holds NaN or infinite values")
    if len(x) != len(y):
        raise RequestError(f"{part}x has {len(x)} samples and {part}y has {len(y)}")
    if x.dtype.kind not in "fiub":
        raise RequestError(f"{part}x holds {x.dtype}, not numbers")
    if x.ndim not in (2, 3, 4):
        raise RequestError(
            f"{part}x has shape {x.shape}; it should be samples × features, samples × height × "
            "width, or samples × height × width × channels"
        )


def _split(arrays: tuple[Array, ...], axes: Mapping[str, Any], seed: int) -> Parts:
    x, (y, classes) = arrays[0], _numbered(arrays[1])
    order = streams.generator(seed, "split").permutation(len(x))
    n_val = axes["validation_samples"] or max(1, len(x) // 5)
    n_train = _at_most(axes["train_samples"], len(x) - n_val, n_val)
    train, val = order[n_val : n_val + n_train], order[:n_val]
    return Parts(x[train], y[train], x[val], y[val], classes)


def _at_most(asked: int | None, there: int, n_val: int = 0) -> int:
    beside = f" beside {n_val} for validation" if n_val else ""
    if there < 1:
        raise AxisError(f"data.validation_samples: {n_val} leaves none for training.")
    if asked is not None and asked > there:
        raise AxisError(f"data.train_samples: {asked} are asked for, {there} are there{beside}.")
    return there if asked is None else asked


def _given(arrays: tuple[Array, ...], axes: Mapping[str, Any], seed: int) -> Parts:
    """Parts that the source has split: the axes take the first samples in the seed's order."""
    train_x, train_y, val_x, val_y = arrays
    train_y, classes = _numbered(train_y)
    if classes:
        val_y = _as_in_training(val_y, classes)
    n_train = _at_most(axes["train_samples"], len(train_x))
    n_val = axes["validation_samples"] or len(val_x)
    if n_val > len(val_x):
        raise AxisError(f"data.validation_samples: {n_val} of {len(val_x)} that are there.")
    train = streams.generator(seed, "split").permutation(len(train_x))[:n_train]
    val = streams.generator(seed, "split_validation").permutation(len(val_x))[:n_val]
    return Parts(train_x[train], train_y[train], val_x[val], val_y[val], classes)


def _numbered(y: Array) -> tuple[Array, tuple[str, ...]]:
    """Labels as numbers 0, 1, … with the names of the classes; targets as they are."""
    if y.dtype.kind == "f":
        return y, ()
    if y.ndim != 1:
        raise RequestError(
            f"labels have shape {y.shape}; one per sample is needed, not one-hot rows"
        )
    names, numbers = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise RequestError(f"all labels are {names[0]}: there is nothing to tell apart")
    return numbers.astype(np.int64), tuple(map(str, names))


def _as_in_training(y: Array, classes: tuple[str, ...]) -> Array:
    known = {name: i for i, name in enumerate(classes)}
    foreign = sorted({str(v) for v in y} - set(known))
    if foreign:
        raise RequestError(f"validation has labels that training lacks: {', '.join(foreign)}")
    return np.array([known[str(v)] for v in y], np.int64)


def _without(parts: Parts, dropped: list[str]) -> Parts:
    """Remove classes from both parts and number those that remain afresh."""
    if not dropped:
        return parts
    gone = [_class(parts, name, "drop_classes") for name in dropped]
    stay = np.setdiff1d(np.arange(len(parts.classes)), gone)
    if len(stay) < 2:
        raise AxisError("data.drop_classes: fewer than two classes would be left.")
    renumber = np.full(len(parts.classes), -1)
    renumber[stay] = np.arange(len(stay))
    train, val = (renumber[y] for y in (parts.train_y, parts.val_y))
    return Parts(
        parts.train_x[train >= 0],
        train[train >= 0],
        parts.val_x[val >= 0],
        val[val >= 0],
        tuple(parts.classes[i] for i in stay),
    )


def _class(parts: Parts, name: Any, axis: str) -> int:
    if not parts.classes:
        raise AxisError(f"data.{axis}: the targets are numbers, there are no classes.")
    if str(name) not in parts.classes:
        hint = nearest(str(name), parts.classes, what="classes")
        raise AxisError(f"data.{axis}: there is no class {str(name)!r}. {hint}")
    return parts.classes.index(str(name))


def _thinned(parts: Parts, counts: Mapping[str, int]) -> Parts:
    """Keep of each named class the first samples in the training order, at most so many."""
    keep = np.ones(len(parts.train_y), bool)
    for name, count in counts.items():
        of_class = np.flatnonzero(parts.train_y == _class(parts, name, "class_samples"))
        keep[of_class[count:]] = False
    return replace(parts, train_x=parts.train_x[keep], train_y=parts.train_y[keep])


def _coloured(x: Array, color: str) -> Array:
    """Vectors as they are; images as (samples, channels, height, width), grey or in colour."""
    x = x.astype(np.float32)
    if x.ndim == 2:
        if color != "native":
            raise AxisError(f"data.color: {color} needs images; the samples are vectors.")
        return x
    if x.ndim == 3:
        x = x[..., None]
    if x.shape[3] not in (1, 3):
        raise RequestError(
            f"images of shape {x.shape[1:]}: height × width × channels is needed, with 1 or 3 "
            "channels (channels go last)"
        )
    if color == "grey" and x.shape[3] == 3:
        x = (x @ LUMA)[..., None]
    elif color == "rgb" and x.shape[3] == 1:
        x = np.repeat(x, 3, axis=3)
    return x.transpose(0, 3, 1, 2)


def _scaled(train: Array, val: Array, scaling: str, is_image: bool) -> tuple[Array, Array]:
    """Shift and scale both parts by what the training part alone shows."""
    if scaling == "none":
        return train, val
    if scaling == "standardize_channel" and not is_image:
        raise AxisError("data.scaling: standardize_channel needs images: use standardize.")
    if scaling == "unit" and is_image:
        return train / np.float32(255), val / np.float32(255)
    if scaling == "unit":
        low = train.min(axis=0, keepdims=True)
        centre, width = low, _safe(train.max(axis=0, keepdims=True) - low, low)
    else:
        centre, width = _moments(train, (0, 2, 3) if scaling == "standardize_channel" else (0,))
    return (train - centre) / width, (val - centre) / width


def _moments(values: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and standard deviation over `axes`, summed in double precision."""
    mean = values.mean(axis=axes, keepdims=True, dtype=np.float64)
    spread = values.std(axis=axes, keepdims=True, dtype=np.float64)
    return mean.astype(np.float32), _safe(spread, mean).astype(np.float32)


def _safe(width: Array, around: Array) -> Array:
    """A constant feature is only shifted; what rounding leaves of it must not be blown up."""
    return np.where(width <= 1e-6 * np.maximum(np.abs(around), 1e-6), 1.0, width).astype(np.float32)


def _targets(parts: Parts, scaling: str) -> tuple[Array, Array]:
    """Labels as they are; targets as (samples, outputs…), standardised per output if asked."""
    if parts.classes:
        if scaling != "none":
            raise AxisError(f"data.target_scaling: {scaling} needs numbers as targets.")
        return parts.train_y, parts.val_y
    train, val = (
        (y[:, None] if y.ndim == 1 else y).astype(np.float32) for y in (parts.train_y, parts.val_y)
    )
    if scaling == "standardize":
        mean, spread = _moments(train, (0,))
        return (train - mean) / spread, (val - mean) / spread
    return train, val
