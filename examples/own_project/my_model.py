"""A net of one's own: plain PyTorch, which knows nothing of sweeper."""

from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn


class SpiralNet(nn.Module):
    """`depth` hidden layers of `width` units; (batch, …) → (batch, outputs).

    `input_shape` and `outputs` come from the data; every other keyword is an axis.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int,
        *,
        width: int = 16,
        depth: int = 2,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        sizes = [prod(input_shape), *[width] * depth]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.output = nn.Linear(sizes[-1], outputs)
        self.activation = {"relu": torch.relu, "tanh": torch.tanh, "sine": _sine}[activation]

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.output(x)


def _sine(x: Tensor) -> Tensor:
    return torch.sin(3 * x)
