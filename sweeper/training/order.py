"""In which order the training samples are fed, and how they are cut into batches."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.errors import DoesNotApply
from sweeper.training import streams
from sweeper.training.prepare import Prepared

# Every kind of layer that normalises by the batch.
BATCH_NORM = nn.modules.batchnorm._BatchNorm


class Order:
    """The order of each epoch, drawn from the seed's stream `order` as `train.shuffle` says."""

    def __init__(self, samples: int, shuffle: str, seed: int) -> None:
        self._samples, self._shuffle = samples, shuffle
        self._generator = streams.torch_generator(seed, "order")
        self._fixed = None if shuffle == "every_epoch" else self._drawn()

    def next(self) -> Tensor:
        """The numbers of all samples (samples,), on the CPU, as the next epoch takes them."""
        return self._drawn() if self._fixed is None else self._fixed

    def state(self) -> Tensor:
        """What the orders to come depend on."""
        return self._generator.get_state()

    def load_state(self, state: Tensor) -> None:
        """Stand where `state` was taken."""
        self._generator.set_state(state)

    def _drawn(self) -> Tensor:
        if self._shuffle == "never":
            return torch.arange(self._samples)
        return torch.randperm(self._samples, generator=self._generator)


def batch_bounds(samples: int, size: int, model: nn.Module) -> list[tuple[int, int]]:
    """Where each batch of an epoch starts and stops; the last may be smaller.

    A last batch of one sample is left out of an epoch if the net has BN, which cannot normalise
    one vector: the run would end for a reason that has nothing to do with its arm.
    """
    bounds = [(start, min(start + size, samples)) for start in range(0, samples, size)]
    has_norm = any(isinstance(m, BATCH_NORM) for m in model.modules())
    if has_norm and len(bounds) > 1 and size > 1 and samples % size == 1:
        bounds.pop()
    return bounds


def refuse_single_values(
    model: nn.Module,
    bounds: list[tuple[int, int]],
    train: Mapping[str, Any],
    data: Prepared,
) -> None:
    """Let BN raise DoesNotApply, and say why, where a channel has a single value in its batch."""
    sizes = [stop - start for start, stop in bounds]
    if min(*sizes, train["evaluation_batch_size"], len(data.val_x), len(data.train_x)) > 1:
        return
    for module in model.modules():
        if isinstance(module, BATCH_NORM):
            module.register_forward_pre_hook(_refuse_single_value)


def _refuse_single_value(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    # Fed by keyword it is none of our nets, and torch says so itself.
    if inputs and module.training and inputs[0].numel() == inputs[0].shape[1]:
        raise DoesNotApply(
            f"BN cannot normalise one value per channel: {type(module).__name__} is fed a batch "
            "of one sample. Take larger batches, or a net without BN."
        )
