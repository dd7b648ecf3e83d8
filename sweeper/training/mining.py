"""Hard examples: training samples that count three times once they were found to be hard."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.training import losses, streams
from sweeper.training.evaluate import batches, untouched
from sweeper.training.prepare import Prepared

COUNTS = 3.0


class Mining:
    """How much each training sample counts: 1, or 3 from when it was chosen.

    Every `mining_every` epochs `mining_share` of all samples are added to those that were chosen
    before, so that `hard` and `random` always count as many three times.
    """

    def __init__(self, train: Mapping[str, Any], data: Prepared, loss: str, seed: int) -> None:
        self._kind, self._every = train["mining"], int(train["mining_every"])
        self._share, self._batch = train["mining_share"], train["evaluation_batch_size"]
        self._data, self._seed = data, streams.number(seed, "evaluation")
        self._each = losses.each(loss)
        self._generator = streams.torch_generator(seed, "mining")
        self._counts = torch.ones(len(data.train_x))
        self.has_chosen = False  # whether some samples count more than others

    def is_due(self, epochs: int) -> bool:
        """Whether samples are chosen after so many epochs."""
        return self._kind != "none" and epochs % self._every == 0

    def choose(self, model: nn.Module) -> None:
        """Let the hardest samples that count once, or as many at random, count three times."""
        hardness = (
            self._losses(model)
            if self._kind == "hard"
            else torch.rand(len(self._counts), generator=self._generator)
        )
        once = torch.nonzero(self._counts == 1)[:, 0]
        many = min(len(once), ceil(self._share * len(self._counts)))
        self._counts[once[hardness[once].topk(many).indices]] = COUNTS
        self.has_chosen = True

    def loss(self, outputs: Tensor, y: Tensor, chosen: Tensor) -> Tensor:
        """The mean loss of a batch, each sample as often as it counts."""
        counts = self._counts[chosen.cpu()].to(outputs.device)
        return (self._each(outputs, y) * counts).sum() / counts.sum()

    def state(self) -> list[Tensor]:
        """Who counts how much, and where the stream stands."""
        return [self._counts, self._generator.get_state()]

    def load_state(self, state: list[Tensor]) -> None:
        """Stand where `state` was taken."""
        self._counts = state[0]
        self._generator.set_state(state[1])
        self.has_chosen = bool(self._counts.max() > 1)

    def _losses(self, model: nn.Module) -> Tensor:
        """Of each training sample (samples,), in evaluation mode."""
        found = []
        with torch.no_grad(), untouched(model, self._seed):
            model.eval()
            for x, y in batches(self._data.train_x, self._data.train_y, self._batch):
                found.append(self._each(model(x), y).cpu())
        return torch.cat(found)
