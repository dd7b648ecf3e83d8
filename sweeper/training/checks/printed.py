"""E14: the faults of a printed network and loop, each in a few lines, and that mended it runs."""

import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweeper.training.checks.bench import Bench, Fact, close, equal
from sweeper.training.checks.nets import bend, images

CHANNELS, CLASSES, POOL = 64, 10, 4


class Net(nn.Module):
    """A 3×3 convolution without padding, average pooling, a linear layer; nothing in between."""

    def __init__(self, features: int = CHANNELS, *, applies_pooling: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, CHANNELS, 3)
        self.pooling = nn.AvgPool2d(POOL)
        self.linear = nn.Linear(features, CLASSES)
        self.applies_pooling = applies_pooling

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.applies_pooling:
            x = self.pooling(x)
        answer: Tensor = self.linear(x.flatten(1))
        return answer


class Unprepared(nn.Module):
    """A module that is given a layer before it is one."""

    def __init__(self) -> None:
        self.layer = nn.Linear(1, 1)


def _batch(width: int = 8, samples: int = 6) -> tuple[Tensor, Tensor]:
    return torch.randn(samples, 3, width, width), torch.arange(samples) % CLASSES


def unprepared() -> None:
    Unprepared()


def without_pooling() -> None:
    Net(applies_pooling=False)(_batch()[0])


def numbered_batches() -> None:
    for batch in enumerate([_batch()]):
        x, _ = batch
        Net()(x)


def swapped_arguments() -> None:
    x, y = _batch()
    functional.cross_entropy(y, Net()(x))


def indexed_loss() -> None:
    x, y = _batch()
    functional.cross_entropy(Net()(x), y)[0].backward()  # type: ignore[no-untyped-call]


def data_elsewhere() -> None:
    """The data on another device than the net: a GPU, or torch's device without memory."""
    Net()(_batch()[0].to("cuda" if torch.cuda.is_available() else "meta"))


# What each fault is, and what torch says of it.
FAULTS: tuple[tuple[str, Callable[[], None], type[Exception], str], ...] = (
    ("no super().__init__()", unprepared, AttributeError, "before Module.__init__"),
    ("pooling never applied", without_pooling, RuntimeError, "cannot be multiplied"),
    ("enumerate unpacked", numbered_batches, TypeError, "int"),
    ("loss arguments swapped", swapped_arguments, RuntimeError, ""),
    ("the loss indexed", indexed_loss, IndexError, "0-dim"),
    ("data moved, the net not", data_elsewhere, RuntimeError, "device|weight type"),
)


def printed_code_fails(bench: Bench) -> Iterator[Fact]:
    """Each fault alone ends the code, with an error that speaks of it; mended it runs, as a linear
    model, and so does the built-in net that is made after it."""
    torch.manual_seed(bench.seed)
    for what, code, kind, words in FAULTS:
        said = _failure(code)
        is_it = isinstance(said, kind) and bool(re.search(words, str(said)))
        yield Fact(f"{what}: {type(said).__name__}: {str(said)[:100]!r}", is_it)
    fitting = [width for width in range(3, 41) if _fits(Net(), width)]
    yield equal("widths of images that 64 inputs fit", fitting, [6, 7, 8, 9])
    yield Fact("32 pixels fit 3136 inputs", _fits(Net(3136), 32))
    yield from _mended(bench)


def _failure(code: Callable[[], None]) -> Exception | None:
    try:
        code()
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return error
    return None


def _fits(net: nn.Module, width: int) -> bool:
    return _failure(lambda: net(_batch(width)[0])) is None


def _mended(bench: Bench) -> Iterator[Fact]:
    """The printed loop on the mended net, and model=reference in the built-in loop."""
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    x, y = _batch()
    losses = []
    for _, (batch, labels) in enumerate([(x, y)] * 20):
        loss = functional.cross_entropy(net(batch), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    yield Fact(
        f"mended: its loss falls from {losses[0]:.3g} to {losses[-1]:.3g}", losses[-1] < losses[0]
    )
    yield close("mended: distance from a linear model", bend(net, x), 1e-5)
    ran = bench.train(
        bench.config(
            images(bench), "reference", data={"scaling": "unit", "color": "rgb"},
            optim={"name": "momentum", "weight_decay": 5e-4}, train={"epochs": 3},
        )
    )  # fmt: skip
    first, last = (ran.points[i][1]["train_loss"] for i in (0, -1))
    yield Fact(f"model=reference: its loss falls from {first:.3g} to {last:.3g}", last < first)
    apart = bend(ran.net.cpu(), x)
    yield close("model=reference: distance from a linear model", apart, 1e-5)


CHECKS = (printed_code_fails,)
