"""Which samples a trial sees, and how they are scaled."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from tiny import IMAGES, NUMBERS, X, Y, names, prepared

from sweeper.errors import RequestError
from sweeper.training import prepare
from sweeper.training.values import Data


def test_fewer_training_samples_are_among_more_in_one_order() -> None:
    few, more = (prepared((X, Y), train_samples=n) for n in (18, 32))
    assert names(few.train_x) == names(more.train_x)[:18]
    assert len(set(names(more.train_x))) == 32


@pytest.mark.parametrize(
    "arm",
    [
        {"train_samples": 10},
        {"class_samples": {"2": 1}},
        {"scaling": "standardize"},
        {"target_scaling": "none"},
    ],
    ids=str,
)
def test_the_validation_part_is_the_same_in_every_arm(arm: dict[str, Any]) -> None:
    raw = (X, Y)
    base, other = prepared(raw), prepared(raw, **arm)
    assert torch.equal(base.val_y, other.val_y)
    if "scaling" not in arm:
        assert torch.equal(base.val_x, other.val_x)


def test_another_seed_draws_another_split_and_parts_never_meet() -> None:
    one, other = prepared((X, Y)), prepared((X, Y), seed=1)
    assert names(one.val_x) != names(other.val_x)
    assert len(one.val_x) == 20
    assert not set(names(one.val_x)) & set(names(one.train_x))


def test_a_thinned_class_keeps_its_first_samples_and_others_keep_theirs() -> None:
    base, thin = (
        prepared((X, Y), train_samples=60),
        prepared((X, Y), train_samples=60, class_samples={"3": 2}),
    )
    of_class = [n for n in names(base.train_x) if n % 5 == 3]
    rest = [n for n in names(base.train_x) if n % 5 != 3]
    assert [n for n in names(thin.train_x) if n % 5 == 3] == of_class[:2]
    assert [n for n in names(thin.train_x) if n % 5 != 3] == rest


def test_a_dropped_class_is_gone_from_both_parts_and_the_rest_is_numbered_afresh() -> None:
    base, less = prepared((X, Y)), prepared((X, Y), drop_classes=["1", "3"])
    assert less.classes == ("0", "2", "4")
    assert (less.outputs, less.train_y.unique().tolist()) == (3, [0, 1, 2])
    for part in ("train", "val"):
        x, y = getattr(less, f"{part}_x"), getattr(less, f"{part}_y")
        stay = [n for n in names(getattr(base, f"{part}_x")) if n % 5 not in (1, 3)]
        assert names(x) == stay
        assert y.tolist() == [{0: 0, 2: 1, 4: 2}[int(n) % 5] for n in stay]


def test_texts_are_labels_and_float_numbers_are_targets() -> None:
    words = prepared((X, np.array(list("edcba") * 20)))
    assert (words.classes, words.train_y.dtype) == (tuple("abcde"), torch.int64)
    numbers = prepared((X, NUMBERS))
    assert (numbers.classes, numbers.outputs, numbers.train_y.shape) == ((), 1, (80, 1))


def test_standardising_uses_the_training_part_alone_and_spares_constant_features() -> None:
    x = X.copy()
    x[:, 1] = 0.1  # a constant whose deviation is not exactly zero in single precision
    data = prepared((x, Y), scaling="standardize")
    moments = (data.train_x[:, 2].mean().item(), data.train_x[:, 2].std(correction=0).item())
    assert moments == pytest.approx((0, 1), abs=1e-5)
    assert abs(data.val_x[:, 2].mean().item()) > 1e-3
    assert data.train_x[:, 1].abs().max() < 1e-6


def test_targets_are_standardised_by_the_training_part() -> None:
    data = prepared((X, NUMBERS), target_scaling="standardize")
    moments = (data.train_y.mean().item(), data.train_y.std(correction=0).item())
    assert moments == pytest.approx((0, 1), abs=1e-5)


def test_unit_scaling_divides_images_by_255_and_spans_other_arrays() -> None:
    raw = prepared((IMAGES, np.arange(50) % 2))
    unit = prepared((IMAGES, np.arange(50) % 2), scaling="unit")
    assert torch.allclose(unit.train_x * 255, raw.train_x)
    span = prepared((X, Y), scaling="unit").train_x
    assert (span.min().item(), span.max().item()) == (0.0, 1.0)


def test_standardising_per_channel_gives_each_channel_mean_zero_and_deviation_one() -> None:
    x = prepared((IMAGES, np.arange(50) % 2), scaling="standardize_channel").train_x
    assert x.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(x.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4)


def test_images_have_their_channels_first_without_being_scrambled() -> None:
    data = prepared((IMAGES, np.arange(50) % 2))
    assert data.input_shape == (3, 6, 7)
    sample = torch.from_numpy(IMAGES.astype(np.float32)).permute(0, 3, 1, 2)
    assert any(torch.equal(data.train_x[0], s) for s in sample)


def test_colours_are_merged_or_repeated() -> None:
    y = np.arange(50) % 2
    grey = prepared((IMAGES, y), color="grey").train_x
    full = prepared((IMAGES, y)).train_x
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert torch.allclose(grey[:, 0], (full * weights).sum(dim=1), atol=1e-3)
    three = prepared((IMAGES[..., 0], y), color="rgb").train_x
    assert three.shape[1] == 3
    assert torch.equal(three[:, 0], three[:, 2])


def test_parts_that_are_split_already_stay_apart_and_are_cut_in_the_seeds_order() -> None:
    raw = (X[:60], Y[:60], X[60:], Y[60:])
    data, fewer = prepared(raw), prepared(raw, train_samples=10, validation_samples=5)
    assert (len(data.train_x), len(data.val_x)) == (60, 40)
    assert names(fewer.train_x) == names(data.train_x)[:10]
    assert set(names(fewer.val_x)) < set(range(60, 100))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ((X, Y[:99]), "x has 100 samples and y has 99"),
        ((X[:0], Y[:0]), "x is empty"),
        ((np.where(X == 5, np.nan, X), Y), "x holds NaN or infinite values"),
        ((X, np.where(NUMBERS > 100, np.inf, NUMBERS)), "y holds NaN or infinite values"),
        (
            (np.array([{}] * 3, object), Y[:3]),
            "x is not an array of equal rows (its type is object)",
        ),
        ((X, np.eye(5, dtype=int)[Y]), "labels have shape (100, 5); one per sample is needed"),
        ((X, np.zeros(100, int)), "all labels are 0: there is nothing to tell apart"),
        ((X[:, 0], Y), "x has shape (100,); it should be samples × features"),
        ((IMAGES.transpose(0, 3, 1, 2), Y[:50]), "images of shape (3, 6, 7): height × width"),
        ((X, Y, X), "a data function returns (x, y) or (train_x, train_y, val_x, val_y), not"),
        (None, "a data function returns (x, y) or (train_x, train_y, val_x, val_y), not NoneType"),
        ((X, Y % 2, X, Y), "validation has labels that training lacks: 2, 3, 4"),
        ((X, Y, X[:, :3], Y), "train_x has samples of shape (4,), val_x of (3,)"),
        ((X, Y, X[:9], Y), "val_x has 9 samples and val_y has 100"),
    ],
)
def test_data_at_fault_are_refused_with_a_reason(raw: Any, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        prepared(raw)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("y", "axes", "message"),
    [
        (
            Y,
            {"train_samples": 90},
            "data.train_samples: 90 are asked for, 80 are there beside 20 for validation.",
        ),
        (Y, {"validation_samples": 100}, "data.validation_samples: 100 leaves none for training."),
        (Y, {"drop_classes": ["7"]}, "data.drop_classes: there is no class '7'. The classes are: "),
        (Y, {"drop_classes": list("0123")}, "data.drop_classes: fewer than two classes would be"),
        (NUMBERS, {"class_samples": {"1": 2}}, "data.class_samples: the targets are numbers"),
        (Y, {"target_scaling": "standardize"}, "data.target_scaling: standardize needs numbers"),
        (Y, {"color": "grey"}, "data.color: grey needs images; the samples are vectors."),
        (Y, {"scaling": "standardize_channel"}, "data.scaling: standardize_channel needs images"),
    ],
)
def test_an_axis_that_does_not_fit_the_data_is_named(
    y: Any, axes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        prepared((X, y), **axes)
    assert str(raised.value).startswith(message)


# Each axis of Data, set to something else than its default on arrays that can follow it.
OTHERWISE: dict[str, tuple[Any, dict[str, Any]]] = {
    "train_samples": ((X, Y), {"train_samples": 9}),
    "validation_samples": ((X, Y), {"validation_samples": 9}),
    "split": ((X, Y), {"split": "k_fold"}),
    "folds": ((X, Y), {"split": "k_fold", "folds": 4}),
    "order": ((X, Y), {"order": "by_class"}),
    "color": ((IMAGES, Y[:50]), {"color": "grey"}),
    "scaling": ((X, Y), {"scaling": "standardize_by_variance"}),
    "statistics": ((IMAGES, Y[:50]), {"scaling": "standardize_channel", "statistics": "mnist"}),
    "target_scaling": ((X, NUMBERS), {"target_scaling": "center"}),
    "drop_classes": ((X, Y), {"drop_classes": ["1"]}),
    "class_samples": ((X, Y), {"class_samples": {"1": 2}}),
    "blank_share": ((IMAGES, Y[:50]), {"blank_share": 0.5}),
    "label_noise": ((X, Y), {"label_noise": 0.5}),
    "label_shift": ((X, Y), {"label_shift": 1}),
    "outlier_share": ((X, Y), {"outlier_share": 0.1}),
    "outlier_in": ((X, NUMBERS), {"outlier_share": 0.1, "outlier_in": "targets"}),
    "outlier_size": ((X, Y), {"outlier_share": 0.1, "outlier_size": 9.0}),
    "clean_beyond": ((X, Y), {"clean_beyond": 2.0}),
    "median_filter": ((IMAGES, Y[:50]), {"median_filter": 3}),
    "orientations": ((IMAGES[:, :, :6], Y[:50]), {"orientations": 4}),
    "crop_width": ((IMAGES, Y[:50]), {"crop_width": 5}),
    "layout": ((IMAGES, Y[:50]), {"layout": "reshape"}),
    "decades": ((X, Y), {"decades": 3.0}),
    "squash": ((X, Y), {"squash": "tanh_scaled"}),
    "squash_at": ((X, Y), {"squash": "tanh_scaled", "squash_at": 2.0}),
    "useless_inputs": ((X, Y), {"useless_inputs": 1}),
    "mismatch": ((X, Y), {"scaling": "unit", "mismatch": "unscaled"}),
    "validation_shift": ((IMAGES, Y[:50]), {"validation_shift": 1}),
    "validation_rotation": ((IMAGES, Y[:50]), {"validation_rotation": 20.0}),
    "validation_zoom": ((IMAGES, Y[:50]), {"validation_zoom": 0.2}),
    "dimensions": ((X, Y), {"dimensions": 2}),
}


def as_bytes(data: prepare.Prepared) -> list[tuple[tuple[int, ...], bytes]]:
    parts = (data.train_x, data.train_y, data.val_x, data.val_y)
    return [(tuple(part.shape), part.numpy().tobytes()) for part in parts]


@pytest.mark.parametrize("axis", sorted(set(Data.model_fields) - {"seed"}))
def test_each_axis_acts_alike_each_time_by_the_trials_seed_and_never_on_the_source(
    axis: str,
) -> None:
    raw, axes = OTHERWISE[axis]
    kept = [np.array(array) for array in raw]
    for array in raw:
        array.setflags(write=False)  # as a memory-mapped one is
    once, again = prepared(raw, 3, **axes), prepared(raw, 3, **axes)
    assert as_bytes(once) == as_bytes(again)
    without = {k: v for k, v in axes.items() if k != axis}
    assert as_bytes(once) != as_bytes(prepared(raw, 3, **without))
    assert all(np.array_equal(*pair) for pair in zip(raw, kept, strict=True))
    assert {part.dtype for part in (once.train_x, once.val_x)} == {torch.float32}


def test_what_is_prepared_stays_the_same_to_the_last_bit() -> None:
    # When this changes, every recorded trial would end otherwise if it ran again.
    found = hashlib.sha256()
    for raw in ((X, Y), (X, NUMBERS), (IMAGES, Y[:50])):
        for scaling in ("none", "unit"):  # exact on every machine
            for _, part in as_bytes(prepared(raw, 1, scaling=scaling, train_samples=30)):
                found.update(part)
    assert found.hexdigest()[:16] == "3fb847310fdb8b5d"
