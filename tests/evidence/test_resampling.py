"""Flipped signs and resampled seeds, against counts by hand, Fisher's own and scipy's."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from sweeper.evidence.resampling import iqm, iqm_interval, sign_flip_p
from sweeper.evidence.statistics import paired

nan = np.nan
# Darwin's maize, crossed less self-fertilised, in eighths of an inch (Fisher 1935, table 3).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def by_counting(differences: list[float]) -> float:
    """The definition, sum by sum."""
    observed = abs(sum(differences))
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(abs(total) >= observed - 1e-9 for total in sums) / len(sums)


def test_fishers_count_for_darwins_maize() -> None:
    """Fisher (1935, 21) counted 1,726 of 32,768 ways; his t test gave just under 5 %."""
    differences = np.array([DARWIN], dtype=float)
    assert sign_flip_p(differences)[0] == 1726 / 32768
    assert paired(differences).p[0] == pytest.approx(0.0497, abs=5e-5)


@pytest.mark.parametrize(
    ("differences", "ways"),
    [
        pytest.param([1, 1, 1, 1, 1, 1], 2, id="all alike: 2 of 2**6"),
        pytest.param([1, 2, 3, 4, 5, 6], 2, id="only one way is as far"),
        pytest.param([-1, 2, 3, 4, 5, 6], 4, id="and the way without the minus"),
        pytest.param([-2, 1, 3, 4, 5, 6], 6, id="and the two signs between"),
        pytest.param([1, 1, 1, 1, 1, -1], 14, id="ties: no minus, or any one of six"),
        pytest.param([0, 0, 1, 2, 3, 4], 8, id="zeros flip for nothing: 2 of 2**4"),
        pytest.param([0, 0, 0, 0, 0, 0], 64, id="all zero"),
        pytest.param([-1, 1, -2, 2, -3, 3], 64, id="their sum is zero"),
    ],
)
def test_the_ways_by_hand(differences: list[float], ways: int) -> None:
    assert sign_flip_p(np.array([differences], dtype=float))[0] == ways / 64
    assert by_counting(differences) == ways / 64


def test_sums_that_are_equal_on_paper_are_equal() -> None:
    """0.1 + 0.2 is not 0.3 to a computer; as tenths these have ties."""
    tenths = [0.1, 0.2, 0.3, 0.4, -0.1, -0.2, 0.7]
    expected = by_counting([1, 2, 3, 4, -1, -2, 7])
    assert sign_flip_p(np.array([tenths]))[0] == expected
    small_beside_values = np.array([2.3 + d / 1000 for d in tenths]) - 2.3
    assert sign_flip_p(small_beside_values[None])[0] == expected


def test_random_differences_agree_with_scipy_row_by_row() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.3, 1, size=(6, 9)).round(1)
    differences[2, 4] = nan
    for row, p in zip(differences, sign_flip_p(differences).tolist(), strict=True):
        told = (row[~np.isnan(row)],)
        exact = stats.permutation_test(
            told, np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert p == pytest.approx(exact.pvalue, abs=1e-12)


def test_below_six_differences_it_can_say_nothing() -> None:
    assert 2 / 2**5 > 0.05 >= 2 / 2**6
    five = [[1.0, 2, 3, 4, 5, nan], [nan] * 6, [1.0, 2, 3, 4, 5, 6]]
    assert np.isnan(sign_flip_p(np.array(five))).tolist() == [True, True, False]
    assert sign_flip_p(np.empty((0, 6))).shape == sign_flip_p(np.empty((0, 0))).shape == (0,)


def test_twenty_seeds_are_still_counted() -> None:
    """Of 20 equal differences but one, 2 * (1 + 20) of 2**20 ways are as far."""
    differences = np.array([[1.0] * 19 + [-1.0], [1.0] * 20])
    assert sign_flip_p(differences).tolist() == [42 / 2**20, 2 / 2**20]


def test_many_seeds_are_drawn_and_the_same_each_time() -> None:
    differences = np.random.default_rng(2).normal(0.45, 1, size=(5, 30))
    drawn = sign_flip_p(differences)
    assert drawn.tolist() == sign_flip_p(differences).tolist()
    # of many seeds it is close to the t test, within what 9,999 draws can tell
    assert drawn == pytest.approx(paired(differences).p, abs=0.015)
    # never zero: the observed way is one of them
    assert sign_flip_p(np.full((1, 30), 1.0))[0] == 1 / 10_000


def test_at_most_5_percent_of_null_comparisons_are_found() -> None:
    draws = 20_000
    shapes = np.random.default_rng(3).standard_t(2, size=(draws, 8))  # far from normal
    found = np.mean(sign_flip_p(shapes) <= 0.05)
    assert 0.04 < found <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5


def test_the_interquartile_mean_is_scipys() -> None:
    differences = np.random.default_rng(4).normal(size=(4, 13))
    differences[1, :2] = nan
    for row, value in zip(differences, iqm(differences).tolist(), strict=True):
        assert value == pytest.approx(stats.trim_mean(row[~np.isnan(row)], 0.25))
    assert np.isnan(iqm(differences[:, :9])).all()
    outlier = np.array([[*range(1, 10), 1e6]])  # 3 … 8 are left
    assert iqm(outlier)[0] == pytest.approx(5.5)


def test_its_interval_is_that_of_scipys_bootstrap() -> None:
    differences = np.random.default_rng(5).normal(0.5, 1, size=(3, 20))
    low, high = iqm_interval(differences)
    for row, ends in zip(differences, zip(low.tolist(), high.tolist(), strict=True), strict=True):
        expected = stats.bootstrap(
            (row,), lambda x, axis: stats.trim_mean(x, 0.25, axis=axis), method="percentile",
            n_resamples=4000, random_state=1,
        ).confidence_interval  # fmt: skip
        assert ends == pytest.approx((expected.low, expected.high), abs=0.06)


def test_its_interval_covers() -> None:
    """Percentile intervals of few seeds are a little narrow, and no better is promised."""
    rng = np.random.default_rng(6)
    low, high = iqm_interval(rng.normal(0.7, 2, size=(4000, 20)))
    assert np.mean((low <= 0.7) & (high >= 0.7)) == pytest.approx(0.93, abs=0.02)


def test_equal_differences_and_none_make_no_trouble() -> None:
    low, high = iqm_interval(np.array([[2.0] * 12, [nan] * 12]))
    assert (low[0], high[0]) == pytest.approx((2.0, 2.0))
    assert np.isnan([low[1], high[1]]).all()
