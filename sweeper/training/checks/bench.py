"""What checks share: the built-in training on small arrays, watched from outside."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.optim import Optimizer
from torch.optim import optimizer as optimizer_hooks

from sweeper.training import loop, streams
from sweeper.training.values import DATA, MODELS, NAMES, TARGETS, Train

Array = NDArray[Any]
Config = dict[str, dict[str, Any]]
# A source of `data` by its name, or train_x, train_y, val_x and val_y.
Source = str | Sequence[Array]


@dataclass(frozen=True)
class Fact:
    """Something that has to hold for a check to hold; `difference` says by how much it misses."""

    what: str
    holds: bool
    difference: float | None = None


def equal(what: str, found: Any, expected: Any) -> Fact:
    return Fact(f"{what}: {found!r}, expected {expected!r}", bool(found == expected))


def close(what: str, difference: float, within: float) -> Fact:
    """NaN is close to nothing."""
    return Fact(f"{what}: {difference:.3g} ≤ {within:.3g}", difference <= within, difference)


def largest(one: Tensor, other: Tensor) -> float:
    """The largest absolute difference of two tensors; inf where shapes differ or one is NaN."""
    if one.shape != other.shape:
        return math.inf
    found = (one.double() - other.double()).abs().max().item()
    return math.inf if math.isnan(found) else found


@torch.no_grad()
def answers(net: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = net(x)
    return found


@dataclass(frozen=True)
class Batch:
    """What the net was fed in a training step, what it answered, and the loss' slope there."""

    x: Tensor
    outputs: Tensor
    slopes: Tensor


@dataclass(frozen=True)
class Update:
    """A real step of the optimizer: parameters and gradients before it, parameters after it."""

    before: Sequence[Tensor]
    gradients: Sequence[Tensor]
    after: Sequence[Tensor]


@dataclass
class Ran:
    """A run of the built-in loop as it was seen from outside."""

    config: Config
    folder: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    points: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    updates_at_points: list[int] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    n_updates: int = 0
    net: nn.Module = field(default_factory=nn.Identity)  # the trained one

    @property
    def updates_by_epoch(self) -> list[int]:
        return np.diff(self.updates_at_points).tolist()

    def batches_by_epoch(self) -> Iterator[list[Batch]]:
        for start, end in pairwise(self.updates_at_points):
            yield self.batches[start:end]


@dataclass(frozen=True)
class Bench:
    """Where a check runs; `changes` are planted in every configuration, so that it can fail."""

    seed: int
    device: str
    folder: Path
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def random(self, name: str) -> np.random.Generator:
        """Numbers for a check's own arrays, other ones at each seed."""
        return streams.generator(self.seed, f"check {name}")

    def config(self, source: Source, kind: str = "mlp", **groups: Mapping[str, Any]) -> Config:
        """The built-in training on these data, small and plain unless a group says otherwise."""
        if isinstance(source, str):
            target, own = DATA + source, dict[str, Any]()
        else:
            target, own = DATA + "arrays", {"path": str(self._written(source))}
        own["scaling"] = "none"
        data = self._values(TARGETS["data"][target], "data", own, groups)
        net = self._values(TARGETS["model"][MODELS + kind], "model", {}, groups)
        return {
            "data": {"_target_": target, **data},
            "model": {"_target_": MODELS + kind, **net},
            **{g: self._named(g, name, groups) for g, name in _PLAIN.items()},
            "train": self._values(Train, "train", {"epochs": 1}, groups),
        }  # fmt: skip

    def _values(
        self,
        model: Any,
        group: str,
        own: Mapping[str, Any],
        groups: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        given = {**own, **groups.get(group, {}), **self.changes.get(group, {})}
        checked: dict[str, Any] = model.model_validate(given).model_dump()
        return checked

    def _named(
        self, group: str, name: str, groups: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        asked = {"name": name, **groups.get(group, {}), **self.changes.get(group, {})}
        return self._values(NAMES[group][asked["name"]], group, {"name": name}, groups)

    def _written(self, arrays: Sequence[Array]) -> Path:
        names = ("train_x", "train_y", "val_x", "val_y")
        path = self.folder / f"check-{len(list(self.folder.glob('check-*.npz')))}.npz"
        np.savez(path, allow_pickle=False, **dict(zip(names, arrays, strict=True)))
        return path

    def train(self, config: Config, seed: int | None = None, *, watches: bool = False) -> Ran:
        """Run the built-in loop; with `watches` keep what it fed and how it stepped."""
        work = self.folder / f"check-run-{len(list(self.folder.glob('check-run-*')))}"
        work.mkdir()
        ran = Ran(config, work)

        def report(step: int, **metrics: float) -> None:
            ran.points.append((step, metrics))
            ran.updates_at_points.append(ran.n_updates)

        with _watched(ran, keeps=watches):
            ran.metrics = loop.train(
                config,
                seed=self.seed if seed is None else seed,
                device=self.device,
                report=report,
                workdir=work,
            )
        return ran


_PLAIN = {"init": "default", "optim": "sgd", "schedule": "constant", "loss": "cross_entropy"}


@contextmanager
def _watched(ran: Ran, *, keeps: bool) -> Iterator[None]:
    """See the net, each training batch and each real step of its optimizer, inside the block."""
    watch = _Watch(ran, keeps)
    handles = [
        hooks.register_module_forward_pre_hook(watch.fed),
        hooks.register_module_forward_hook(watch.answered),
        optimizer_hooks.register_optimizer_step_pre_hook(watch.before),
        optimizer_hooks.register_optimizer_step_post_hook(watch.after),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Watch:
    """torch's own hooks, which see what really happens, whatever the loop says of it."""

    def __init__(self, ran: Ran, keeps: bool) -> None:
        self._ran, self._keeps = ran, keeps
        self._net: nn.Module | None = None
        self._fed: Tensor | None = None
        self._before: tuple[list[Tensor], list[Tensor]] = ([], [])

    def fed(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._net is None:  # the whole net is called before its parts
            self._net = self._ran.net = module
        if self._keeps and module is self._net and module.training and torch.is_grad_enabled():
            self._fed = inputs[0].detach().clone()

    def answered(self, module: nn.Module, _: Any, output: Tensor) -> None:
        if module is not self._net or self._fed is None or not output.requires_grad:
            return
        fed, answer = self._fed, output.detach().clone()
        self._fed = None

        def note(slopes: Tensor) -> None:
            self._ran.batches.append(Batch(fed, answer, slopes.detach().clone()))

        output.register_hook(note)  # type: ignore[no-untyped-call]

    def before(self, optimizer: Optimizer, *_: Any) -> None:
        if self._keeps:
            parameters = _parameters(optimizer)
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            self._before = _copied(parameters), _copied(grads)

    def after(self, optimizer: Optimizer, *_: Any) -> None:
        self._ran.n_updates += 1
        if self._keeps:
            self._ran.updates.append(Update(*self._before, _copied(_parameters(optimizer))))


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]
