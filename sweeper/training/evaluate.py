"""Reading losses and accuracies without touching weights, buffers or the streams of training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.errors import RequestError, nearest
from sweeper.training import streams
from sweeper.training.health import Firing
from sweeper.training.losses import Loss, mae, mse
from sweeper.training.prepare import Prepared


class Evaluation:
    """Reads the net on the training and the validation part, the way the `train` axes say."""

    def __init__(self, data: Prepared, loss: Loss, train: Mapping[str, Any], seed: int) -> None:
        self._loss, self._seed = loss, streams.number(seed, "evaluation")
        self._batch = train["evaluation_batch_size"]
        self._loss_mode = train["evaluation_mode"]
        self._accuracy_mode = train["accuracy_mode"] or train["evaluation_mode"]
        self._is_divided = train["validation_loss"] == "divided_by_batch"
        self._is_classification = bool(data.classes)
        self._parts = {
            "train": _ordered(data.train_x, data.train_y, train["evaluation_order"]),
            "val": _ordered(data.val_x, data.val_y, train["evaluation_order"]),
        }
        self._reads_errors = "errors" in train["probes"]
        self._watched = _number(train["watch_class"], data.classes)
        self._answers: list[Tensor] = []  # of the last pass over the validation part

    def read(self, model: nn.Module) -> dict[str, float]:
        """train_loss, val_loss, with classes train_accuracy and val_accuracy, dead_units and
        dead_layer, what is said of a watched class, and errors that do not depend on the loss."""
        firing = Firing()
        result: dict[str, float] = {}
        for part in self._parts:
            with firing.watch(model) if part == "train" else nullcontext():
                loss, accuracy = self._pass(model, self._loss_mode, part)
            if self._accuracy_mode != self._loss_mode and self._is_classification:
                accuracy = self._pass(model, self._accuracy_mode, part)[1]
            result[f"{part}_loss"] = loss
            if self._is_classification:
                result[f"{part}_accuracy"] = accuracy
        return {**result, **firing.metrics(), **self._of_class(), **self._errors(model)}

    def training_loss(self, model: nn.Module) -> float:
        """The train_loss of a reading, by itself."""
        return self._pass(model, self._loss_mode, "train")[0]

    def answered(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """x, y and the outputs of the last reading's validation part; None before a reading."""
        if not self._answers:
            return None
        x, y = self._parts["val"]
        return x, y, torch.cat(self._answers)

    def _errors(self, model: nn.Module) -> dict[str, float]:
        """Of the validation part, so that nets trained on different losses can be compared."""
        if not self._reads_errors:
            return {}
        losses = {"val_squared_error": mse, "val_absolute_error": mae}
        return {n: self._pass(model, self._loss_mode, "val", e)[0] for n, e in losses.items()}

    def _of_class(self) -> dict[str, float]:
        """The share of the watched class that is found, and how many others are taken for it."""
        answered = self.answered()
        if answered is None or self._watched is None:
            return {}
        taken = answered[2].argmax(dim=1).eq(self._watched)
        there = answered[1].eq(self._watched)
        false = {"class_false_positives": float((taken & ~there).sum())}
        if not there.any():
            return false
        return {"class_recall": taken[there].float().mean().item(), **false}

    def _pass(
        self, model: nn.Module, mode: str, part: str, error: Loss | None = None
    ) -> tuple[float, float]:
        """Mean loss, or error, and accuracy (0 without classes) over one part, in the mode."""
        loss = error or self._loss
        x, y = self._parts[part]
        losses, sizes, right, answers = [], [], [], list[Tensor]()
        # Each pass by itself: one in training mode would move what the next one reads.
        with torch.no_grad(), untouched(model, self._seed):
            model.train(mode == "train")
            for some_x, some_y in batches(x, y, self._batch):
                outputs = model(some_x)
                losses.append(loss(outputs, some_y))
                sizes.append(len(some_y))
                if self._is_classification:
                    right.append((outputs.argmax(dim=1) == some_y).sum())
                    answers.append(outputs)
        if part == "val":
            self._answers = answers
        accuracy = torch.stack(right).sum().item() / len(y) if right else 0.0
        means = torch.stack(losses).double().cpu()
        # The seeded fault: a mean divided once more.
        if part == "val" and self._is_divided and error is None:
            return (means.mean() / self._batch).item(), accuracy
        weights = torch.tensor(sizes, dtype=torch.float64)
        return ((means * weights).sum() / len(y)).item(), accuracy


def _ordered(x: Tensor, y: Tensor, order: str) -> tuple[Tensor, Tensor]:
    if order == "as_drawn":
        return x, y
    if y.is_floating_point():
        raise RequestError("train.evaluation_order: by_class needs classes, not numbers.")
    by_class = y.argsort(stable=True)
    return x[by_class], y[by_class]


def _number(label: str | None, classes: tuple[str, ...]) -> int | None:
    """Which class it is that is watched."""
    if label is None:
        return None
    if not classes:
        raise RequestError("train.watch_class: the targets are numbers, there are no classes.")
    if label not in classes:
        hint = nearest(label, classes, what="classes")
        raise RequestError(f"train.watch_class: there is no class {label!r}. {hint}")
    return classes.index(label)


def batches(x: Tensor, y: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Consecutive batches; a single sample left over joins the batch before.

    In training mode BN cannot normalise one vector by itself.
    """
    start, count = 0, len(x)
    while start < count:
        stop = start + size
        if stop == count - 1 and size > 1:
            stop = count
        yield x[start:stop], y[start:stop]
        start = stop


@contextmanager
def untouched(model: nn.Module, seed: int) -> Iterator[None]:
    """Put the mode, the buffers and the random state back as they were.

    A real forgotten `eval()` also moves BN's running statistics and draws from the stream of
    dropout. Both are undone, so that the same training is read in two ways, bit for bit.
    """
    was_training = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            yield
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        for module, mode in was_training.items():
            module.training = mode
