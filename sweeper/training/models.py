"""The built-in nets: each function is a choice of the group `model`."""

from math import prod

import torch
from torch import Tensor, nn

from sweeper.errors import DoesNotApply

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "elu": nn.ELU,
}


def mlp(
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    depth: int,
    hidden_units: int,
    activation: str,
    norm: str,
    norm_momentum: float,
    dropout: float,
    bias: bool,
    output_activation: str,
    cuts_gradient: bool,
) -> nn.Module:
    """`depth` hidden layers of `hidden_units`; (batch, …) → (batch, outputs). Depth 0 is linear."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(input_shape)
    for _ in range(depth):
        layers.append(nn.Linear(width, hidden_units, bias=bias))
        if norm == "batch":
            layers.append(nn.BatchNorm1d(hidden_units, momentum=norm_momentum))
        layers += _activated(activation, dropout)
        width = hidden_units
    if cuts_gradient:
        layers.append(Cut())
    layers.append(nn.Linear(width, outputs, bias=bias))
    return nn.Sequential(*layers, *_output(output_activation))


def cnn(
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    depth: int,
    channels: int,
    kernel_size: int,
    pooling: str,
    pool_every: int,
    hidden_units: int,
    activation: str,
    norm: str,
    norm_momentum: float,
    dropout: float,
    dropout_placement: str,
    bias: bool,
    output_activation: str,
    cuts_gradient: bool,
) -> nn.Module:
    """`depth` convolutions, then a hidden linear layer (none at 0 units) and the output layer.

    (batch, channels, height, width) → (batch, outputs). The map is halved after every
    `pool_every` convolutions while its shorter side stays 2 or more.
    Raises DoesNotApply if the samples are not images.
    """
    into, height, width = _image("cnn", input_shape)
    in_conv = dropout if dropout_placement in ("conv", "both") else 0.0
    in_hidden = dropout if dropout_placement in ("hidden", "both") else 0.0
    layers: list[nn.Module] = []
    for i in range(depth):
        pools = pooling != "none" and (i + 1) % pool_every == 0 and min(height, width) >= 4
        stride = 2 if pools and pooling == "stride" else 1
        layers.append(nn.Conv2d(into, channels, kernel_size, stride, kernel_size // 2, bias=bias))
        if norm == "batch":
            layers.append(nn.BatchNorm2d(channels, momentum=norm_momentum))
        layers += _activated(activation, in_conv)
        if pools and pooling != "stride":
            layers.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
        if pools:  # a strided convolution rounds an odd side up, pooling rounds it down
            up = 1 if pooling == "stride" else 0
            height, width = (height + up) // 2, (width + up) // 2
        into = channels
    head = mlp(
        input_shape=(into, height, width),
        outputs=outputs,
        depth=1 if hidden_units else 0,
        hidden_units=hidden_units,
        activation=activation,
        norm="none",  # batch norm stands after the convolutions alone
        norm_momentum=norm_momentum,
        dropout=in_hidden,
        bias=bias,
        output_activation=output_activation,
        cuts_gradient=cuts_gradient,
    )
    return nn.Sequential(*layers, *head.children())


def reference(
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    channels: int,
    kernel_size: int,
    pool: int,
    activation: str,
) -> nn.Module:
    """One convolution without padding, average pooling, and a linear layer that fits what is left.

    (batch, channels, height, width) → (batch, outputs). Raises DoesNotApply if the samples are not
    images, or so small that nothing is left of them.
    """
    into, *sides = _image("reference", input_shape)
    height, width = ((side - kernel_size + 1) // pool for side in sides)
    if min(height, width) < 1:
        least = kernel_size + pool - 1
        raise DoesNotApply(
            f"model=reference needs images of {least} × {least} pixels or more for its kernel and "
            f"pooling; these have {sides[0]} × {sides[1]}."
        )
    return nn.Sequential(
        nn.Conv2d(into, channels, kernel_size),
        *_activated(activation, 0.0),
        nn.AvgPool2d(pool),
        nn.Flatten(),
        nn.Linear(channels * height * width, outputs),
    )


def fcn(
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    depth: int,
    channels: int,
    kernel_size: int,
    activation: str,
    norm: str,
    norm_momentum: float,
    bias: bool,
) -> nn.Module:
    """`depth` convolutions that keep the size, then one of 1 × 1.

    (batch, channels, height, width) → (batch, outputs per pixel, height, width). Raises
    DoesNotApply if the samples are not images, or the targets have no whole number per pixel.
    """
    into, height, width = _image("fcn", input_shape)
    per_pixel, left = divmod(outputs, height * width)
    if left:
        raise DoesNotApply(
            f"model=fcn answers with an image of {height} × {width} pixels, and a target has "
            f"{outputs} numbers."
        )
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(nn.Conv2d(into, channels, kernel_size, 1, kernel_size // 2, bias=bias))
        if norm == "batch":
            layers.append(nn.BatchNorm2d(channels, momentum=norm_momentum))
        layers += _activated(activation, 0.0)
        into = channels
    return nn.Sequential(*layers, nn.Conv2d(into, per_pixel, 1, bias=bias))


def rnn(
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    hidden_units: int,
    shares_weights: bool,
    activation: str,
    steps: int | None,
) -> nn.Module:
    """A state that reads an image row by row; (batch, channels, height, width) → (batch, outputs).

    Raises DoesNotApply if the samples are not images.
    """
    channels, height, width = _image("rnn", input_shape)
    steps = steps or height
    matrices = [
        nn.Linear(channels * width + hidden_units, hidden_units)
        for _ in range(1 if shares_weights else steps)
    ]
    return Rows(matrices, steps, activation, nn.Linear(hidden_units, outputs))


class Rows(nn.Module):
    """Step t takes row t, and the state before it, to the next state; the last one is answered
    from. After its last row the image is read from its first again."""

    def __init__(
        self, matrices: list[nn.Linear], steps: int, activation: str, output: nn.Linear
    ) -> None:
        super().__init__()
        self.matrices, self.output = nn.ModuleList(matrices), output
        self.activation = nn.Sequential(*_activated(activation, 0.0))
        self._steps = steps

    def forward(self, x: Tensor) -> Tensor:
        rows = x.transpose(1, 2).flatten(2)
        state = rows.new_zeros(len(x), self.output.in_features)
        for t in range(self._steps):
            matrix = self.matrices[t % len(self.matrices)]
            seen = torch.cat([rows[:, t % rows.shape[1]], state], dim=1)
            state = self.activation(matrix(seen))
        answer: Tensor = self.output(state)
        return answer


class Cut(nn.Module):
    """Lets everything through and no gradient back: a seeded fault."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def _image(choice: str, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(input_shape) != 3:
        raise DoesNotApply(f"model={choice} needs images; a sample has shape {tuple(input_shape)}.")
    return input_shape


def _activated(activation: str, dropout: float) -> list[nn.Module]:
    layers = [] if activation == "none" else [ACTIVATIONS[activation]()]
    return [*layers, nn.Dropout(dropout)] if dropout else layers


def _output(activation: str) -> list[nn.Module]:
    if activation == "softmax":
        return [nn.Softmax(dim=1)]
    return [] if activation == "none" else [ACTIVATIONS[activation]()]
