"""Checks of the training loop: how many steps it makes, of what, and what repeats."""

from collections.abc import Iterator

import numpy as np
import torch

from sweeper.training import prepare
from sweeper.training.checks.bench import Array, Batch, Bench, Fact, Ran, close, equal, largest


def updates_per_epoch(bench: Bench) -> Iterator[Fact]:
    """E1: 9,000 samples in batches of 100 are 90 updates, 1,000 in tens 100; D01f: smaller batches
    are more updates. Losses on what is held out are read after every epoch."""
    cases = ((9000, 1000, 100, 90), (1000, 100, 10, 100))
    for n_train, n_val, size, expected in cases:
        ran = bench.train(_classes(bench, n_train, n_val, batch_size=size, epochs=2))
        what = f"updates in each of two epochs of {n_train} samples in batches of {size}"
        yield equal(what, ran.updates_by_epoch, [expected] * 2)
        yield equal("epochs of which a validation loss was told", _told(ran), [0, 1, 2])
        losses = {metrics["val_loss"] for _, metrics in ran.points if "val_loss" in metrics}
        yield equal("different validation losses among them", len(losses), 3)
    sizes = (32, 16, 8, 1)
    counts = [
        bench.train(_classes(bench, 1000, 10, batch_size=size)).updates_by_epoch for size in sizes
    ]
    yield equal(f"updates in an epoch in batches of {sizes}", counts, [[32], [63], [125], [1000]])


def _told(ran: Ran) -> list[int]:
    return [epoch for epoch, metrics in ran.points if "val_loss" in metrics]


def _classes(bench: Bench, n_train: int, n_val: int, **train: int) -> dict[str, dict[str, object]]:
    """A small net on two classes."""
    random = bench.random("classes")
    x = random.normal(size=(n_train + n_val, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    source = (x[:n_train], y[:n_train], x[n_train:], y[n_train:])
    return bench.config(source, train=train)


def same_seed_same_result(bench: Bench) -> Iterator[Fact]:
    """E2: everything that is reported, and every weight, is equal to the last bit; another seed
    gives something else."""
    source = _two_blobs(bench)
    config = bench.config(
        source, model={"dropout": 0.3, "norm": "batch"}, optim={"name": "momentum", "lr": 0.05},
        train={"epochs": 3, "batch_size": 16},
    )  # fmt: skip
    one, again = bench.train(config), bench.train(config)
    other = bench.train(config, bench.seed + 1)
    yield Fact("what two runs of a seed report is equal", repr(one.points) == repr(again.points))
    pairs = list(zip(one.net.parameters(), again.net.parameters(), strict=True))
    yield Fact("so is every weight, bit for bit", all(torch.equal(a, b) for a, b in pairs))
    yield close("largest difference of a weight", max(largest(a, b) for a, b in pairs), 0.0)
    told = "weights_fingerprint"
    yield Fact("another seed gives other weights", one.metrics[told] != other.metrics[told])


def _two_blobs(bench: Bench) -> tuple[Array, ...]:
    random = bench.random("blobs")
    y = np.tile([0, 1], 60)
    x = (random.normal(size=(120, 6)) + y[:, None]).astype(np.float32)
    return x[:80], y[:80], x[80:], y[80:]


def fits_a_tiny_set(bench: Bench) -> Iterator[Fact]:
    """E4: without penalty, dropout and augmentation a sound net fits twenty digits."""
    ran = bench.train(
        bench.config(
            "digits",
            data={"scaling": "standardize", "train_samples": 20, "validation_samples": 20},
            model={"depth": 1}, optim={"name": "momentum", "lr": 0.05},
            train={"epochs": 200, "batch_size": 20, "evaluate_every": 200},
        )
    )  # fmt: skip
    yield close("the training loss after 200 steps", ran.metrics["train_loss"], 0.01)
    yield equal("the training accuracy", ran.metrics["train_accuracy"], 1.0)


_SAMPLES = 60


def fresh_order_every_epoch(bench: Bench) -> Iterator[Fact]:
    """E5: each epoch is a new permutation of all samples, and each keeps its own target.

    A sample's number stands in its input and in its target; what the loss was computed with is
    read off the slope of the squared error at the net's output, 2 (output − target) / batch.
    """
    number = np.arange(_SAMPLES, dtype=np.float32)
    x = np.stack([number / _SAMPLES, np.ones_like(number)], axis=1)
    config = bench.config(
        (x, number / _SAMPLES, x[:10], number[:10]), model={"depth": 0}, loss={"name": "mse"},
        optim={"lr": 1e-3}, train={"epochs": 3, "batch_size": 7},
    )  # fmt: skip
    ran = bench.train(config, watches=True)
    epochs = [torch.cat([_numbers(batch) for batch in e]) for e in ran.batches_by_epoch()]
    apart = sum(int((fed != target).sum()) for fed, target in (e.T for e in epochs))
    yield close("samples that were fed with the target of another", apart, 0)
    stored = prepare.load(config["data"], bench.seed).train_x[:, 0] * _SAMPLES
    orders = [stored.round().long().tolist(), *(e[:, 0].tolist() for e in epochs)]
    missed = sum(len(set(range(_SAMPLES)) - set(order)) for order in orders)
    yield equal("samples in each epoch", [len(order) for order in orders[1:]], [_SAMPLES] * 3)
    yield close("samples that an epoch did not show", missed, 0)
    yield equal("orders, that of the data among them", len(set(map(tuple, orders))), 4)


def _numbers(batch: Batch) -> torch.Tensor:
    """(batch, 2) the number of each sample as it was fed, and as it was its target."""
    targets = batch.outputs - batch.slopes * len(batch.x) / 2
    told = torch.stack([batch.x[:, 0], targets[:, 0]], dim=1)
    return (told.double() * _SAMPLES).round().long()


def eval_without_norm_or_dropout(bench: Bench) -> Iterator[Fact]:
    """D14c: with neither in the net, evaluation mode changes no bit of what is read."""
    source = _two_blobs(bench)
    read = [
        bench.train(
            bench.config(source, model={"depth": 2}, train={"epochs": 2, "evaluation_mode": mode})
        )
        for mode in ("eval", "train")
    ]
    yield equal("epochs read", [epoch for epoch, _ in read[0].points], [0, 1, 2])
    told = [[tuple(sorted(metrics.items())) for _, metrics in ran.points] for ran in read]
    yield Fact("what both modes read is equal", repr(told[0]) == repr(told[1]))


def batch_update_is_the_mean(bench: Bench) -> Iterator[Fact]:
    """E10: a batch moves the weights by the mean of what its samples move them by, one by one."""
    random = bench.random("batch")
    x = random.normal(size=(8, 5)).astype(np.float32)
    y = random.normal(size=(8, 3)).astype(np.float32)

    def moved(chosen: slice) -> torch.Tensor:
        config = bench.config(
            (x[chosen], y[chosen], x, y), model={"hidden_units": 16}, loss={"name": "mse"},
            optim={"lr": 0.1}, train={"batch_size": 8},
        )  # fmt: skip
        (update,) = bench.train(config, watches=True).updates
        pairs = zip(update.after, update.before, strict=True)
        return torch.cat([(after - before).flatten() for after, before in pairs])

    singly = torch.stack([moved(slice(i, i + 1)) for i in range(len(x))])
    together = moved(slice(None))
    yield Fact("the batch moves the weights", together.abs().max().item() > 1e-4)
    yield close("difference to the mean", largest(together, singly.mean(dim=0)), 1e-6)


CHECKS = (
    updates_per_epoch,
    same_seed_same_result,
    fits_a_tiny_set,
    fresh_order_every_epoch,
    eval_without_norm_or_dropout,
    batch_update_is_the_mean,
)
