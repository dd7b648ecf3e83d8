"""Training samples changed anew at each step: images moved, flipped or turned, and noise added."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sweeper.errors import DoesNotApply, RequestError
from sweeper.training import streams
from sweeper.training.prepare import Prepared

Change = Callable[[Tensor, float, torch.Generator], Tensor]


class Augmentation:
    """What `train.augmentation` and `train.input_noise` do to a batch, each from its own stream.

    Raises DoesNotApply where the samples or the targets are not what an image's change needs.
    """

    def __init__(self, train: Mapping[str, Any], data: Prepared, seed: int) -> None:
        self._change = CHANGES.get(train["augmentation"])
        self._size, self._noise = train["augmentation_size"], train["input_noise"]
        self._changes = streams.torch_generator(seed, "augmentation")
        self._noises = streams.torch_generator(seed, "input_noise")
        if self._change:
            _check(train["augmentation"], self._size, data)

    @property
    def changes_something(self) -> bool:
        """Whether samples are fed otherwise than they are."""
        return self._change is not None or self._noise > 0

    def __call__(self, x: Tensor) -> Tensor:
        """The batch as it is fed; (batch, channels, height, width), or any shape for noise."""
        if self._change is not None:
            x = self._change(x, self._size, self._changes)
        if self._noise > 0:
            x = x + self._noise * torch.randn(x.shape, generator=self._noises).to(x.device)
        return x

    def state(self) -> list[Tensor]:
        """Where the two streams stand."""
        return [self._changes.get_state(), self._noises.get_state()]

    def load_state(self, state: list[Tensor]) -> None:
        """Stand where `state` was taken."""
        self._changes.set_state(state[0])
        self._noises.set_state(state[1])


def _check(change: str, size: float, data: Prepared) -> None:
    if len(data.input_shape) != 3:
        raise DoesNotApply(
            f"train.augmentation: {change} needs images; a sample has shape {data.input_shape}."
        )
    if data.train_y.ndim > 2:
        raise DoesNotApply(
            f"train.augmentation: {change} would move the images away from their targets, which "
            "are images too."
        )
    if change == "shift" and size >= min(data.input_shape[1:]):
        raise RequestError(
            f"train.augmentation_size: images of {data.input_shape[1]} × {data.input_shape[2]} "
            f"cannot be shifted by {size:g} pixels."
        )


def shift(x: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Each image by a whole number of pixels up to `size` along both sides; its edge goes on."""
    far = int(size)
    rows, columns = (
        (torch.arange(side) + torch.randint(-far, far + 1, (len(x), 1), generator=generator))
        .clamp(0, side - 1)
        .to(x.device)
        for side in x.shape[2:]
    )
    samples = torch.arange(len(x), device=x.device)[:, None, None, None]
    channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return x[samples, channels, rows[:, None, :, None], columns[:, None, None, :]]


def flip(x: Tensor, _: float, generator: torch.Generator) -> Tensor:
    """Each image left to right with a chance of one half."""
    is_flipped = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
    return torch.where(is_flipped[:, None, None, None], x.flip(3), x)


def rotate(x: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Each image about its middle by up to `size` degrees; its edge goes on."""
    angles = (2 * torch.rand(len(x), generator=generator) - 1) * math.radians(size)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros(len(x))
    height, width = x.shape[2:]
    # In units of half a side, as torch counts, a turn of an oblong image also stretches.
    turn = torch.stack(
        [cos, -sin * height / width, zero, sin * width / height, cos, zero], dim=1
    ).view(-1, 2, 3)
    grid = functional.affine_grid(turn.to(x.device), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


CHANGES: dict[str, Change] = {"shift": shift, "flip": flip, "rotate": rotate}
