"""The axes that act on any data, in the order in which they act.

The samples of the source are split (`parts`); then come `STEPS`, an axis or two each: classes are
dropped and thinned, and training samples ordered; labels are spoilt, samples blanked, inputs or
targets made outliers, and what lies too far out is cleaned away (`spoil`); images are filtered,
those of validation moved and turned, all turned, cropped, coloured and laid out (`images`); inputs
are stretched over decades, squashed, joined by useless ones, scaled (or not, in validation) and
reduced (`scaling`).

An axis at its default leaves every bit as it was, and what an axis draws comes from a stream of its
own, so that arms stay paired.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sweeper import targets
from sweeper.errors import DoesNotApply, RequestError
from sweeper.training import images, scaling, spoil
from sweeper.training import parts as split_up
from sweeper.training.parts import Array, Axes, AxisError, Parts
from sweeper.training.values import Data

STEPS: tuple[Callable[[Parts, Axes], Parts], ...] = (
    split_up.drop_classes,
    split_up.thin,
    split_up.order,
    spoil.label_noise,
    spoil.label_shift,
    spoil.blank,
    spoil.outliers,
    spoil.clean,
    images.median_filter,
    images.move_validation,
    images.turn_validation,
    images.orient,
    images.crop,
    images.color,
    images.lay_out,
    scaling.stretch,
    scaling.squash,
    scaling.add_useless,
    scaling.scale,
    scaling.transpose_validation,
    scaling.reduce,
    scaling.scale_targets,
)


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


def prepare(raw: Any, axes: Axes, seed: int) -> Prepared:
    """Split what a source returned (2 arrays, or 4 already split) and take it through the axes."""
    arrays = _checked(raw)
    if len(arrays) == 2:
        parts = split_up.split(*arrays, axes, seed)
    else:
        parts = split_up.given(arrays, axes, seed)
    for step in STEPS:
        parts = step(parts, axes)
    return Prepared(
        _tensor(parts.train_x),
        _tensor(parts.train_y),
        _tensor(parts.val_x),
        _tensor(parts.val_y),
        parts.classes,
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
