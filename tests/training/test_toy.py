"""Samples of a known law: what was asked for is what is drawn."""

from typing import Any

import numpy as np
import pytest
import torch

from sweeper.training import data, prepare
from sweeper.training.values import DATA, TARGETS

TOY: dict[str, Any] = {
    "seed": 0, "kind": "moons", "samples": 1000, "errors": "gaussian", "spread": 0.2, "turns": 1.5,
}  # fmt: skip


def loaded(source: str, seed: int = 0, **changes: Any) -> prepare.Prepared:
    values = {**TARGETS["data"][DATA + source]().model_dump(), **changes}
    return prepare.load({"_target_": DATA + source, **values}, seed)


@pytest.mark.parametrize("kind", ["moons", "spirals"])
def test_classes_lie_where_their_law_says_and_in_no_order(kind: str) -> None:
    x, y = data.toy(**{**TOY, "kind": kind, "errors": "none"})
    assert (x.shape, np.bincount(y).tolist()) == ((1000, 2), [500, 500])
    assert 400 < np.count_nonzero(y[1:] != y[:-1]) < 600
    if kind == "moons":
        centres = np.array([[0, 0], [1, 0.5]])[y]
        assert np.linalg.norm(x - centres, axis=1) == pytest.approx(1, abs=1e-5)
    else:
        radius = np.linalg.norm(x, axis=1)
        angle = np.arctan2(x[:, 1], x[:, 0]) - 2 * np.pi * 1.5 * radius / 2 - np.pi * y
        assert np.cos(angle) == pytest.approx(1, abs=1e-3)
        assert (radius.min() < 0.4, radius.max()) == (True, pytest.approx(2, abs=0.01))


@pytest.mark.parametrize("kind", ["curve", "smooth", "linear"])
@pytest.mark.parametrize("errors", ["gaussian", "laplace"])
def test_only_training_targets_carry_errors_of_the_asked_law(kind: str, errors: str) -> None:
    asked = {**TOY, "kind": kind, "samples": 10000, "errors": errors}
    x, y, val_x, val_y = data.toy(**asked)
    clean = data.toy(**{**asked, "errors": "none"})
    assert (len(y), len(val_y)) == (8000, 2000)
    for part, expected in ((x, clean[0]), (val_x, clean[2]), (val_y, clean[3])):
        assert np.array_equal(part, expected)
    error = y - clean[1]
    assert (error.mean(), error.std()) == pytest.approx((0, 0.2), abs=0.01)
    kurtosis = (error**4).mean() / error.var() ** 2  # 3 of a normal law, 6 of Laplace's
    assert kurtosis == pytest.approx({"gaussian": 3, "laplace": 6}[errors], rel=0.25)


@pytest.mark.parametrize(
    ("kind", "inputs"), [("moons", 2), ("spirals", 2), ("curve", 1), ("smooth", 2), ("linear", 10)]
)
def test_each_seed_trains_on_samples_of_its_own(kind: str, inputs: int) -> None:
    one, other = (loaded("toy", seed, kind=kind) for seed in (0, 1))
    assert (one.input_shape, len(one.train_x), len(one.val_x)) == ((inputs,), 300, 400)
    assert not torch.equal(one.train_x, other.train_x)
    assert bool(one.classes) == (kind in ("moons", "spirals"))


def test_a_linear_target_is_linear_and_a_smooth_one_is_not() -> None:
    def unexplained(kind: str) -> float:
        x, y, *_ = data.toy(**{**TOY, "kind": kind, "errors": "none"})
        x = np.column_stack([x, np.ones(len(x))])
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return float(rest.var() / y.var())

    assert unexplained("linear") < 1e-10
    assert min(unexplained("smooth"), unexplained("curve")) > 0.2


def test_a_pair_is_a_digit_and_another_one_as_numbers_per_pixel() -> None:
    x, y, val_x, val_y = data.digit_pairs(seed=0, samples=4, noise=5.0)
    assert (x.shape, y.shape) == ((4, 8, 8), (4, 1, 8, 8))
    assert (y.mean(), y.std()) == pytest.approx((0, 2.5), abs=1e-5)
    assert (x.min(), x.max() <= 255) == (0, True)
    assert np.array_equal(x, val_x) and np.array_equal(y, val_y)
    digits = data.digits()[0]
    quiet = data.digit_pairs(seed=0, samples=4, noise=0.0)[0]
    assert all((digits == image).all(axis=(1, 2)).any() for image in quiet)
    assert 0 < np.abs(x - quiet).mean() < 5
    assert not np.array_equal(data.digit_pairs(seed=1, samples=4, noise=0.0)[0], quiet)


def test_pairs_are_prepared_as_images_in_and_images_out() -> None:
    pairs = loaded("digit_pairs")
    assert (pairs.input_shape, tuple(pairs.train_y.shape)) == ((1, 8, 8), (4, 1, 8, 8))
    assert pairs.train_x.max().item() == pytest.approx(10**8.15, rel=0.3)
    assert pairs.classes == () and pairs.outputs == 64
    assert sorted(pairs.train_y.sum(dim=(1, 2, 3)).tolist()) == pytest.approx(
        sorted(pairs.val_y.sum(dim=(1, 2, 3)).tolist())
    )
