"""What a trial leaves to look at: what is in it, and that it changes nothing else."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sweeper.training import prepare, samples, streams, weights
from sweeper.training.leaving import leave
from sweeper.training.order import Order
from sweeper.training.prepare import Prepared
from sweeper.training.run import Run as TrainingRun

CAPTCHA = {
    "_target_": "sweeper.training.data.captcha", "images": 120, "validation_samples": 40,
}  # fmt: skip
CNN = {"_target_": "sweeper.training.models.cnn", "depth": 1, "channels": 4, "dropout": 0.2}


def order(count: int) -> Order:
    return Order(count, "every_epoch", seed=0)


def left(folder: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    with np.load(folder / samples.NAME, allow_pickle=False) as file:
        assert set(file.files) == {"about", "train_images", "val_images"}
        about = json.loads(file["about"].tobytes())
        return about, file["train_images"], file["val_images"]


def test_a_trial_leaves_the_first_images_it_trained_on_as_the_net_was_fed_them(
    run: Callable[..., Any], config_of: Callable[..., Any], tmp_path: Path
) -> None:
    run(seed=3, data=CAPTCHA, model=CNN)
    about, train, val = left(tmp_path)
    data = prepare.load(config_of(data=CAPTCHA, model=CNN)["data"], 3)
    order = torch.randperm(len(data.train_x), generator=streams.torch_generator(3, "order"))
    first = data.train_x[order[0]].numpy().transpose(1, 2, 0)
    pixels = np.rint((first - first.min()) / (first.max() - first.min()) * 255)
    np.testing.assert_array_equal(train[0], pixels.astype(np.uint8))
    assert about["train_range"][0] == f"{first.min():.3g} to {first.max():.3g}"
    labels = [data.classes[i] for i in data.train_y[order[:16]].tolist()]
    assert about["train_label"] == labels
    assert (train.shape, val.shape) == ((16, 16, 16, 3), (32, 16, 16, 3))
    assert (train.dtype, val.dtype) == (np.uint8, np.uint8)


def test_images_that_are_never_shuffled_are_shown_as_they_stand(
    run: Callable[..., Any], config_of: Callable[..., Any], tmp_path: Path
) -> None:
    run(data=CAPTCHA, model=CNN, train={"shuffle": "never"})
    data = prepare.load(config_of(data=CAPTCHA)["data"], 0)
    labels = [data.classes[i] for i in data.train_y[:16].tolist()]
    assert left(tmp_path)[0]["train_label"] == labels


def test_the_worst_mistakes_come_first_then_the_least_certain(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    metrics = run(train={"epochs": 3}).metrics
    about, _, _ = left(tmp_path)
    wrong = [a != b for a, b in zip(about["val_label"], about["val_predicted"], strict=True)]
    assert 0 < about["val_mistakes"] < about["val_count"]
    assert wrong == sorted(wrong, reverse=True)
    assert 1 - about["val_mistakes"] / about["val_count"] == pytest.approx(metrics["val_accuracy"])
    right = [p for p, is_wrong in zip(about["val_probability"], wrong, strict=True) if not is_wrong]
    assert right == sorted(right)


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_a_loss_without_probabilities_has_none(
    run: Callable[..., Any], tmp_path: Path, loss: str
) -> None:
    run(loss={"name": loss})
    assert left(tmp_path)[0]["val_probability"] is None


def test_no_number_is_another_for_it(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"seed": 5, "data": CAPTCHA, "model": CNN, "train": {"epochs": 3}}
    with_them = run(**own)
    assert (tmp_path / samples.NAME).exists()
    monkeypatch.setattr(TrainingRun, "leaves", lambda self, seed: {})
    assert repr(run(**own)) == repr(with_them)


NONE_LEFT: dict[str, dict[str, Any]] = {
    "numbers to predict": {
        "data": {"_target_": "sweeper.training.data.diabetes"}, "loss": {"name": "mse"},
    },
    "a run that diverged": {"optim": {"name": "sgd", "lr": 1e6}, "loss": {"name": "mse"}},
    "one that went on": {
        "optim": {"name": "sgd", "lr": 1e6}, "loss": {"name": "naive_cross_entropy"},
        "train": {"stop_when_diverged": False},
    },
}  # fmt: skip


@pytest.mark.parametrize("groups", NONE_LEFT.values(), ids=NONE_LEFT)
def test_what_has_no_pictures_or_no_answers_leaves_none(
    run: Callable[..., Any], tmp_path: Path, groups: dict[str, Any]
) -> None:
    run(**groups)
    assert [path.name for path in tmp_path.iterdir()] == [weights.NAME]


def test_vectors_leave_none() -> None:
    x, y = torch.rand(20, 64), torch.arange(20) % 2
    data = Prepared(x, y, x, y, ("a", "b"))
    assert samples.pick(data, order(20), (x, y, torch.rand(20, 2)), "cross_entropy") is None


class FullDisk:
    """A file that takes half of what is written to it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        self._file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")


def test_a_disk_without_room_costs_the_images_and_not_the_trial(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", *further: Any, **named: Any) -> Any:
        file = opened(path, mode, *further, **named)
        return FullDisk(file) if mode == "xb" else file

    monkeypatch.setattr(Path, "open", full)
    assert run().metrics["epochs"] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [samples.NAME, weights.NAME])
def test_a_link_that_lies_there_is_not_followed(
    run: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    aim = tmp_path.parent / f"{tmp_path.name}-aim"
    for there in (name, f"{name}.half"):
        (tmp_path / there).symlink_to(aim)
    run()
    assert not aim.exists()
    assert not (tmp_path / name).is_symlink()


def test_large_images_are_thinned(tmp_path: Path) -> None:
    x, y = torch.rand(50, 3, 200, 100), torch.arange(50) % 2
    found = samples.pick(
        Prepared(x, y, x, y, ("a" * 99, "b")),
        order(50),
        (x, y, torch.rand(50, 2)),
        "cross_entropy",
    )
    leave(tmp_path / samples.NAME, found)
    about, train, _ = left(tmp_path)
    assert train.shape == (16, 50, 25, 3)
    assert about["train_label"][0] in ("a" * 40, "b")


def test_it_takes_no_time_to_speak_of(tmp_path: Path) -> None:
    x, y = torch.rand(1000, 3, 16, 16), torch.arange(1000) % 30
    data = Prepared(x, y, x, y, tuple(map(str, range(30))))
    answered = (x, y, torch.rand(1000, 30))

    def once(place: int) -> float:
        folder = tmp_path / str(place)
        folder.mkdir()
        started = time.process_time()  # the machine may be busy with other things
        found = samples.pick(data, order(1000), answered, "cross_entropy")
        leave(folder / samples.NAME, found)
        return time.process_time() - started

    assert min(map(once, range(15))) < 0.003


# The weights.


def test_a_trial_leaves_a_histogram_of_each_weight_before_training_and_after(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    run(init={"name": "normal", "std": 0.1}, train={"epochs": 3}, optim={"name": "sgd", "lr": 0.5})
    drawn = json.loads((tmp_path / weights.NAME).read_bytes())
    for layers in drawn.values():
        assert [layer["name"] for layer in layers] == ["1.weight", "3.weight", "5.weight"]
        for layer in layers:
            assert sum(layer["counts"]) == np.prod(layer["shape"])
            assert len(layer["counts"]) == weights.BINS
    before, after = (drawn[when][0] for when in ("before", "after"))
    assert -0.6 < before["low"] < -0.2 < 0.2 < before["high"] < 0.6  # 4,096 draws at ±0.1
    assert before != after


def test_equal_weights_are_one_bin_and_such_as_are_not_finite_have_none() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2, bias=False))
    torch.nn.init.constant_(net[0].weight, 0.25)
    torch.nn.init.constant_(net[1].weight, float("inf"))
    huge = torch.nn.Linear(1, 2, bias=False)
    huge.weight.data = torch.tensor([[-3e38], [3e38]])
    assert weights.histograms(huge)[0]["counts"] == [1, *[0] * 38, 1]
    assert weights.histograms(net) == [
        {"name": "0.weight", "shape": [3, 2], "low": 0.25, "high": 0.25, "counts": [6]},
        {"name": "1.weight", "shape": [2, 3]},
    ]


def test_the_weights_before_training_are_kept_with_a_checkpoint(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    run(train={"epochs": 4})
    whole = (tmp_path / weights.NAME).read_bytes()
    run(train={"epochs": 4, "interrupt_after": 2})
    assert (tmp_path / weights.NAME).read_bytes() == whole
