"""What else may be read of a run (`train.probes`): cost, gradients, weights. Nothing of it is felt.

What is read at the start is read off a copy of the net, in training mode; what is read at a step
is read of what the step has computed anyway.
"""

import copy
import math
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweeper.training import streams
from sweeper.training.evaluate import untouched
from sweeper.training.init import weight_layers
from sweeper.training.losses import Loss
from sweeper.training.prepare import Prepared

# A gradient or a loss is at fault where it is so many times the median of those before.
FAULT = 1e4
# The gradient's variance is taken over whole epochs, and over at least so many batches.
NOISE_BATCHES = 16
# So many samples tell how the gradient fares on its way through the net.
RATIO_SAMPLES = 256

Batches = list[tuple[Tensor, Tensor]]


class Probes:
    """The readings that `train.probes` names, as metrics for the end of the run."""

    def __init__(self, train: Mapping[str, Any], steps: int, seed: int) -> None:
        self._names, self._batch_size = frozenset(train["probes"]), train["batch_size"]
        self._seed = streams.number(seed, "probes")
        self._start: dict[str, float] = {}
        self._begun, self._epochs = 0.0, list[tuple[float, int]]()  # seconds and steps of each
        self._steps = _Steps(steps) if "steps" in self._names else None

    def start(self, model: nn.Module, data: Prepared, loss: Loss) -> None:
        """Take the readings of the untrained net."""
        readings: dict[str, tuple[str, Callable[..., float | None], Callable[[], Batches]]] = {
            "cost": ("activation_mib", activation_mib, lambda: _first(data, self._batch_size)),
            "noise": ("gradient_noise", gradient_noise, lambda: self._epochs_of(data)),
            "preactivations": ("gradient_ratio", gradient_ratio, lambda: _first(data)),
        }
        for name, (metric, read, batches) in readings.items():
            if name in self._names:
                # A copy: its running statistics and all else that it counts are thrown away.
                net = copy.deepcopy(model).train()
                with untouched(net, self._seed):
                    value = read(net, loss, batches())
                if value is not None and math.isfinite(value):
                    self._start[metric] = value

    def hear_loss(self, step: int, loss: float) -> None:
        """Called with the loss of each step, before anything is done about it."""
        if self._steps:
            self._steps.hear_loss(step, loss)

    def hear_gradient(self, step: int, model: nn.Module) -> None:
        """Called after each backward pass, before clipping."""
        if self._steps:
            grads = [p.grad for p in model.parameters() if p.grad is not None]
            self._steps.hear_gradient(step, nn.utils.get_total_norm(grads).item())

    def begin_epoch(self, device: torch.device) -> None:
        """Called before the first step of each epoch."""
        if "cost" in self._names:
            self._begun = _now(device)

    def end_epoch(self, steps: int, device: torch.device) -> None:
        """Called after the last of so many steps."""
        if "cost" in self._names:
            self._epochs.append((_now(device) - self._begun, steps))

    def read(self, model: nn.Module) -> dict[str, float]:
        """All metrics by name; what could not be measured is left out."""
        found = dict(self._start)
        if self._epochs:
            found["epoch_s"] = median(seconds for seconds, _ in self._epochs)
            found["step_ms"] = 1000 * median(seconds / steps for seconds, steps in self._epochs)
        if "weights" in self._names:
            found["largest_weight"] = largest_weight(model)
        return {**found, **(self._steps.read() if self._steps else {})}

    def state(self) -> dict[str, Any]:
        """All that was read so far."""
        return {
            "start": self._start,
            "epochs": self._epochs,
            "steps": vars(self._steps) if self._steps else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Hold what was read when `state` was taken."""
        self._start, self._epochs = dict(state["start"]), list(state["epochs"])
        if self._steps:
            vars(self._steps).update(state["steps"])

    def _epochs_of(self, data: Prepared) -> Batches:
        """Whole epochs of full batches, each in an order of its own."""
        generator = torch.Generator().manual_seed(self._seed)
        size = min(self._batch_size, len(data.train_x))
        found: Batches = []
        while len(found) < NOISE_BATCHES:
            order = torch.randperm(len(data.train_x), generator=generator)
            full = order[: len(order) // size * size].to(data.train_x.device)
            for some in full.view(-1, size):
                found.append((data.train_x[some], data.train_y[some]))
        return found


class _Steps:
    """What the steps tell: the largest gradient, the first fault, how often the loss rose from a
    step to the next, how rough it ends."""

    def __init__(self, steps: int) -> None:
        self._last_tenth = steps - steps // 10
        self._losses: list[float] = []  # in ascending order, as the gradients
        self._gradients: list[float] = []
        self._tail: list[float] = []
        self._last_loss, self._compared, self._rises = math.nan, 0, 0
        self._largest = 0.0
        self._fault: int | None = None

    def hear_loss(self, step: int, loss: float) -> None:
        self._judge(step, loss, self._losses)
        if math.isfinite(self._last_loss) and math.isfinite(loss):
            self._compared, self._rises = self._compared + 1, self._rises + (loss > self._last_loss)
        self._last_loss = loss
        if step > self._last_tenth:
            self._tail.append(loss)

    def hear_gradient(self, step: int, norm: float) -> None:
        self._judge(step, norm, self._gradients)
        self._largest = max(self._largest, norm) if math.isfinite(norm) else math.inf

    def read(self) -> dict[str, float]:
        found = {"largest_gradient": self._largest}
        if self._compared:
            found["rising_share"] = self._rises / self._compared
        if len(self._tail) > 2 and np.isfinite(self._tail).all():
            changes = np.diff(np.log10(np.maximum(self._tail, 1e-45)))
            found["roughness"] = float(changes.std())
        return found if self._fault is None else {**found, "fault_step": float(self._fault)}

    def _judge(self, step: int, value: float, before: list[float]) -> None:
        if self._fault is not None:
            return
        middle = before[len(before) // 2] if before else math.inf
        if not math.isfinite(value) or 0 < FAULT * middle < value:
            self._fault = step
        else:
            insort(before, value)


def activation_mib(model: nn.Module, loss: Loss, batches: Batches) -> float:
    """MiB that a step of the first batch keeps for its backward pass, each storage once.

    Exact on a CPU for what torch keeps; parameters and buffers, there in any case, do not count.
    """
    there = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x, y = batches[0]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss(model(x), y)
    found = sum(kept.values()) / 2**20
    del value  # until here it holds all that was kept, so that no two have had one address
    return found


def gradient_noise(model: nn.Module, loss: Loss, batches: Batches) -> float:
    """The variance of the batches' gradients over the square of their mean."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    total, squares = torch.zeros((), dtype=torch.float64), 0.0
    for x, y in batches:
        grads = torch.autograd.grad(loss(model(x), y), parameters, allow_unused=True)
        flat = torch.cat([g.flatten().double().cpu() for g in grads if g is not None])
        total, squares = total + flat, squares + flat.square().sum().item()
    mean_square = (total / len(batches)).square().sum().item()
    if not mean_square:
        return math.nan
    return max(0.0, squares / len(batches) - mean_square) / mean_square


def gradient_ratio(model: nn.Module, loss: Loss, batches: Batches) -> float | None:
    """Norm of the gradient at the first over that at the last hidden layer's pre-activations.

    Pre-activations are what a linear or convolutional layer answers with, in the order of the
    calls; None with fewer than two hidden ones, or where the last gets no gradient.
    """
    answers: list[Tensor] = []

    def hear(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        answers.append(output)
        return output.clone()  # which an activation in place may overwrite

    for layer in weight_layers(model):
        layer.register_forward_hook(hear)
    x, y = batches[0]
    value = loss(model(x), y)
    if len(answers) < 3:
        return None
    ends = torch.autograd.grad(value, [answers[0], answers[-2]], allow_unused=True)
    first, last = (0.0 if g is None else g.double().norm().item() for g in ends)
    return first / last if last else None


def largest_weight(model: nn.Module) -> float:
    """The largest absolute weight of the linear and convolutional layers, or of all there are."""
    weights: Sequence[Any] = [layer.weight for layer in weight_layers(model)]
    return max(float(w.detach().abs().max()) for w in weights or list(model.parameters()))


def _first(data: Prepared, size: int = RATIO_SAMPLES) -> Batches:
    """The first samples as one batch; copies, so that no storage holds more than they."""
    return [(data.train_x[:size].clone(), data.train_y[:size].clone())]


def _now(device: torch.device) -> float:
    """Seconds of work: of this thread, so that what runs beside it on a CPU does not count."""
    if device.type == "cpu":
        return thread_time()
    torch.cuda.synchronize(device)
    return perf_counter()
