"""Checks of gradients and of what the optimizers make of them, held against plain arithmetic."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweeper.training import losses, optimizers
from sweeper.training.checks import by_hand
from sweeper.training.checks.bench import Bench, Fact, Ran, close, equal, largest
from sweeper.training.checks.by_hand import Loss, Weights
from sweeper.training.init import weight_layers
from sweeper.training.loop import build_model
from sweeper.training.prepare import Prepared
from sweeper.training.values import NAMES

STEP = 1e-6  # of the numerical derivative, in double precision
WITHIN = 1e-7


def gradients_by_hand(bench: Bench) -> Iterator[Fact]:
    """E12: slopes written by hand agree with numerical ones and with those that training uses, so
    do update rules; a planted wrong slope is caught."""
    weights, x, labels, targets = _problem(bench)
    for name, loss, y in (
        ("cross_entropy", by_hand.cross_entropy, labels), ("mse", by_hand.mse, targets),
    ):  # fmt: skip
        slopes = by_hand.two_layers(weights, x, y, loss)[1]
        apart = _apart(slopes, numerical(weights, x, y, loss))
        yield close(f"{name}: by hand against numerical", apart, WITHIN)
        apart = _apart(slopes, _as_trained(bench, weights, x, y, name))
        yield close(f"{name}: by hand against the training's own", apart, 1e-9)
        for what, wrong in _planted(slopes, len(x)):
            caught = not _apart(wrong, numerical(weights, x, y, loss)) <= WITHIN
            yield Fact(f"{name}: {what} is caught", caught)
    yield Fact("a layer with a wrong slope is caught by torch's own check", _is_caught(x))
    for name in NAMES["optim"]:
        yield close(f"ten updates of {name} against those by hand", _updates(bench, name), 1e-5)


def _problem(bench: Bench) -> tuple[Weights, Tensor, Tensor, Tensor]:
    random = bench.random("gradients")

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(random.normal(size=shape))

    weights = {"w1": draw(6, 4), "b1": draw(6), "w2": draw(3, 6), "b2": draw(3)}
    return weights, draw(7, 4), torch.from_numpy(random.integers(0, 3, 7)), draw(7, 3)


def numerical(weights: Weights, x: Tensor, y: Tensor, loss: Loss) -> Weights:
    """Central differences of the loss in every single weight."""
    slopes = {}
    for name, weight in weights.items():
        slope = torch.zeros_like(weight)
        for place in np.ndindex(*weight.shape):
            sides = []
            for step in (STEP, -STEP):
                moved = weight.clone()
                moved[place] += step
                sides.append(by_hand.two_layers({**weights, name: moved}, x, y, loss)[0])
            slope[place] = (sides[0] - sides[1]) / (2 * STEP)
        slopes[name] = slope
    return slopes


def _as_trained(bench: Bench, weights: Weights, x: Tensor, y: Tensor, loss: str) -> Weights:
    """The slopes of the built-in net with these weights under the built-in loss."""
    arrays = (x.float().numpy(), y.numpy())
    config = bench.config((*arrays, *arrays), model={"depth": 1, "hidden_units": 6})
    classes = () if y.is_floating_point() else ("0", "1", "2")
    net = build_model(config, Prepared(x, y, x, y, classes), bench.seed).double()
    first, last = weight_layers(net)
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    tensors = dict(zip(weights, (first.weight, first.bias, last.weight, last.bias), strict=True))
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(weights[name])
    value = losses.build(loss, is_classification=bool(classes))(net(x), y)
    found = torch.autograd.grad(value, list(tensors.values()))
    return dict(zip(tensors, found, strict=True))


def _planted(slopes: Weights, batch: int) -> Iterator[tuple[str, Weights]]:
    """Mistakes of the kind that people make."""
    yield "a sum instead of the mean", {k: v * batch for k, v in slopes.items()}
    yield "a sign", {**slopes, "w1": -slopes["w1"]}
    yield "a bias left out", {**slopes, "b1": torch.zeros_like(slopes["b1"])}


class _WrongSlope(torch.autograd.Function):
    """A square whose derivative forgets the factor two."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(context: Any, above: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        found: Tensor = above * x
        return found


def _is_caught(x: Tensor) -> bool:
    asked = x.clone().requires_grad_()
    is_right = torch.autograd.gradcheck(torch.square, asked, raise_exception=False)
    return is_right and not torch.autograd.gradcheck(
        _WrongSlope.apply, asked, raise_exception=False
    )


def _apart(one: Weights, other: Weights) -> float:
    return max(largest(one[name], other[name]) for name in one)


def _updates(bench: Bench, name: str) -> float:
    """The largest difference after ten updates of one tensor by random slopes."""
    random = bench.random("updates")
    asked = {"name": name, "weight_decay": 0.1, "lr": 0.05}
    optim = NAMES["optim"][name].model_validate(asked).model_dump()
    weight = nn.Parameter(torch.from_numpy(random.normal(size=20).astype(np.float32)))
    by_rule, memory = weight.detach().clone(), dict[str, Any]()
    optimizer = optimizers.build(optim, [weight])
    for _ in range(10):
        slope = torch.from_numpy(random.normal(size=20).astype(np.float32))
        weight.grad = slope.clone()
        optimizer.step()
        by_rule = by_hand.RULES[name](by_rule, slope, memory, optim)
    return largest(weight.detach(), by_rule)


DECAY = 0.1


def decay_is_an_l2_penalty(bench: Bench) -> Iterator[Fact]:
    """E11: in every step of a real run plain SGD with weight decay follows the gradient plus
    λ · weight; AdamW does not do what Adam does with that gradient."""
    for name, differs in (("sgd", False), ("adamw", True)):
        ran = _decayed(bench, name)
        penalised = "sgd" if name == "sgd" else "adam"
        apart = _from_penalty(ran, penalised)
        yield equal(f"{name}: updates seen", len(ran.updates), 20)
        if differs:
            yield Fact(f"{name}: differs from an L2 penalty by {apart:.3g} > 0.01", apart > 0.01)
        else:
            yield close(f"{name}: difference to an L2 penalty", apart, 1e-6)


def _decayed(bench: Bench, name: str) -> Ran:
    random = bench.random("decay")
    x = random.normal(size=(40, 6)).astype(np.float32)
    y = random.normal(size=(40, 2)).astype(np.float32)
    config = bench.config(
        (x, y, x, y), model={"hidden_units": 8}, loss={"name": "mse"},
        optim={"name": name, "lr": 0.1, "weight_decay": DECAY},
        train={"epochs": 4, "batch_size": 8},
    )  # fmt: skip
    return bench.train(config, watches=True)


def _from_penalty(ran: Ran, rule: str) -> float:
    """How far any real step ended from that of the rule with λ · weight added to the slope.

    Each step begins at the real weights; what the rule remembers is its own.
    """
    optim = {**ran.config["optim"], "weight_decay": 0.0}
    memories = [dict[str, Any]() for _ in ran.updates[0].before]
    apart = 0.0
    for update in ran.updates:
        parts = zip(update.before, update.gradients, update.after, memories, strict=True)
        for before, slope, after, memory in parts:
            stepped = by_hand.RULES[rule](before, slope + DECAY * before, memory, optim)
            apart = max(apart, largest(after, stepped))
    return apart


CHECKS = (gradients_by_hand, decay_is_an_l2_penalty)
