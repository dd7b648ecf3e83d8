"""Starting weights of every linear and convolutional layer, whoever wrote the model.

All choices but `default` set the biases too, to zero unless told otherwise. They draw from torch's
global generator, the biases after all weights, so that these stay the same.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

# He et al. 2015 (arXiv:1502.01852), Glorot and Bengio 2010, LeCun et al. 1998.
SCHEMES = {"he": (2.0, "fan_in"), "xavier": (1.0, "fan_avg"), "lecun": (1.0, "fan_in")}
# Standard deviation of a unit normal cut at ±2: what a truncated draw has to be widened by.
TRUNCATED_STD = 0.87962566103423978


def weight_layers(model: nn.Module) -> list[nn.Module]:
    """The linear and convolutional layers, in the order in which the model holds them."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return [module for module in model.modules() if isinstance(module, kinds)]


def initialise(model: nn.Module, init: Mapping[str, Any]) -> None:
    """Draw the weights anew as `init` says; norm layers keep their start (scale 1, shift 0)."""
    if init["name"] == "default":
        return
    layers = weight_layers(model)
    for layer in layers:
        assert isinstance(layer.weight, Tensor)
        _draw(layer.weight, init)
    for layer in layers:
        if isinstance(layer.bias, Tensor):
            nn.init.constant_(layer.bias, init["bias_value"])
            if init["bias_std"]:
                nn.init.normal_(layer.bias, init["bias_value"], init["bias_std"])


def _draw(weight: Tensor, init: Mapping[str, Any]) -> None:
    name = init["name"]
    if name in SCHEMES:
        scale, mode = SCHEMES[name]
        _scaled(weight, scale, mode, "normal")
    elif name == "variance_scaling":
        _scaled(weight, init["scale"], init["mode"], init["distribution"])
    elif name == "normal":
        nn.init.normal_(weight, 0.0, init["std"])
    elif name == "truncated_normal":
        _truncated(weight, init["std"])
    else:
        nn.init.constant_(weight, init["value"])


def _truncated(weight: Tensor, std: float) -> None:
    """A normal of this `std`, values beyond ±2 std drawn again (its own spread is 0.88 std)."""
    nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std)


def _scaled(weight: Tensor, scale: float, mode: str, distribution: str) -> None:
    """Weights of variance scale / fan, whatever the distribution."""
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    std = math.sqrt(scale / fan)
    if distribution == "normal":
        nn.init.normal_(weight, 0.0, std)
    elif distribution == "truncated_normal":
        _truncated(weight, std / TRUNCATED_STD)
    else:
        nn.init.uniform_(weight, -math.sqrt(3) * std, math.sqrt(3) * std)
