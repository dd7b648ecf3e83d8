"""The losses of the group `loss`: (batch, outputs) and targets → their mean, a scalar."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from sweeper.errors import RequestError

Loss = Callable[[Tensor, Tensor], Tensor]


def build(name: str, *, is_classification: bool) -> Loss:
    """The loss by its name; raises RequestError where it needs classes and there are numbers, or
    the other way round."""
    if name in ("mse", "mae"):
        return mse if name == "mse" else mae
    if name == "misapplied_cross_entropy":
        if is_classification:
            raise RequestError(f"loss.name: {name} needs numbers as targets, not classes.")
        return misapplied_cross_entropy
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
    return _naive(outputs, labels).mean()


def misapplied_cross_entropy(outputs: Tensor, numbers: Tensor) -> Tensor:
    """Cross-entropy as torch takes it where targets are numbers: these count as the shares of
    classes, of which a single output is the only one, so that the loss is zero.

    A seeded fault: the wrong loss for a regression, which torch does not refuse.
    """
    return functional.cross_entropy(outputs, _like(outputs, numbers))


def _naive(outputs: Tensor, labels: Tensor) -> Tensor:
    powers = outputs.float().exp()
    shares = powers / powers.sum(dim=1, keepdim=True)
    return -shares.gather(1, labels[:, None])[:, 0].log()


def each(name: str) -> Loss:
    """The same loss of each sample by itself, (batch,); its mean is the loss."""
    match name:
        case "cross_entropy":
            return lambda outputs, y: functional.cross_entropy(outputs, y, reduction="none")
        case "naive_cross_entropy":
            return lambda outputs, y: _naive(outputs, y)
        case "misapplied_cross_entropy":
            return lambda outputs, y: functional.cross_entropy(
                outputs, _like(outputs, y), reduction="none"
            )
        case "mse":
            return lambda outputs, y: (outputs - _like(outputs, y)).square().flatten(1).mean(1)
        case _:
            return lambda outputs, y: (outputs - _like(outputs, y)).abs().flatten(1).mean(1)


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
