"""One training run: epochs of steps, what is read of them, and all that has to be kept of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sweeper.errors import Preempted
from sweeper.training import health, losses, optimizers, samples, schedules, streams, weights
from sweeper.training.augment import Augmentation
from sweeper.training.checkpoint import Checkpoint, State
from sweeper.training.evaluate import Evaluation
from sweeper.training.interruption import Interruption
from sweeper.training.mining import Mining
from sweeper.training.order import Order, batch_bounds, refuse_single_values
from sweeper.training.prepare import Prepared
from sweeper.training.probes import Probes
from sweeper.training.schedules import Schedule

NAN_AT_DIVERGENCE = ("train_loss", "val_loss", "running_loss")


class Report(Protocol):
    """What the caller hands in to hear of each evaluated epoch."""

    def __call__(self, step: int, **metrics: float) -> None: ...


@dataclass
class _Progress:
    """Where training stands, the last value of each metric, all that was reported, and how the
    weights lay before it."""

    epochs: int = 0
    steps: int = 0
    diverged_step: int | None = None
    first_loss: float = math.nan
    last: dict[str, float] = field(default_factory=dict)
    train_losses: list[float] = field(default_factory=list)
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    untrained: list[weights.Histogram] = field(default_factory=list)

    def diverge(self) -> None:
        if self.diverged_step is None:
            self.diverged_step = self.steps


class Run:
    """One training run, from the untrained net to its final metrics."""

    def __init__(
        self, config: Mapping[str, Any], model: nn.Module, data: Prepared, seed: int
    ) -> None:
        self._axes: dict[str, Any] = dict(config["train"])
        self.model, self._data = model, data
        self._loss_name = str(config["loss"]["name"])
        self._loss = losses.build(self._loss_name, is_classification=bool(data.classes))
        self._evaluation = Evaluation(data, self._loss, self._axes, seed)
        self._order = Order(len(data.train_x), self._axes["shuffle"], seed)
        self._batches = batch_bounds(len(data.train_x), self._axes["batch_size"], model)
        refuse_single_values(model, self._batches, self._axes, data)
        self._optimizer: Optimizer = optimizers.build(config["optim"], model.parameters())
        self._schedule: Schedule = schedules.build(
            config["schedule"],
            lr=config["optim"]["lr"],
            steps_per_epoch=len(self._batches),
            epochs=self._axes["epochs"],
        )
        self._gradients = health.GradientNorms(model, len(self._batches))
        self._augment = Augmentation(self._axes, data, seed)
        self._mining = Mining(self._axes, data, self._loss_name, seed)
        self._interruption = Interruption(self._axes)
        self._probes = Probes(self._axes, len(self._batches) * self._axes["epochs"], seed)
        self._at = _Progress()

    def start(self, report: Report, kept: Checkpoint) -> None:
        """Read the untrained net, or tell again what was told before the run was stopped."""
        for step, metrics in self._at.points:
            report(step, **metrics)  # the curve of an attempt is what that attempt reports
        if not self._at.points:
            self._probes.start(self.model, self._data, self._loss)
            self._at.last = self._evaluation.read(self.model)
            self._at.first_loss = self._at.last["train_loss"]
            self._at.untrained = weights.histograms(self.model)
            self._tell(report, kept)

    def train(self, report: Report, kept: Checkpoint) -> None:
        """Go on until the last epoch, a divergence, or the interruption that was asked for."""
        every, epochs = self._axes["evaluate_every"], self._axes["epochs"]
        while self._at.epochs < epochs and not (self._must_stop() or self.is_interrupted):
            kept.write_if_due(self.state)
            running = self._epoch()
            if self._must_stop():
                break
            self._at.epochs += 1
            if self._mining.is_due(self._at.epochs):
                self._mining.choose(self.model)
            if self._at.epochs % every == 0 or self._at.epochs == epochs:
                self._evaluate(running)
                self._tell(report, kept)

    def train_unheard(self) -> None:
        """All epochs, without a reading."""
        while self._at.epochs < self._axes["epochs"] and not self._must_stop():
            self._epoch()
            self._at.epochs += 1

    @property
    def is_interrupted(self) -> bool:
        """Whether the run stands where `train.interrupt_after` stops it."""
        return self._interruption.is_due(self._at.epochs) and not self._must_stop()

    def go_on(self) -> None:
        """Stand after the interruption."""
        self._interruption.over(self._evaluation.training_loss(self.model))

    def leaves(self, seed: int) -> dict[str, bytes | None]:
        """Files for people to look at, by their names."""
        drawn = weights.content(self._at.untrained, weights.histograms(self.model))
        return {samples.NAME: self._sampled(seed), weights.NAME: drawn}

    def _sampled(self, seed: int) -> bytes | None:
        """A few images as they were fed and answered; of a run that diverged none."""
        if self._at.diverged_step is not None:
            return None
        if self._evaluation.answered() is None:  # it was stopped after its very last reading
            self._evaluation.read(self.model)
        order = Order(len(self._data.train_x), self._axes["shuffle"], seed)
        return samples.pick(self._data, order, self._evaluation.answered(), self._loss_name)

    def _tell(self, report: Report, kept: Checkpoint) -> None:
        """Report where training stands; whoever stops it here has all of the epoch kept."""
        self._at.points.append((self._at.epochs, self._at.last))
        try:
            report(self._at.epochs, **self._at.last)
        except Preempted:
            kept.write(self.state())
            raise

    def state(self) -> State:
        """All that the rest of the run depends on, between two epochs."""
        return {
            "model": self.model.state_dict(),
            # A state dict leaves out the buffers that its module does not want in a file.
            "buffers": dict(self.model.named_buffers()),
            "left_gradients": self._left_gradients(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state(),
            "gradients": self._gradients.state(),
            "progress": vars(self._at),
            "order": self._order.state(),
            "augmentation": self._augment.state(),
            "mining": self._mining.state(),
            "interruption": self._interruption.state(),
            "probes": self._probes.state(),
            "random": streams.global_state(self._data.train_x.device),
        }

    def load_state(self, state: State) -> None:
        """Stand where `state` was taken. What raises leaves the run unusable."""
        self.model.load_state_dict(state["model"])
        for name, buffer in self.model.named_buffers():
            buffer.copy_(state["buffers"][name])
        for name, gradient in state["left_gradients"].items():
            parameter = self.model.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state(state["schedule"])
        self._gradients.load_state(state["gradients"])
        self._at = _Progress(**state["progress"])
        self._order.load_state(state["order"])
        self._augment.load_state(state["augmentation"])
        self._mining.load_state(state["mining"])
        self._interruption.load_state(state["interruption"])
        self._probes.load_state(state["probes"])
        streams.set_global_state(self._data.train_x.device, state["random"])

    def _left_gradients(self) -> dict[str, Tensor]:
        """Gradients to which the next step adds its own."""
        if self._axes["clears_gradients"]:
            return {}
        named = self.model.named_parameters()
        return {name: p.grad for name, p in named if p.grad is not None}

    def _epoch(self) -> float:
        """Every sample once, in its order; the mean loss of its batches, as training saw it."""
        self.model.train()
        device = self._data.train_x.device
        order = self._order.next().to(device)
        total = 0.0
        self._probes.begin_epoch(device)
        for i, (start, stop) in enumerate(self._batches):
            total += self._step(i, order[start:stop]) * (stop - start)
            if self._must_stop():
                return math.nan
        self._probes.end_epoch(len(self._batches), device)
        return total / self._batches[-1][1]

    def _step(self, step_of_epoch: int, chosen: Tensor) -> float:
        """One update; a loss that is not finite is noted, and followed only if so asked."""
        optimizers.set_lr(self._optimizer, self._schedule.at(self._at.steps))
        if self._axes["clears_gradients"]:
            self._optimizer.zero_grad()
        loss = self._loss_of(chosen)
        value = loss.item()
        self._at.steps += 1
        self._probes.hear_loss(self._at.steps, value)
        if not math.isfinite(value):
            self._at.diverge()
            if self._must_stop():
                return value
        self._penalised(loss).backward()  # type: ignore[no-untyped-call]
        self._gradients.read(step_of_epoch)
        self._probes.hear_gradient(self._at.steps, self.model)
        self._clip()
        self._optimizer.step()
        self._interruption.step(self._training_loss)
        return value

    def _loss_of(self, chosen: Tensor) -> Tensor:
        """The mean loss of these samples, as they are fed and as often as they count."""
        x, y = self._data.train_x[chosen], self._data.train_y[chosen]
        if self._augment.changes_something:
            x = self._augment(x)
        outputs: Tensor = self.model(x)
        if self._mining.has_chosen:
            return self._mining.loss(outputs, y, chosen)
        return self._loss(outputs, y)

    def _penalised(self, loss: Tensor) -> Tensor:
        l1: float = self._axes["l1"]
        if not l1:
            return loss
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        penalty = torch.stack([weight.abs().sum() for weight in weights]).sum()
        return loss + l1 * penalty

    def _training_loss(self) -> float:
        return self._evaluation.training_loss(self.model)

    def _clip(self) -> None:
        if self._axes["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self._axes["clip_norm"])
        if self._axes["clip_value"] is not None:
            nn.utils.clip_grad_value_(self.model.parameters(), self._axes["clip_value"])

    def _evaluate(self, running: float) -> None:
        metrics = {
            **self._evaluation.read(self.model),
            "running_loss": running,
            "lr": self._optimizer.param_groups[0]["lr"],
            **self._gradients.take(),
        }
        self._at.last = metrics
        self._at.train_losses.append(metrics["train_loss"])
        self._schedule.observe(metrics)
        if not math.isfinite(metrics["train_loss"]):
            self._at.diverge()

    def _must_stop(self) -> bool:
        return self._at.diverged_step is not None and self._axes["stop_when_diverged"]

    def ending(self) -> dict[str, float]:
        """The last value of every metric."""
        result = {
            **self._at.last,
            "epochs": float(self._at.epochs),
            "steps": float(self._at.steps),
            "nan_weights": health.nan_weights(self.model),
            "weights_fingerprint": health.weights_fingerprint(self.model),
            **self._interruption.metrics(),
            **self._probes.read(self.model),
        }
        if self._must_stop():
            result.update(dict.fromkeys(NAN_AT_DIVERGENCE, math.nan))
        if "gap" in self._axes["probes"]:
            result["gap_loss"] = result["val_loss"] - result["train_loss"]
        if self._at.first_loss > 0:
            result["train_loss_share"] = result["train_loss"] / self._at.first_loss
        if self._at.diverged_step is not None:
            result["diverged_step"] = float(self._at.diverged_step)
        oscillation = health.oscillation(self._at.train_losses)
        return result if oscillation is None else {**result, "oscillation": oscillation}
