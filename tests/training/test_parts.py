"""Which samples train, in which order, and which validate."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tiny import IMAGES, NUMBERS, X, Y, names, prepared

from sweeper.errors import RequestError

SPLIT_ALREADY = (X[:60], Y[:60], X[60:], Y[60:])


@pytest.mark.parametrize("first", [0, 3, 15], ids="from seed {}".format)
@pytest.mark.parametrize("folds", [3, 5, 7], ids="{} folds".format)
def test_as_many_seeds_as_folds_validate_each_sample_exactly_once(folds: int, first: int) -> None:
    first -= first % folds
    axes = {"split": "k_fold", "folds": folds, "validation_samples": 13}
    trials = [prepared((X, Y), seed, **axes) for seed in range(first, first + folds)]
    validated = sorted(name for data in trials for name in names(data.val_x))
    assert validated == list(range(100))
    for data in trials:
        assert sorted(names(data.val_x) + names(data.train_x)) == list(range(100))
        assert abs(len(data.val_x) - 100 / folds) < 1


def test_the_next_seeds_fold_another_split() -> None:
    one, other = (prepared((X, Y), seed, split="k_fold") for seed in (0, 5))
    assert set(names(one.val_x)) != set(names(other.val_x))


def test_a_split_by_position_trains_on_the_first_and_validates_on_the_last() -> None:
    data = prepared((X, Y), split="by_position", validation_samples=10, train_samples=80)
    assert names(data.train_x) == list(range(80))
    assert names(data.val_x) == list(range(90, 100))
    assert names(prepared((X, Y), 9, split="by_position").train_x) == list(range(80))


def test_a_split_by_class_trains_on_some_classes_and_validates_on_others() -> None:
    data = prepared((X, Y), split="by_class")
    assert data.train_y.tolist() == sorted([0, 1, 2, 3] * 20)
    assert data.val_y.tolist() == [4] * 20
    assert names(data.val_x) == [n for n in range(100) if n % 5 == 4]
    assert data.classes == ("0", "1", "2", "3", "4")


def test_training_samples_may_stand_class_by_class() -> None:
    drawn, ordered = prepared((X, Y)), prepared((X, Y), order="by_class")
    assert all(a <= b for a, b in pairwise(ordered.train_y.tolist()))
    for label in range(5):
        of_class = [n for n in names(drawn.train_x) if n % 5 == label]
        assert [n for n in names(ordered.train_x) if n % 5 == label] == of_class
    assert names(ordered.val_x) == names(drawn.val_x)


@pytest.mark.parametrize(
    ("raw", "axes", "message"),
    [
        (
            (X, Y),
            {"split": "k_fold", "folds": 101},
            "data.folds: 101 folds are asked for, 100 samples are there.",
        ),
        (
            (X, Y),
            {"split": "k_fold", "train_samples": 81},
            "data.train_samples: 81 are asked for, 80 are there beside 20 for validation.",
        ),
        (
            (X, NUMBERS),
            {"split": "by_class"},
            "data.split: by_class needs classes; the targets are numbers.",
        ),
        (
            (X, Y),
            {"split": "by_position", "validation_samples": 120},
            "data.validation_samples: 100 leaves none for training.",
        ),
        (
            SPLIT_ALREADY,
            {"split": "k_fold"},
            "data.split: k_fold of what the source has split already.",
        ),
        (
            (IMAGES, NUMBERS[:50]),
            {"order": "by_class"},
            "data.order: the targets are numbers, there are no classes.",
        ),
    ],
)
def test_a_split_that_cannot_be_is_named(raw: Any, axes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as raised:
        prepared(raw, **axes)
    assert str(raised.value) == message


def test_a_source_in_four_parts_keeps_them_under_the_usual_split() -> None:
    data = prepared(SPLIT_ALREADY)
    assert set(names(data.val_x)) == set(np.arange(60.0, 100.0))
