"""Slopes of noisy curves and their intervals, against scipy's and by how often they err."""

import math
import random

import numpy as np
import pytest
from scipy import stats

from sweeper.evidence.trends import BLOCKS, FEWEST, beyond, blocks, swings, trend


@pytest.mark.parametrize("n", [5, 12, 30])
def test_the_slope_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    steps, values = np.sort(rng.uniform(0, 9, n)), rng.normal(size=n)
    found = trend(steps.tolist(), values.tolist(), scale=1.0)
    assert found is not None
    expected = stats.theilslopes(values, steps).slope
    assert found.change == pytest.approx(expected * (steps[-1] - steps[0]))


@pytest.mark.parametrize("n", range(FEWEST, 9))
def test_the_interval_leaves_out_zero_just_where_kendalls_exact_test_rejects(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(60):
        values = rng.permutation(n) + 0.1 * rng.uniform(size=n)
        found = trend(range(n), values.tolist(), scale=1.0)
        assert found is not None
        one_sided = stats.kendalltau(range(n), values, alternative="less", method="exact").pvalue
        assert (found.high < 0) == (one_sided <= 0.05 + 1e-12)


def test_noise_without_a_trend_is_called_one_in_at_most_one_of_ten_curves() -> None:
    rng = np.random.default_rng(1)
    for n in (5, 8, 16):
        # noise far above what counts as a change, so that the interval alone decides
        drawn = rng.normal(10, 3, (1000, n))
        words = [getattr(trend(range(n), row.tolist(), 10.0), "word", "") for row in drawn]
        wrong = sum(word in ("falling", "rising") for word in words)
        assert stats.binomtest(wrong, len(words), 0.1, alternative="greater").pvalue > 0.001
        assert wrong > 0  # else the level is not used


def test_a_trend_as_large_as_its_noise_is_found() -> None:
    rng = np.random.default_rng(2)
    lines = -0.02 * np.arange(12) + rng.normal(0, 0.02, (500, 12))
    found = [getattr(trend(range(12), row.tolist(), 1.0), "word", "") for row in lines]
    assert found.count("falling") / len(found) > 0.95


@pytest.mark.parametrize(
    ("values", "word"),
    [
        pytest.param([1, 0.9, 0.8, 0.7, 0.6], "falling", id="falling"),
        pytest.param([0.6, 0.7, 0.8, 0.9, 1], "rising", id="rising"),
        pytest.param([0.5, 0.5, 0.5, 0.5, 0.5], "flat", id="equal"),
        pytest.param([0.52, 0.51, 0.5, 0.495, 0.49], "flat", id="surely falling, by too little"),
        pytest.param([0.2, 0.9, 0.1, 0.8, 0.2], "unclear", id="to and fro"),
        pytest.param([0.50, 0.49, 0.48, 0.47, 0.455], "unclear", id="between flat and falling"),
    ],
)  # fmt: skip
def test_a_trend_in_a_word(values: list[float], word: str) -> None:
    found = trend(range(5), values, scale=1.0)
    assert found is not None
    assert found.word == word


def test_one_wild_reading_does_not_make_a_trend() -> None:
    steady = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    spoilt = [*steady[:5], 9.0, *steady[6:]]
    one, other = (trend(range(8), values, 1.0) for values in (steady, spoilt))
    assert one is not None
    assert other is not None
    assert other.change == pytest.approx(one.change, rel=0.15)


def test_too_few_points_or_no_scale_have_no_trend() -> None:
    assert trend([0, 1, 2], [3.0, 2.0, 1.0], 1.0) is None
    assert trend(range(5), [5.0, 4.0, 3.0, 2.0, 1.0], 0.0) is None


def test_a_bent_curve_is_not_noise_and_noise_has_its_deviation() -> None:
    assert swings([math.exp(-t) for t in range(9)]) == 0
    draws = random.Random(3)
    assert swings([draws.gauss(0, 2) for _ in range(4000)]) == pytest.approx(2, rel=0.05)


def test_a_long_curve_is_cut_into_blocks_of_medians() -> None:
    steps, values = blocks(range(1000), [float(i % 7 == 0) for i in range(1000)])
    assert len(steps) == len(values) == BLOCKS
    assert set(values) == {0.0}
    assert steps == sorted(steps)


def test_the_cut_of_the_interval_is_exact() -> None:
    # 4 points: one order of 24 has no pair one way; 5 points: five of 120 have one at most
    assert [beyond(n) for n in (4, 5)] == [0, 1]
