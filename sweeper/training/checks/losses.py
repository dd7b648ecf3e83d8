"""Checks of what is minimised and of how it is read."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sweeper.training import losses, prepare
from sweeper.training.checks.bench import Bench, Fact, Ran, close, equal, largest
from sweeper.training.loop import build_model


def exponent_overflows(bench: Bench) -> Iterator[Fact]:
    """E9: exp(100) is inf in single precision alone; the softmax written out turns its gradient
    into NaN there, and the fused one stays finite."""
    hundred = torch.tensor(100.0, device=bench.device)
    yield equal("exp(100) in single precision", hundred.exp().item(), math.inf)
    yield Fact("it is finite in double precision", math.isfinite(hundred.double().exp().item()))
    labels = torch.tensor([1], device=bench.device)
    found = {}
    for name in ("naive_cross_entropy", "cross_entropy"):
        outputs = torch.tensor([[100.0, 0.0]], device=bench.device, requires_grad=True)
        loss = losses.build(name, is_classification=True)(outputs, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        assert outputs.grad is not None
        found[name] = outputs.grad
    yield Fact("written out: the gradient is NaN", bool(found["naive_cross_entropy"].isnan().any()))
    slope = torch.tensor([[1.0, -1.0]], device=bench.device)
    yield close("fused: error of the gradient", largest(found["cross_entropy"], slope), 1e-6)


def losses_agree(bench: Bench) -> Iterator[Fact]:
    """E13: on the same samples the training and the validation loss are one number, in evaluation
    mode and without penalty; so is the loss that training itself sees. A fault planted in the
    reading of either shows."""
    x, y = _classes(bench)
    source = (x, y, x, y)  # the same samples in both parts, though in another order

    def read(dropout: float = 0.0, **train: Any) -> Ran:
        axes = {"epochs": 10, "batch_size": len(x), **train}
        config = bench.config(source, model={"dropout": dropout}, optim={"lr": 0.1}, train=axes)
        return bench.train(config)

    for dropout in (0.0, 0.5):
        what = f"difference of the two losses (dropout {dropout})"
        yield close(what, _apart(read(dropout), "train_loss", "val_loss"), 1e-6)
    sound = read()
    before = [metrics["train_loss"] for _, metrics in sound.points[:-1]]
    seen = [metrics["running_loss"] for _, metrics in sound.points[1:]]
    apart = max(abs(a - b) for a, b in zip(before, seen, strict=True))
    yield close("difference to the loss of the one batch of an epoch", apart, 1e-6)
    divided = read(validation_loss="divided_by_batch")
    shown = _apart(divided, "train_loss", "val_loss")
    yield Fact(f"a validation loss divided once more shows: {shown:.3g}", shown > 1e-3)
    in_training_mode = read(0.5, evaluation_mode="train")
    other = read(0.5)
    pairs = zip(in_training_mode.points, other.points, strict=True)
    shown = max(abs(a["train_loss"] - b["val_loss"]) for (_, a), (_, b) in pairs)
    yield Fact(f"a training loss read in training mode shows: {shown:.3g}", shown > 1e-3)


def _classes(bench: Bench) -> tuple[Any, Any]:
    random = bench.random("agreement")
    x = random.normal(size=(60, 8)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] > 0).astype(np.int64)


def _apart(ran: Ran, one: str, other: str) -> float:
    """The largest relative difference of two readings over the epochs."""
    return max(abs(m[one] - m[other]) / max(abs(m[one]), 1e-9) for _, m in ran.points)


def gaussian_likelihood_is_mse(bench: Bench) -> Iterator[Fact]:
    """D20a: the squared error and the negative log-likelihood of Gaussian errors have one
    gradient, up to the factor 2 σ² / outputs."""
    random = bench.random("likelihood")
    x = random.normal(size=(40, 5)).astype(np.float32)
    y = random.normal(size=(40, 3)).astype(np.float32)
    config = bench.config((x, y, x, y), loss={"name": "mse"})
    data = prepare.load(config["data"], bench.seed).to(bench.device)
    net = build_model(config, data, bench.seed).to(bench.device)
    loss = losses.build(config["loss"]["name"], is_classification=False)
    for sigma in (0.5, 1.0, 3.0):
        by_mse = _gradient(net, loss(net(data.train_x), data.train_y))
        law = torch.distributions.Normal(net(data.train_x), sigma)
        likelihood = -law.log_prob(data.train_y).sum(dim=1).mean()  # type: ignore[no-untyped-call]
        scaled = _gradient(net, likelihood) * 2 * sigma**2 / data.outputs
        apart = largest(by_mse, scaled) / by_mse.abs().max().item()
        yield close(f"relative difference of the gradients (σ = {sigma})", apart, 1e-4)


def _gradient(net: torch.nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])


CHECKS = (exponent_overflows, losses_agree, gaussian_likelihood_is_mse)
