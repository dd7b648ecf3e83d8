"""Axes of images alone, (samples, height, width[, channels]): filtered, moved, turned, laid out."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from sweeper.errors import RequestError
from sweeper.training.parts import Array, Axes, AxisError, Parts

# What makes grey of red, green and blue (ITU-R BT.601, as Pillow does).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# As many images are filtered at a time, so that their windows fit into the cache.
AT_A_TIME = 64


def median_filter(parts: Parts, axes: Axes) -> Parts:
    """Each pixel as the median of the square around it, channel by channel; borders repeat."""
    side = axes["median_filter"]
    if not side:
        return parts
    parts.need_images("median_filter", side)
    train, val = (_filtered(x, side) for x in (parts.train_x, parts.val_x))
    return replace(parts, train_x=train, val_x=val)


def _filtered(x: Array, side: int) -> Array:
    around = [(0, 0), (side // 2,) * 2, (side // 2,) * 2, *[(0, 0)] * (x.ndim - 3)]
    out = np.empty(x.shape, np.float32)
    for first in range(0, len(x), AT_A_TIME):
        part = np.pad(x[first : first + AT_A_TIME], around, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(part, (side, side), axis=(1, 2))
        flat = windows.reshape(*windows.shape[:-2], side * side)
        middle = side * side // 2
        out[first : first + AT_A_TIME] = np.partition(flat, middle, axis=-1)[..., middle]
    return out


def move_validation(parts: Parts, axes: Axes) -> Parts:
    """Move each validation image by whole pixels to a place drawn for it; borders are repeated."""
    most = axes["validation_shift"]
    if not most:
        return parts
    parts.need_images("validation_shift", most)
    x = parts.val_x
    n, height, width = x.shape[:3]
    if most >= min(height, width):
        raise AxisError(f"data.validation_shift: {most} of images of {height} × {width} pixels.")
    drawn = parts.generator("validation_shift").integers(-most, most + 1, (2, n, 1))
    rows, columns = (
        np.clip(np.arange(side) - by, 0, side - 1)
        for side, by in zip((height, width), drawn, strict=True)
    )
    moved = x[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return replace(parts, val_x=moved)


def turn_validation(parts: Parts, axes: Axes) -> Parts:
    """Turn each validation image about its middle, and enlarge or shrink it, as drawn for it."""
    degrees, zoom = axes["validation_rotation"], axes["validation_zoom"]
    if not degrees and not zoom:
        return parts
    axis = "validation_rotation" if degrees else "validation_zoom"
    parts.need_images(axis, axes[axis])
    n = len(parts.val_x)
    angle = parts.generator("validation_rotation").uniform(-degrees, degrees, n)
    factor = parts.generator("validation_zoom").uniform(1 - zoom, 1 + zoom, n)
    return replace(parts, val_x=_resampled(parts.val_x, np.deg2rad(angle), factor))


def _resampled(x: Array, angle: Array, factor: Array) -> Array:
    """Bilinear, about the middle; angle (samples,) in radians, factor (samples,) above 0."""
    images = torch.from_numpy((x[..., None] if x.ndim == 3 else x).astype(np.float32))
    images = images.permute(0, 3, 1, 2)
    aspect = images.shape[2] / images.shape[3]
    cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
    zero = np.zeros_like(cos)
    theta = np.array([[cos, -sin * aspect, zero], [sin / aspect, cos, zero]], np.float32)
    grid = functional.affine_grid(
        torch.from_numpy(theta.transpose(2, 0, 1).copy()), list(images.shape), align_corners=False
    )
    turned = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    found: Array = turned.permute(0, 2, 3, 1).numpy()
    return found[..., 0] if x.ndim == 3 else found


def orient(parts: Parts, axes: Axes) -> Parts:
    """Turn images by quarters, one after another, in both parts."""
    count = axes["orientations"]
    if count == 1:
        return parts
    parts.need_images("orientations", count)
    height, width = parts.train_x.shape[1:3]
    if height != width:
        raise AxisError(f"data.orientations: {count} of images of {height} × {width}, not square.")
    train, val = (_oriented(x, count) for x in (parts.train_x, parts.val_x))
    return replace(parts, train_x=train, val_x=val)


def _oriented(x: Array, count: int) -> Array:
    turned = np.array(x)
    for quarters in range(1, count):
        turned[quarters::count] = np.rot90(x[quarters::count], quarters, axes=(1, 2))
    return turned


def crop(parts: Parts, axes: Axes) -> Parts:
    """Keep the middle columns."""
    kept = axes["crop_width"]
    if kept is None:
        return parts
    parts.need_images("crop_width", kept)
    width = parts.train_x.shape[2]
    if kept > width:
        raise AxisError(f"data.crop_width: {kept} of {width} columns that are there.")
    first = (width - kept) // 2
    train, val = (x[:, :, first : first + kept] for x in (parts.train_x, parts.val_x))
    return replace(parts, train_x=train, val_x=val)


def color(parts: Parts, axes: Axes) -> Parts:
    """Vectors as they are; images as (samples, height, width, channels), grey or in colour."""
    if axes["color"] != "native":
        parts.need_images("color", axes["color"])
    train, val = (_coloured(x, axes["color"]) for x in (parts.train_x, parts.val_x))
    return replace(parts, train_x=train, val_x=val)


def _coloured(x: Array, wanted: str) -> Array:
    x = x.astype(np.float32)
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        x = x[..., None]
    if x.shape[3] not in (1, 3):
        raise RequestError(
            f"images of shape {x.shape[1:]}: height × width × channels is needed, with 1 or 3 "
            "channels (channels go last)"
        )
    if wanted == "grey" and x.shape[3] == 3:
        return (x @ LUMA)[..., None]
    if wanted == "rgb" and x.shape[3] == 1:
        return np.repeat(x, 3, axis=3)
    return x


def lay_out(parts: Parts, axes: Axes) -> Parts:
    """Images with their channels first, by the right way or by one that scrambles them."""
    how = axes["layout"]
    if how != "transpose":
        parts.need_images("layout", how)
        _check_layout(how, *parts.train_x.shape[1:])
    if parts.train_x.ndim == 2:
        return parts
    train, val = (_laid_out(x, how) for x in (parts.train_x, parts.val_x))
    return replace(parts, train_x=train, val_x=val)


def _check_layout(how: str, height: int, width: int, channels: int) -> None:
    if how == "reshape" and channels == 1:
        raise AxisError("data.layout: reshape changes nothing in images of one channel.")
    if how == "swap_reshape" and height == width:
        raise AxisError(
            f"data.layout: swap_reshape changes nothing in square images ({height} × {width}): "
            "let data.crop_width make them narrower."
        )


def _laid_out(x: Array, how: str) -> Array:
    n, height, width, channels = x.shape
    if how == "reshape":
        return x.reshape(n, channels, height, width)
    first = x.transpose(0, 3, 1, 2)
    if how == "swap_transpose":
        return first.swapaxes(2, 3)
    return first.reshape(n, channels, width, height) if how == "swap_reshape" else first
