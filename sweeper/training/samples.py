"""What the net was fed and what it answered, for people's eyes: a few images in `samples.npz`.

The file is two arrays of bytes and a JSON text (`about`), never a pickle. Nothing here draws from a
trial's streams or runs the net: the answers are those of the last evaluation.
"""

import json
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sweeper.training.order import Order
from sweeper.training.prepare import Prepared

NAME = "samples.npz"
TRAINING, VALIDATION = 16, 32
# Larger images are thinned to every second, third … pixel: they are looked at, not computed with.
LONGEST_SIDE = 64
_LONGEST_LABEL = 40


def pick(
    data: Prepared,
    order: Order,
    answered: tuple[Tensor, Tensor, Tensor] | None,
    loss: str,
) -> bytes | None:
    """The file's content: the first images of a fresh `order`, before any augmentation, and the
    validation images with the worst mistakes.

    `answered` holds x, y and outputs (samples, classes) of the validation part. None for anything
    but images with classes, and where the answers are none: a net that became NaN, say.
    """
    if answered is None or not data.classes or len(data.input_shape) != 3:
        return None
    x, y, outputs = answered
    if outputs.shape != (len(y), len(data.classes)) or not bool(outputs.isfinite().all()):
        return None
    names = [name[:_LONGEST_LABEL] for name in data.classes]
    first = order.next()[:TRAINING].to(data.train_x.device)
    train_images, train_range = _as_pixels(data.train_x, first)
    losses, predicted, probability = _judged(outputs, y, loss)
    is_wrong = predicted != y
    worst = torch.argsort(losses + is_wrong * (losses.max() + 1), descending=True)[:VALIDATION]
    val_images, val_range = _as_pixels(x, worst)
    about = {
        "train_range": train_range,
        "train_label": [names[i] for i in data.train_y[first].tolist()],
        "val_range": val_range,
        "val_label": [names[i] for i in y[worst].tolist()],
        "val_predicted": [names[i] for i in predicted[worst].tolist()],
        "val_probability": None if probability is None else probability[worst].tolist(),
        "val_mistakes": int(is_wrong.sum()),
        "val_count": len(y),
    }
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays = {"about": text, "train_images": train_images, "val_images": val_images}
    content = BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _judged(outputs: Tensor, y: Tensor, loss: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Each sample's loss, predicted class and its probability (None where none is implied)."""
    outputs = outputs.float()
    predicted = outputs.argmax(dim=1)
    if loss in ("mse", "mae"):
        away = (outputs - functional.one_hot(y, outputs.shape[1])).abs()
        losses = (away**2 if loss == "mse" else away).mean(dim=1)
        return losses, predicted, None
    logs = functional.log_softmax(outputs, dim=1)
    losses = -logs.gather(1, y[:, None])[:, 0]
    return losses, predicted, logs.gather(1, predicted[:, None])[:, 0].exp()


def _as_pixels(x: Tensor, chosen: Tensor) -> tuple[NDArray[np.uint8], list[str]]:
    """(samples, height, width[, 3]) bytes, each image from its least to its largest value."""
    step = -(-max(x.shape[2:]) // LONGEST_SIDE)
    images = x[:, :, ::step, ::step][chosen].cpu().numpy().transpose(0, 2, 3, 1)
    low = images.min(axis=(1, 2, 3), keepdims=True)
    high = images.max(axis=(1, 2, 3), keepdims=True)
    width = np.where(high > low, high - low, 1)
    pixels = np.rint((images - low) / width * 255).astype(np.uint8)
    said = [f"{a:.3g} to {b:.3g}" for a, b in zip(low.ravel(), high.ravel(), strict=True)]
    return (pixels[..., 0] if pixels.shape[3] == 1 else pixels), said
