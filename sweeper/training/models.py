"""The built-in nets: each function is a choice of the group `model`."""

from math import prod

from torch import nn

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
) -> nn.Module:
    """`depth` convolutions, then a hidden linear layer (none at 0 units) and the output layer.

    (batch, channels, height, width) → (batch, outputs). The map is halved after every
    `pool_every` convolutions while its shorter side stays 2 or more.
    Raises DoesNotApply if the samples are not images.
    """
    if len(input_shape) != 3:
        raise DoesNotApply(f"model=cnn needs images; a sample has shape {tuple(input_shape)}.")
    into, height, width = input_shape
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
    )
    return nn.Sequential(*layers, *head.children())


def _activated(activation: str, dropout: float) -> list[nn.Module]:
    layers = [] if activation == "none" else [ACTIVATIONS[activation]()]
    return [*layers, nn.Dropout(dropout)] if dropout else layers


def _output(activation: str) -> list[nn.Module]:
    if activation == "softmax":
        return [nn.Softmax(dim=1)]
    return [] if activation == "none" else [ACTIVATIONS[activation]()]
