"""Checks of what the net is fed: how arrays are joined and split, and what people see of them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sweeper.training import prepare, samples, weights
from sweeper.training.checks.bench import Array, Bench, Fact, Ran, answers, close, equal
from sweeper.training.checks.nets import images
from sweeper.training.data import folder
from sweeper.training.values import Data


def _axes(bench: Bench, **data: Any) -> dict[str, Any]:
    given = {"scaling": "none", **data, **bench.changes.get("data", {})}
    return Data.model_validate(given).model_dump()


def stacking(bench: Bench) -> Iterator[Fact]:
    """A07c: images and channels are joined by stacking: each stays where it was. To put them end to
    end and reshape gives the same shape and other images."""
    random = bench.random("stacking")
    planes = random.integers(0, 256, (3, 12, 6, 5)).astype(np.uint8)  # channel, image, row, column
    y = np.tile([0, 1], 6)
    joined = {
        "stacked": np.stack(list(planes), axis=-1),
        "reshaped": np.concatenate([p.ravel() for p in planes]).reshape(12, 6, 5, 3),
    }
    moved = {how: _moved(bench, x, y, planes) for how, x in joined.items()}
    yield close("channels stacked: pixels that are not where they were", moved["stacked"], 0)
    yield Fact("channels reshaped: most are not", moved["reshaped"] > planes.size / 2)
    for n, image in enumerate(joined["stacked"]):
        kind = bench.folder / "images" / str(y[n])
        kind.mkdir(parents=True, exist_ok=True)
        # as large as they are read, so that nothing is resized
        Image.fromarray(image[:5, :5]).save(kind / f"{n:02}.png")
    read, labels = folder(str(bench.folder / "images"), image_size=5)
    by_class = np.argsort(y, kind="stable")
    expected = joined["stacked"][by_class][:, :5, :5]
    yield equal("classes of the images of a folder", labels.tolist(), [str(v) for v in y[by_class]])
    wrong = int((read != expected).sum()) if read.shape == expected.shape else expected.size
    yield close("images of a folder: pixels that are not where they were", wrong, 0)


def _moved(bench: Bench, x: Array, y: Array, planes: Array) -> int:
    """How many pixels the net is fed in another place than in their plane, over all samples."""
    found = prepare.prepare((x, y, x, y), _axes(bench), bench.seed)
    fed = found.val_x.numpy()  # (samples, channels, height, width)
    expected = planes.transpose(1, 0, 2, 3).astype(np.float32)
    if fed.shape != expected.shape:
        return int(expected.size)
    order = _order_of(found.val_y.numpy(), fed, y, expected)
    return int((fed != expected[order]).sum())


def _order_of(fed_y: Array, fed: Array, y: Array, expected: Array) -> Array:
    """Which sample each one is: of its class the one that it resembles most."""
    away = np.abs(fed[:, None] - expected[None]).sum(axis=(2, 3, 4))
    away[fed_y[:, None] != y[None]] = np.inf
    found: Array = away.argmin(axis=1)
    return found


FOLDS = 5


def every_sample_validated_once(bench: Bench) -> Iterator[Fact]:
    """A14: the k trials of a split validate every sample once, and train on all others."""
    for n in (100, 103):
        x = np.arange(n, dtype=np.float32)[:, None]
        validated: list[int] = []
        first = bench.seed // FOLDS * FOLDS
        for seed in range(first, first + FOLDS):
            axes = _axes(bench, split="k_fold", folds=FOLDS)
            found = prepare.prepare((x, x[:, 0]), axes, seed)
            train, val = (_numbers(part) for part in (found.train_x, found.val_x))
            yield equal(f"samples of {n} in both parts", len(set(train) & set(val)), 0)
            yield equal(f"samples of {n} in either", len({*train, *val}), n)
            validated += val
        counts = np.bincount(np.array(validated, dtype=np.int64), minlength=n)
        wrong = int((counts != 1).sum())
        yield close(f"samples of {n} that are not validated exactly once", wrong, 0)


def _numbers(x: Tensor) -> list[int]:
    numbers: list[int] = x[:, 0].round().long().tolist()
    return numbers


def inputs_can_be_seen(bench: Bench) -> Iterator[Fact]:
    """E8: a run leaves the images as they were fed, with their labels, the predictions beside the
    true labels, the curves, and the weights before training and after."""
    config = bench.config(
        images(bench), "cnn", data={"scaling": "standardize"}, optim={"lr": 0.1},
        train={"epochs": 2, "batch_size": samples.TRAINING},
    )  # fmt: skip
    ran = bench.train(config, watches=True)
    with np.load(ran.folder / samples.NAME, allow_pickle=False) as file:
        shown = {name: file[name] for name in file.files}
    about = json.loads(shown["about"].tobytes())
    first = ran.batches[0]
    fed = first.x[:, 0].cpu()
    yield close("grey levels by which a shown image is off", _off(shown["train_images"], fed), 1)
    # the slope of a cross-entropy is negative at the label alone
    labels = [str(label) for label in first.slopes.argmin(dim=1).tolist()]
    yield equal("labels beside the images", about["train_label"], labels)
    data = prepare.load(config["data"], bench.seed)
    yield from _predictions(ran, data.val_x, data.val_y, about, shown["val_images"])
    told = [{"train_loss", "val_loss", "val_accuracy"} <= set(m) for _, m in ran.points]
    yield equal("points of the curves", told, [True] * 3)
    drawn = json.loads((ran.folder / weights.NAME).read_bytes())
    trained = [parameter.detach() for parameter in ran.net.parameters()]
    yield from _histograms("before training", drawn["before"], ran.updates[0].before)
    yield from _histograms("after training", drawn["after"], trained)


def _histograms(
    when: str, drawn: Sequence[weights.Histogram], parameters: Sequence[Tensor]
) -> Iterator[Fact]:
    """What is drawn of the weights against the weights."""
    expected = [
        (list(w.shape), w.min().item(), w.max().item(), w.numel()) for w in parameters if w.ndim > 1
    ]
    found = [(d["shape"], d["low"], d["high"], sum(d["counts"])) for d in drawn]
    yield equal(f"weights {when}: shape, least, largest, how many", found, expected)


def _off(pixels: Array, fed: Tensor) -> float:
    """The largest difference to the images, each from its least to its largest value."""
    low = fed.amin(dim=(1, 2), keepdim=True)
    spread = fed.amax(dim=(1, 2), keepdim=True) - low
    expected = ((fed - low) / spread * 255).numpy()
    return float(np.abs(pixels - expected).max()) if pixels.shape == expected.shape else np.inf


def _predictions(
    ran: Ran, x: Tensor, y: Tensor, about: dict[str, Any], pixels: Array
) -> Iterator[Fact]:
    """What is shown of the validation part against what the trained net says of it."""
    predicted = answers(ran.net.eval().cpu(), x).argmax(dim=1)
    mistakes = int((predicted != y).sum())
    accuracy = 1 - about["val_mistakes"] / about["val_count"]
    yield close("accuracy shown and reported", abs(accuracy - ran.metrics["val_accuracy"]), 1e-6)
    yield equal("mistakes shown and made", about["val_mistakes"], mistakes)
    expected = sorted(zip(y.tolist(), predicted.tolist(), strict=True))
    told = (map(int, about[key]) for key in ("val_label", "val_predicted"))
    found = sorted(zip(*told, strict=True))
    yield equal("true labels beside predictions", found, expected)
    yield equal("an image for each of them", len(pixels), len(expected))


CHECKS = (stacking, every_sample_validated_once, inputs_can_be_seen)
