"""What can be read off a net besides its loss: gradients, dead units, NaN, a fingerprint."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from sweeper.training.init import weight_layers

# At most so many steps of an epoch have their gradients measured: it costs a tenth of a step.
GRADIENT_READINGS = 8


class GradientNorms:
    """Mean norm of the first and the last weight layer's gradient over up to eight evenly spaced
    steps of an epoch, before clipping."""

    def __init__(self, model: nn.Module, steps_per_epoch: int) -> None:
        layers = weight_layers(model)
        ends = [layers[0].weight, layers[-1].weight] if layers else []
        self._weights = [w for w in ends if isinstance(w, Tensor)]
        self._every = max(1, math.ceil(steps_per_epoch / GRADIENT_READINGS))
        self._readings: list[Tensor] = []

    def read(self, step_of_epoch: int) -> None:
        """Called after each backward pass."""
        if self._weights and step_of_epoch % self._every == 0:
            grads = [w.grad for w in self._weights]
            zero = torch.zeros(())
            self._readings.append(
                torch.stack([zero if g is None else g.norm().cpu() for g in grads])
            )

    def take(self) -> dict[str, float]:
        """The epoch's means, and a fresh start."""
        if not self._readings:
            return {}
        first, last = torch.stack(self._readings).mean(dim=0).tolist()
        self._readings.clear()
        return {"grad_norm_first": first, "grad_norm_last": last}

    def state(self) -> list[Tensor]:
        """The readings not yet taken: those of epochs that were not evaluated."""
        return list(self._readings)

    def load_state(self, state: list[Tensor]) -> None:
        """Hold what was read when `state` was taken."""
        self._readings = list(state)


class Firing:
    """Which units of the ReLU modules were above zero for any sample seen so far.

    A unit is a feature of a vector or a channel of a map. A ReLU called as a function, not as a
    module, is not seen.
    """

    def __init__(self) -> None:
        self._fired: list[Tensor] = []
        self._call = 0

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator[None]:
        """Listen to the model's ReLU modules inside the block."""
        relus = [m for m in model.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
        handles = [m.register_forward_hook(self._hear) for m in relus]
        handles.append(model.register_forward_pre_hook(self._rewind))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def metrics(self) -> dict[str, float]:
        """The share of units that never fired, of all and of the worst layer; none without ReLU."""
        if not self._fired:
            return {}
        layers = [_share(~fired) for fired in self._fired]
        return {"dead_units": _share(~torch.cat(self._fired)), "dead_layer": max(layers)}

    def _rewind(self, *_: object) -> None:
        self._call = 0

    def _hear(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        # Counted by call, not by module: one module may serve several layers.
        fired = (output.amax(dim=[0, *range(2, output.ndim)]) > 0).flatten()
        if self._call == len(self._fired):
            self._fired.append(fired)
        else:
            self._fired[self._call] |= fired
        self._call += 1


def _share(happened: Tensor) -> float:
    return happened.double().mean().item()


def nan_weights(model: nn.Module) -> float:
    """The share of parameter tensors that hold NaN or inf."""
    bad = [not torch.isfinite(p).all().item() for p in model.parameters()]
    return sum(bad) / max(1, len(bad))


def weights_fingerprint(model: nn.Module) -> float:
    """The first 52 bits of SHA-256 over the parameters' bytes: equal for bitwise equal weights."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return float(int.from_bytes(digest.digest()[:7], "big") >> 4)


def oscillation(losses: Sequence[float]) -> float | None:
    """Standard deviation of the change of log10 loss between readings in the second half.

    None with fewer than three such readings, or where a loss is not finite.
    """
    half = np.array(losses[len(losses) // 2 :])
    if len(half) < 3 or not np.isfinite(half).all():
        return None
    return float(np.diff(np.log10(np.maximum(half, 1e-45))).std())
