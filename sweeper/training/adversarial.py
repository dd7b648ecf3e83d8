"""A task of two nets: a generator against a discriminator, or one of them by itself.

Real samples are points on a ring of eight blobs (Metz and others 2017, arXiv:1611.02163). Each net
is the one that the group `model` names; the losses are those of Goodfellow and others 2014
(arXiv:1406.2661), the generator's in the form that does not saturate.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweeper import targets
from sweeper.training import init, optimizers, schedules, streams
from sweeper.training.run import Report

BLOBS, RADIUS, SPREAD = 8, 2.0, 0.1
LATENT, POINT = 2, 2  # numbers that go into the generator, and that come out
POINTS = 50  # of the curve, at most


def train(
    config: Mapping[str, Any], *, seed: int, device: str, report: Report, workdir: Path
) -> dict[str, float]:
    """Train both nets against each other, or `task.part` alone, and watch their gradients.

    Alone the discriminator tells the ring from fixed noise, and the generator learns to carry each
    latent point to the ring at its own angle. `largest_gradient` is the largest norm of the whole
    gradient of `task.part` over all steps; the other net's stands beside it by name.
    """
    del workdir
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices):
        game = _Game(config, seed, device)
        return game.play(report)


class _Game:
    """Both nets with their optimizers, and the largest gradient of each so far."""

    def __init__(self, config: Mapping[str, Any], seed: int, device: str) -> None:
        self._task, self._device = config["task"], device
        self._batch = config["train"]["batch_size"]
        self._random = streams.torch_generator(seed, "order")
        torch.manual_seed(streams.number(seed, "init"))
        nets = {
            "discriminator": _net(config, POINT, 1),
            "generator": _net(config, LATENT, POINT),
        }
        is_alone = self._task["mode"] == "alone"
        self._nets = {n: net.to(device) for n, net in nets.items()}
        self._learning = [self._task["part"]] if is_alone else list(nets)
        self._optimizers = {
            name: optimizers.build(config["optim"], self._nets[name].parameters())
            for name in self._learning
        }
        self._schedule = schedules.build(
            config["schedule"], lr=config["optim"]["lr"],
            steps_per_epoch=self._task["steps"], epochs=1,
        )  # fmt: skip
        self._largest = dict.fromkeys(self._learning, 0.0)

    def play(self, report: Report) -> dict[str, float]:
        steps = self._task["steps"]
        for step in range(steps):
            losses = {name: self._update(name, step) for name in self._learning}
            is_finite = all(map(math.isfinite, [*losses.values(), *self._largest.values()]))
            if not is_finite or step % max(1, steps // POINTS) == 0:
                report(step, **{f"{name}_loss": loss for name, loss in losses.items()})
            if not is_finite:
                break
        found = {f"{name}_loss": loss for name, loss in losses.items()}
        found |= {f"largest_{name}_gradient": norm for name, norm in self._largest.items()}
        return {
            **found, "largest_gradient": self._largest[self._task["part"]],
            "steps": float(step + 1),
        }  # fmt: skip

    def _update(self, name: str, step: int) -> float:
        """One step of one net; the other stands still."""
        optimizer, net = self._optimizers[name], self._nets[name]
        optimizers.set_lr(optimizer, self._schedule.at(step))
        loss = self._discriminator_loss() if name == "discriminator" else self._generator_loss()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
        largest, found = self._largest[name], norm.item()
        self._largest[name] = found if math.isnan(found) else max(largest, found)
        optimizer.step()
        return loss.item()

    def _discriminator_loss(self) -> Tensor:
        """Real points are to be told from made ones; alone, from noise of the ring's extent."""
        made = RADIUS * self._latent()
        if "generator" in self._learning:
            with torch.no_grad():
                made = self._nets["generator"](self._latent())
        judge = self._nets["discriminator"]
        real, false = judge(self._ring(self._angles())), judge(made)
        return (functional.softplus(-real) + functional.softplus(false)).mean()

    def _generator_loss(self) -> Tensor:
        latent = self._latent()
        made = self._nets["generator"](latent)
        if "discriminator" in self._learning:
            return functional.softplus(-self._nets["discriminator"](made)).mean()
        angles = torch.atan2(latent[:, 1], latent[:, 0])
        turn = 2 * math.pi / BLOBS
        return functional.mse_loss(made, self._ring((angles / turn).round() * turn))

    def _latent(self) -> Tensor:
        return torch.randn(self._batch, LATENT, generator=self._random).to(self._device)

    def _angles(self) -> Tensor:
        blobs = torch.randint(BLOBS, (self._batch,), generator=self._random)
        return (blobs * (2 * math.pi / BLOBS)).to(self._device)

    def _ring(self, angles: Tensor) -> Tensor:
        """A point (batch, 2) of the blob at each angle."""
        centres = RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)
        noise = torch.randn(centres.shape, generator=self._random).to(self._device)
        return centres + SPREAD * noise


def _net(config: Mapping[str, Any], inputs: int, outputs: int) -> nn.Module:
    values = {k: v for k, v in config["model"].items() if k != "_target_"}
    offered = {"input_shape": (inputs,), "outputs": outputs}
    net: nn.Module = targets.call(config["model"]["_target_"], values, offered)
    init.initialise(net, config["init"])
    return net
