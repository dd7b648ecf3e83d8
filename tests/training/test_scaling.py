"""How large the numbers are that a net reads, and how many, against NumPy and torch."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import IMAGES, NUMBERS, X, Y, prepared

from sweeper.errors import RequestError

LABELS = np.arange(50) % 2


def test_inputs_are_stretched_over_decades() -> None:
    plain = prepared((IMAGES, LABELS)).train_x.double()
    wide = prepared((IMAGES, LABELS), decades=8.15).train_x
    expected = 10 ** (8.15 * plain / 255) - 1
    assert torch.allclose(wide.double(), expected, rtol=1e-5)
    assert wide.max().item() == pytest.approx(1.41e8, rel=0.01)


def test_vectors_are_stretched_from_the_training_parts_least_to_its_largest() -> None:
    data = prepared((X, Y), decades=2.0)
    assert data.train_x.min(dim=0).values.tolist() == [0.0] * 4
    assert data.train_x.max(dim=0).values.tolist() == pytest.approx([99] * 4, rel=1e-4)
    assert data.val_x.max() <= 99.001


def test_inputs_are_squashed() -> None:
    raw = (X - 5, Y)
    x = prepared(raw).train_x
    assert torch.allclose(prepared(raw, squash="tanh").train_x, x.tanh(), atol=1e-6)
    at_two = prepared(raw, squash="tanh_scaled", squash_at=2.0).train_x
    assert torch.allclose(at_two, (x / 2).tanh(), atol=1e-6)
    usual = float(np.median(x[x > 0].numpy()))
    of_itself = prepared(raw, squash="tanh_scaled")
    assert torch.allclose(of_itself.train_x, (x / usual).tanh(), atol=1e-6)
    assert torch.allclose(of_itself.val_x, (prepared(raw).val_x / usual).tanh(), atol=1e-6)
    log = prepared(raw, squash="log").train_x
    assert torch.allclose(log, x.sign() * x.abs().log1p(), atol=1e-6)
    assert torch.equal(prepared(raw, squash="clip", squash_at=3.0).train_x, x.clip(0, 3))


def test_dividing_by_the_variance_is_dividing_by_the_deviation_twice() -> None:
    deviation = prepared((X, Y), scaling="standardize")
    variance = prepared((X, Y), scaling="standardize_by_variance")
    spread = prepared((X, Y)).train_x.std(dim=0, correction=0)
    assert torch.allclose(variance.train_x * spread, deviation.train_x, atol=1e-4)
    assert torch.allclose(variance.val_x * spread, deviation.val_x, atol=1e-4)


def test_another_data_sets_statistics_may_be_borrowed() -> None:
    def borrowed(images: Any, whose: str) -> torch.Tensor:
        axes = {"scaling": "standardize_channel", "statistics": whose}
        return prepared((images, LABELS), **axes).train_x

    grey, colour = (prepared((i, LABELS)).train_x / 255 for i in (IMAGES[..., 0], IMAGES))
    assert torch.allclose(borrowed(IMAGES[..., 0], "mnist"), (grey - 0.1307) / 0.3081, atol=1e-5)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    assert torch.allclose(borrowed(IMAGES, "imagenet"), (colour - mean) / deviation, atol=1e-5)
    mean_of_grey = 0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406
    of_grey = borrowed(IMAGES[..., 0], "imagenet")
    assert torch.allclose(of_grey * 0.22561, grey - mean_of_grey, atol=1e-4)


def test_what_is_no_pixel_any_more_spans_zero_to_one_as_a_unit() -> None:
    x = prepared((IMAGES, LABELS), scaling="unit", decades=4.0).train_x
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)
    squashed = prepared((IMAGES, LABELS), scaling="unit", squash="log").train_x
    assert (squashed.min().item(), squashed.max().item()) == (0.0, 1.0)


def test_targets_are_centred_or_spanned_by_the_training_part() -> None:
    raw, centred, unit = (
        prepared((X, NUMBERS), target_scaling=how) for how in ("none", "center", "unit")
    )
    mean, low, high = raw.train_y.mean(), raw.train_y.min(), raw.train_y.max()
    assert torch.allclose(centred.train_y, raw.train_y - mean, atol=1e-4)
    assert torch.allclose(centred.val_y, raw.val_y - mean, atol=1e-4)
    assert (unit.train_y.min().item(), unit.train_y.max().item()) == (0.0, 1.0)
    assert torch.allclose(unit.val_y, (raw.val_y - low) / (high - low), atol=1e-5)


def test_validation_may_be_prepared_unlike_training() -> None:
    raw = prepared((X, Y))
    usual, unscaled, own = (
        prepared((X, Y), scaling="standardize", mismatch=how)
        for how in ("none", "unscaled", "own_statistics")
    )
    assert torch.equal(unscaled.train_x, usual.train_x)
    assert torch.equal(unscaled.val_x, raw.val_x)
    assert torch.equal(own.train_x, usual.train_x)
    assert own.val_x.mean(dim=0).abs().max() < 1e-5 < usual.val_x.mean(dim=0).abs().max()
    square = IMAGES[:, :, :6]
    right, turned = (prepared((square, LABELS), mismatch=m) for m in ("none", "transposed"))
    assert torch.equal(turned.val_x, right.val_x.transpose(2, 3))
    assert torch.equal(turned.train_x, right.train_x)


def test_useless_inputs_are_noise_beside_what_was_there() -> None:
    plain, more = prepared((X, Y)), prepared((X, Y), useless_inputs=50)
    assert torch.equal(more.train_x[:, :4], plain.train_x)
    noise = torch.cat([more.train_x[:, 4:], more.val_x[:, 4:]])
    assert noise.shape == (100, 50)
    assert noise.mean().item() == pytest.approx(0, abs=0.05)
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    fewer = prepared((X, Y), useless_inputs=50, train_samples=30)
    assert torch.equal(fewer.val_x, more.val_x)
    assert torch.equal(fewer.train_x, more.train_x[:30])


@pytest.mark.parametrize("raw", [(X, Y), (IMAGES, LABELS)], ids=["vectors", "images"])
def test_reduced_inputs_are_numpys_principal_components_of_the_training_part(raw: Any) -> None:
    whole = prepared(raw, scaling="standardize")
    train, val = (x.flatten(1).double().numpy() for x in (whole.train_x, whole.val_x))
    reduced = prepared(raw, scaling="standardize", dimensions=3)
    _, values, axes = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    assert reduced.input_shape == (3,)
    for found, expected in ((reduced.train_x, train), (reduced.val_x, val)):
        projected = np.abs((expected - train.mean(axis=0)) @ axes[:3].T)
        assert np.abs(found.numpy()) == pytest.approx(projected, abs=1e-4)
    lengths = np.linalg.norm(reduced.train_x.numpy(), axis=0)
    assert lengths == pytest.approx(values[:3], rel=1e-4)


def test_all_components_keep_every_distance() -> None:
    whole, turned = prepared((X, Y)), prepared((X, Y), dimensions=4)
    assert torch.allclose(torch.cdist(turned.val_x, turned.train_x),
                          torch.cdist(whole.val_x, whole.train_x), atol=1e-2)  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "axes", "message"),
    [
        (
            (X, Y),
            {"dimensions": 5},
            "data.dimensions: 5 of at most 4 (4 inputs, 80 training samples).",
        ),
        (
            (IMAGES, LABELS),
            {"dimensions": 9, "train_samples": 8},
            "data.dimensions: 9 of at most 8 (126 inputs, 8 training samples).",
        ),
        (
            (IMAGES, LABELS),
            {"useless_inputs": 2},
            "data.useless_inputs: 2 need vectors; the samples are images.",
        ),
        ((X, Y), {"squash": "clip"}, "data.squash_at: clip needs its bound."),
        (
            (-np.abs(X), Y),
            {"squash": "tanh_scaled"},
            "data.squash_at: no training input is above 0 to take it from: give it.",
        ),
        (
            (X, Y),
            {"mismatch": "unscaled"},
            "data.mismatch: unscaled needs a scaling, and data.scaling is none.",
        ),
        (
            (IMAGES, LABELS),
            {"mismatch": "own_statistics", "scaling": "unit"},
            "data.mismatch: own_statistics changes nothing where images are / 255.",
        ),
        (
            (X, Y),
            {"statistics": "mnist", "scaling": "standardize"},
            "data.statistics: mnist needs scaling standardize_channel.",
        ),
        (
            (IMAGES, LABELS),
            {"statistics": "mnist", "scaling": "standardize_channel", "squash": "tanh"},
            "data.statistics: mnist are of pixels, which data.decades and data.squash leave none.",
        ),
        (
            (X, Y),
            {"target_scaling": "center"},
            "data.target_scaling: center needs numbers as targets.",
        ),
    ],
)
def test_an_axis_that_these_numbers_cannot_follow_is_named(
    raw: Any, axes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        prepared(raw, **axes)
    assert str(raised.value) == message
