"""Layers, losses and update rules written out in plain arithmetic, with their derivatives."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x @ weight.T + bias


def linear_slopes(x: Tensor, weight: Tensor, above: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss' slope in x, weight and bias, from its slope `above` in what the layer answers."""
    return above @ weight, above.T @ x, above.sum(dim=0)


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def relu_slope(x: Tensor, above: Tensor) -> Tensor:
    return above * (x > 0)


def cross_entropy(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over the batch of −log softmax at the label, and its slope in the outputs."""
    shifted = outputs - outputs.amax(dim=1, keepdim=True)
    shares = shifted.exp() / shifted.exp().sum(dim=1, keepdim=True)
    hot = torch.eye(outputs.shape[1], dtype=outputs.dtype)[labels]
    return -(shares * hot).sum(dim=1).log().mean(), (shares - hot) / len(outputs)


def mse(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared error over samples and outputs, and its slope in the outputs."""
    error = outputs - targets
    return (error**2).mean(), 2 * error / error.numel()


Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def two_layers(weights: Weights, x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Weights]:
    """The loss of linear, ReLU, linear, and its slope in every weight, by the chain rule."""
    hidden = linear(x, weights["w1"], weights["b1"])
    fired = relu(hidden)
    value, above = loss(linear(fired, weights["w2"], weights["b2"]), y)
    above, w2, b2 = linear_slopes(fired, weights["w2"], above)
    _, w1, b1 = linear_slopes(x, weights["w1"], relu_slope(hidden, above))
    return value, {"w1": w1, "b1": b1, "w2": w2, "b2": b2}


# An update rule: weight, its slope, what it remembers, the axes of `optim` → the new weight.
Memory = dict[str, Any]
Axes = Mapping[str, Any]
Rule = Callable[[Tensor, Tensor, Memory, Axes], Tensor]


def _moved(w: Tensor, by: Tensor, optim: Axes) -> Tensor:
    lr: float = optim["lr"]
    return w - lr * by


def sgd(w: Tensor, slope: Tensor, _: Memory, optim: Axes) -> Tensor:
    return _moved(w, slope + optim["weight_decay"] * w, optim)


def momentum(w: Tensor, slope: Tensor, memory: Memory, optim: Axes) -> Tensor:
    slope = slope + optim["weight_decay"] * w
    memory["v"] = optim["momentum"] * memory["v"] + slope if "v" in memory else slope
    return _moved(w, memory["v"], optim)


def nesterov(w: Tensor, slope: Tensor, memory: Memory, optim: Axes) -> Tensor:
    momentum(w, slope, memory, optim)
    ahead = slope + optim["weight_decay"] * w + optim["momentum"] * memory["v"]
    return _moved(w, ahead, optim)


def adam(w: Tensor, slope: Tensor, memory: Memory, optim: Axes) -> Tensor:
    """Kingma and Ba 2015 (arXiv:1412.6980), the decay as an L2 penalty."""
    return _adam_step(w, slope + optim["weight_decay"] * w, memory, optim)


def adamw(w: Tensor, slope: Tensor, memory: Memory, optim: Axes) -> Tensor:
    """Loshchilov and Hutter 2019 (arXiv:1711.05101): the decay apart from the slope."""
    return _adam_step(w * (1 - optim["lr"] * optim["weight_decay"]), slope, memory, optim)


def _adam_step(w: Tensor, slope: Tensor, memory: Memory, optim: Axes) -> Tensor:
    first, second = optim["betas"]
    memory["t"] = memory.get("t", 0) + 1
    memory["m"] = first * memory.get("m", 0.0) + (1 - first) * slope
    memory["v"] = second * memory.get("v", 0.0) + (1 - second) * slope**2
    mean = memory["m"] / (1 - first ** memory["t"])
    spread = memory["v"] / (1 - second ** memory["t"])
    return _moved(w, mean / (spread.sqrt() + optim["eps"]), optim)


def rmsprop(w: Tensor, slope: Tensor, memory: Memory, optim: Axes) -> Tensor:
    slope = slope + optim["weight_decay"] * w
    memory["v"] = optim["alpha"] * memory.get("v", 0.0) + (1 - optim["alpha"]) * slope**2
    step = slope / (memory["v"].sqrt() + optim["eps"])
    memory["m"] = optim["momentum"] * memory.get("m", 0.0) + step
    return _moved(w, memory["m"], optim)


RULES: Mapping[str, Rule] = {
    rule.__name__: rule for rule in (sgd, momentum, nesterov, adam, adamw, rmsprop)
}
