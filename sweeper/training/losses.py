"""The losses of the group `loss`: (batch, outputs) and targets → their mean, a scalar."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from sweeper.errors import RequestError

Loss = Callable[[Tensor, Tensor], Tensor]


def build(name: str, *, is_classification: bool) -> Loss:
    """The loss by its name; raises RequestError where targets are numbers and it needs classes."""
    if name in ("mse", "mae"):
        return mse if name == "mse" else mae
    if not is_classification:
        raise RequestError(
            f"loss.name: {name} needs classes, and the targets are numbers: use loss=mse, "
            "or give whole numbers or texts as labels."
        )
    return functional.cross_entropy if name == "cross_entropy" else naive_cross_entropy


def naive_cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """The softmax written out in single precision: exp(100) is inf, and inf / inf is NaN.

    A seeded fault: torch's own subtracts the largest output first.
    """
    powers = outputs.float().exp()
    shares = powers / powers.sum(dim=1, keepdim=True)
    return -shares.gather(1, labels[:, None]).log().mean()


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error over samples and outputs; labels count as one-hot rows."""
    return functional.mse_loss(outputs, _like(outputs, targets))


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error over samples and outputs; labels count as one-hot rows."""
    return functional.l1_loss(outputs, _like(outputs, targets))


def _like(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return targets.reshape(outputs.shape)
    hot = torch.zeros_like(outputs)
    return hot.scatter_(1, targets[:, None], 1.0)
