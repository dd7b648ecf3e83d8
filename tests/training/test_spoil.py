"""Planted faults touch the training part alone, as many samples as asked; cleaning finds them."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import IMAGES, NUMBERS, X, Y, names, prepared

from sweeper.errors import RequestError

MANY = np.random.default_rng(1).normal(10, 1, (1000, 5)).astype(np.float32)
LABELS = np.arange(1000) % 4
TARGETS = MANY.sum(axis=1)


def test_a_share_of_the_training_labels_is_drawn_anew_and_nothing_else() -> None:
    clean, noisy = prepared((MANY, LABELS)), prepared((MANY, LABELS), label_noise=0.4)
    wrong = (clean.train_y != noisy.train_y).float().mean().item()
    assert wrong == pytest.approx(0.4 * 3 / 4, abs=0.05)  # a quarter is drawn as it was
    assert torch.equal(clean.train_x, noisy.train_x)
    assert torch.equal(clean.val_y, noisy.val_y)


def test_less_label_noise_is_part_of_more() -> None:
    clean, less, more = (
        prepared((MANY, LABELS), label_noise=share).train_y for share in (0, 0.2, 0.6)
    )
    is_changed = less != clean
    assert torch.equal(less[is_changed], more[is_changed])
    assert 100 < is_changed.sum() < (more != clean).sum()


def test_all_labels_drawn_anew_are_uniform_over_the_classes() -> None:
    counts = prepared((MANY, np.minimum(LABELS, 1)), label_noise=1.0).train_y.bincount()
    assert counts.tolist() == pytest.approx([400, 400], abs=60)


@pytest.mark.parametrize("y", [Y, NUMBERS], ids=["classes", "numbers"])
def test_labels_out_of_step_stay_whole_and_the_samples_where_they_are(y: Any) -> None:
    clean, shifted = prepared((X, y)), prepared((X, y), label_shift=3)
    assert torch.equal(shifted.train_y, clean.train_y.roll(3, 0))
    assert torch.equal(shifted.train_x, clean.train_x)
    assert torch.equal(shifted.val_y, clean.val_y)


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_a_spoilt_sample_has_one_input_multiplied(share: float) -> None:
    axes = {"outlier_share": share, "outlier_size": 50.0}
    clean, spoilt = prepared((MANY, TARGETS)), prepared((MANY, TARGETS), **axes)
    is_other = clean.train_x != spoilt.train_x
    assert is_other.sum(dim=1).unique().tolist() in ([0, 1], [1])
    assert is_other.sum().item() == share * 800
    assert torch.equal(spoilt.train_x[is_other], clean.train_x[is_other] * 50)
    assert torch.equal(clean.train_y, spoilt.train_y)
    assert torch.equal(clean.val_x, spoilt.val_x)


def test_an_input_that_is_zero_is_never_the_one_that_is_spoilt() -> None:
    x = np.zeros((60, 30), np.float32)
    x[:, 7] = 1
    spoilt = prepared((x, Y[:60]), outlier_share=0.5, outlier_size=9.0).train_x
    assert sorted(spoilt[:, 7].tolist()) == [1.0] * 24 + [9.0] * 24
    assert spoilt.sum() == 24 + 24 * 9


def test_a_spoilt_target_is_moved_by_standard_deviations() -> None:
    axes = {"outlier_share": 0.1, "outlier_size": 10.0, "outlier_in": "targets"}
    clean, spoilt = prepared((MANY, TARGETS)), prepared((MANY, TARGETS), **axes)
    moved = (spoilt.train_y - clean.train_y)[:, 0]
    away = 10 * clean.train_y.std(correction=0).item()
    assert sorted(moved.tolist()) == pytest.approx([0] * 720 + [away] * 80, abs=1e-3)
    assert torch.equal(clean.train_x, spoilt.train_x)
    assert torch.equal(clean.val_y, spoilt.val_y)


@pytest.mark.parametrize("where", ["inputs", "targets"])
@pytest.mark.parametrize("share", [0.01, 0.15])
def test_cleaning_leaves_out_what_was_spoilt_and_only_that(where: str, share: float) -> None:
    axes = {"outlier_share": share, "outlier_in": where}
    clean, spoilt = prepared((MANY, TARGETS)), prepared((MANY, TARGETS), **axes)
    cleaned = prepared((MANY, TARGETS), **axes, clean_beyond=8)
    is_spoilt = ((clean.train_x != spoilt.train_x) | (clean.train_y != spoilt.train_y)).any(dim=1)
    assert torch.equal(cleaned.train_x, clean.train_x[~is_spoilt])
    assert torch.equal(cleaned.train_y, clean.train_y[~is_spoilt])
    assert torch.equal(cleaned.val_x, clean.val_x)


def test_where_most_of_a_column_is_one_value_cleaning_takes_the_standard_deviation() -> None:
    x = np.zeros((100, 2), np.float32)
    x[:, 0] = np.arange(100)
    x[10:20, 1] = 1  # rare, and no outlier: 3 deviations from the median of zero
    x[20, 1] = 60
    kept = names(prepared((x, Y), validation_samples=1, clean_beyond=5).train_x)
    assert set(range(100)) - set(kept) >= {20}
    assert len(kept) >= 98


@pytest.mark.parametrize(
    ("raw", "axes", "message"),
    [
        (
            (X, NUMBERS),
            {"label_noise": 0.1},
            "data.label_noise: the targets are numbers, there are no classes.",
        ),
        (
            (X, Y),
            {"label_shift": 160},
            "data.label_shift: 160 comes round to where it was, with 80 training samples.",
        ),
        (
            (X, Y),
            {"outlier_share": 0.1, "outlier_in": "targets"},
            "data.outlier_in: targets needs numbers as targets, not classes.",
        ),
        (
            (IMAGES, Y[:50]),
            {"clean_beyond": 1e-9},
            "data.clean_beyond: 1e-09 leaves no training sample.",
        ),
    ],
)
def test_a_fault_that_cannot_be_planted_is_named(
    raw: Any, axes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        prepared(raw, **axes)
    assert str(raised.value) == message


def test_a_blank_sample_is_the_mean_one_under_its_own_label() -> None:
    clean, blanked = prepared((MANY, LABELS)), prepared((MANY, LABELS), blank_share=0.9)
    is_blank = (clean.train_x != blanked.train_x).all(dim=1)
    assert is_blank.sum().item() == 0.9 * 800
    assert blanked.train_x[is_blank].unique(dim=0).shape[0] == 1
    assert torch.allclose(blanked.train_x[is_blank][0], clean.train_x.mean(dim=0))
    assert torch.equal(clean.train_y, blanked.train_y)
    assert torch.equal(clean.val_x, blanked.val_x)
