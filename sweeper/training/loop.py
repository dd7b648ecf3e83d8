"""The built-in task: train one net on one data set and report what happened."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sweeper import targets
from sweeper.errors import Preempted, RequestError
from sweeper.training import (
    checkpoint,
    health,
    init,
    losses,
    optimizers,
    prepare,
    samples,
    schedules,
    streams,
)
from sweeper.training.checkpoint import Checkpoint, State
from sweeper.training.evaluate import Evaluation
from sweeper.training.prepare import Prepared
from sweeper.training.schedules import Schedule

NAN_AT_DIVERGENCE = ("train_loss", "val_loss", "running_loss")


class Report(Protocol):
    """What the caller hands in to hear of each evaluated epoch."""

    def __call__(self, step: int, **metrics: float) -> None: ...


def train(
    config: Mapping[str, Any], *, seed: int, device: str, report: Report, workdir: Path
) -> dict[str, float]:
    """Train as `config` says and return the last value of every metric.

    `report` hears of epoch 0 (before training) and of each evaluated epoch; the README lists the
    metrics. Bit for bit reproducible from `seed` on one machine with one thread, also when it was
    stopped and goes on from the checkpoint in `workdir`. Raises what the data, the model or torch
    raise; a loss of NaN or inf is a result, not an error.
    """
    data = prepare.load(config["data"], seed).to(device)
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices), checkpoint.kept(workdir, config, seed, device) as kept:
        run = _begun(config, data, seed, device, kept)
        metrics = run.until_the_end(report, kept)
        samples.write(workdir, run.sampled(seed))
        return metrics


def _begun(
    config: Mapping[str, Any], data: Prepared, seed: int, device: str, kept: Checkpoint
) -> "_Run":
    """The run where its checkpoint left it, or else at its start."""

    def begin() -> _Run:
        model = build_model(config, data, seed).to(device)
        torch.manual_seed(streams.number(seed, "dropout"))
        return _Run(config, model, data, seed)

    run, state = begin(), kept.read()
    if state is None:
        return run
    try:
        run.load_state(state)
    except Exception as error:  # noqa: BLE001 - a net that was changed meanwhile raises all kinds
        kept.refuse(error)
        return begin()  # a state that fits in part has been loaded in part
    checkpoint.log(f"training goes on after epoch {state['progress']['epochs']}.")
    return run


def build_model(config: Mapping[str, Any], data: Prepared, seed: int) -> nn.Module:
    """The net that `config` names, with the starting weights of the seed's stream `init`.

    Seeds torch's global generator; a caller who minds wraps it in `fork_rng`.
    """
    values = {k: v for k, v in config["model"].items() if k != "_target_"}
    torch.manual_seed(streams.number(seed, "init"))
    offered = {"input_shape": data.input_shape, "outputs": data.outputs}
    model = targets.call(config["model"]["_target_"], values, offered)
    if not isinstance(model, nn.Module):
        raise RequestError(
            f"the model function returned {type(model).__name__}, not a torch Module"
        )
    init.initialise(model, config["init"])
    return model


@dataclass
class _Progress:
    """Where training stands, the last value of each metric, and all that was reported."""

    epochs: int = 0
    steps: int = 0
    diverged_step: int | None = None
    first_loss: float = math.nan
    last: dict[str, float] = field(default_factory=dict)
    train_losses: list[float] = field(default_factory=list)
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def diverge(self) -> None:
        if self.diverged_step is None:
            self.diverged_step = self.steps


class _Run:
    """One training run, from the untrained net to its final metrics."""

    def __init__(
        self, config: Mapping[str, Any], model: nn.Module, data: Prepared, seed: int
    ) -> None:
        self._axes: dict[str, Any] = dict(config["train"])
        self._model, self._data = model, data
        self._loss_name = str(config["loss"]["name"])
        self._loss = losses.build(self._loss_name, is_classification=bool(data.classes))
        self._evaluation = Evaluation(data, self._loss, self._axes, seed)
        self._order = streams.torch_generator(seed, "order")
        self._batches = _batch_bounds(len(data.train_x), self._axes["batch_size"], model)
        self._optimizer: Optimizer = optimizers.build(config["optim"], model.parameters())
        self._schedule: Schedule = schedules.build(
            config["schedule"],
            lr=config["optim"]["lr"],
            steps_per_epoch=len(self._batches),
            epochs=self._axes["epochs"],
        )
        self._gradients = health.GradientNorms(model, len(self._batches))
        self._at = _Progress()

    def until_the_end(self, report: Report, kept: Checkpoint) -> dict[str, float]:
        for step, metrics in self._at.points:
            report(step, **metrics)  # the curve of an attempt is what that attempt reports
        if not self._at.points:
            self._at.last = self._evaluation.read(self._model)
            self._at.first_loss = self._at.last["train_loss"]
            self._tell(report, kept)
        every, epochs = self._axes["evaluate_every"], self._axes["epochs"]
        while self._at.epochs < epochs and not self._must_stop():
            kept.write_if_due(self.state)
            running = self._epoch()
            if self._must_stop():
                break
            self._at.epochs += 1
            if self._at.epochs % every == 0 or self._at.epochs == epochs:
                self._evaluate(running)
                self._tell(report, kept)
        return self._ending()

    def sampled(self, seed: int) -> samples.Arrays | None:
        """A few images as they were fed and answered; of a run that diverged none."""
        if self._at.diverged_step is not None:
            return None
        if self._evaluation.answered() is None:  # it was stopped after its very last reading
            self._evaluation.read(self._model)
        return samples.pick(self._data, seed, self._evaluation.answered(), self._loss_name)

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
            "model": self._model.state_dict(),
            # A state dict leaves out the buffers that its module does not want in a file.
            "buffers": dict(self._model.named_buffers()),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state(),
            "gradients": self._gradients.state(),
            "progress": vars(self._at),
            "order": self._order.get_state(),
            "random": _random_state(self._data.train_x.device),
        }

    def load_state(self, state: State) -> None:
        """Stand where `state` was taken. What raises leaves the run unusable."""
        self._model.load_state_dict(state["model"])
        for name, buffer in self._model.named_buffers():
            buffer.copy_(state["buffers"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state(state["schedule"])
        self._gradients.load_state(state["gradients"])
        self._at = _Progress(**state["progress"])
        self._order.set_state(state["order"])
        _set_random_state(self._data.train_x.device, state["random"])

    def _epoch(self) -> float:
        """Every sample once, in a fresh order; the mean loss of its batches, as training saw it."""
        self._model.train()
        order = torch.randperm(len(self._data.train_x), generator=self._order)
        order = order.to(self._data.train_x.device)
        total = 0.0
        for i, (start, stop) in enumerate(self._batches):
            chosen = order[start:stop]
            x, y = self._data.train_x[chosen], self._data.train_y[chosen]
            total += self._step(i, x, y) * (stop - start)
            if self._must_stop():
                return math.nan
        return total / self._batches[-1][1]

    def _step(self, step_of_epoch: int, x: Tensor, y: Tensor) -> float:
        """One update; a loss that is not finite is noted, and followed only if so asked."""
        optimizers.set_lr(self._optimizer, self._schedule.at(self._at.steps))
        self._optimizer.zero_grad()
        loss = self._loss(self._model(x), y)
        value = loss.item()
        self._at.steps += 1
        if not math.isfinite(value):
            self._at.diverge()
            if self._must_stop():
                return value
        loss.backward()  # type: ignore[no-untyped-call]
        self._gradients.read(step_of_epoch)
        self._clip()
        self._optimizer.step()
        return value

    def _clip(self) -> None:
        if self._axes["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._axes["clip_norm"])
        if self._axes["clip_value"] is not None:
            nn.utils.clip_grad_value_(self._model.parameters(), self._axes["clip_value"])

    def _evaluate(self, running: float) -> None:
        metrics = {
            **self._evaluation.read(self._model),
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

    def _ending(self) -> dict[str, float]:
        result = {
            **self._at.last,
            "epochs": float(self._at.epochs),
            "steps": float(self._at.steps),
            "nan_weights": health.nan_weights(self._model),
            "weights_fingerprint": health.weights_fingerprint(self._model),
        }
        if self._must_stop():
            result.update(dict.fromkeys(NAN_AT_DIVERGENCE, math.nan))
        if self._at.first_loss > 0:
            result["train_loss_share"] = result["train_loss"] / self._at.first_loss
        if self._at.diverged_step is not None:
            result["diverged_step"] = float(self._at.diverged_step)
        oscillation = health.oscillation(self._at.train_losses)
        return result if oscillation is None else {**result, "oscillation": oscillation}


def _batch_bounds(samples: int, size: int, model: nn.Module) -> list[tuple[int, int]]:
    """Where each batch of an epoch starts and stops; the last may be smaller.

    A last batch of one sample is left out of an epoch if the net has BN, which cannot normalise
    one vector: the run would end for a reason that has nothing to do with its arm.
    """
    bounds = [(start, min(start + size, samples)) for start in range(0, samples, size)]
    has_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    if has_norm and len(bounds) > 1 and size > 1 and samples % size == 1:
        bounds.pop()
    return bounds


def _random_state(device: torch.device) -> dict[str, Tensor]:
    """Of torch's global generators: dropout draws from that of the device it runs on."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def _set_random_state(device: torch.device, state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
