"""The statistics agree with scipy and statsmodels, and keep the error rates they state."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sweeper.evidence.statistics import (
    holm,
    median,
    no_effect,
    paired,
    share_bounds,
    share_verdict,
)

nan, inf = np.nan, np.inf


def test_paired_differences_agree_with_scipy_row_by_row() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 20, 7))
    y[3, 2] = nan
    result = paired(x - y)
    for row in range(20):
        told = ~np.isnan(y[row])
        expected = stats.ttest_rel(x[row][told], y[row][told])
        low90, high90 = expected.confidence_interval(0.9)
        low, high = expected.confidence_interval(0.95)
        assert result.n[row] == told.sum()
        assert result.p[row] == pytest.approx(expected.pvalue, rel=1e-12)
        assert (result.low[row], result.high[row]) == pytest.approx((low, high), rel=1e-12)
        assert (result.low90[row], result.high90[row]) == pytest.approx((low90, high90), rel=1e-12)


def test_equal_differences_have_the_p_of_flipped_signs() -> None:
    result = paired(np.array([[0.02, 0.02, nan], [0.0, 0.0, nan], [0.02, 0.02, 0.02]]))
    assert np.isnan(result.low90[:2]).all()
    assert not no_effect(result.low90, result.high90, 0.1)[:2].any()
    assert result.p.tolist() == [0.5, 1.0, 0.25]  # 2 / 2**n, as if signs were flipped


def test_accuracies_of_two_seeds_claim_no_effect_by_chance() -> None:
    """Accuracies on 50 samples without a difference: at most 5 % (and three deviations) at 5 %."""
    rng = np.random.default_rng(5)
    x, y = rng.binomial(50, 0.9, size=(2, 4000, 2)) / 50
    share = np.mean(paired(x - y).p <= 0.05)
    assert share <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5


def test_paired_differences_by_hand() -> None:
    result = paired(np.array([[1.0, 2.0, 3.0]]))
    # sd 1, standard error 1/sqrt(3), t = 3.4641 on 2 degrees of freedom, critical value 4.3027
    assert result.mean[0] == 2 and result.std[0] == 1
    assert result.p[0] == pytest.approx(0.0741799, abs=1e-7)
    assert result.low[0] == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("differences", "p", "width"),
    [
        pytest.param([0.1, 0.1, 0.1], 0.25, 0.0, id="constant, though their mean is off by a bit"),
        pytest.param([0.0, 0.0, 0.0], 1.0, 0.0, id="all zero"),
        pytest.param([0.3, nan, nan], nan, nan, id="one pair has no interval"),
        pytest.param([nan, nan, nan], nan, nan, id="no pair"),
    ],
)
def test_differences_without_variance(differences: list[float], p: float, width: float) -> None:
    result = paired(np.array([differences]))
    assert result.p[0] == pytest.approx(p, nan_ok=True)
    assert result.high[0] - result.low[0] == pytest.approx(width, nan_ok=True)


def test_no_effect_needs_the_whole_interval_inside() -> None:
    low, high = np.array([-0.05, -0.05, -0.2, nan]), np.array([0.05, 0.1, 0.05, nan])
    assert no_effect(low, high, 0.1).tolist() == [True, False, False, False]


def test_no_effect_agrees_with_two_one_sided_t_tests() -> None:
    differences = np.random.default_rng(2).normal(0.02, 0.1, size=(200, 6))
    result = paired(differences)
    lower = stats.ttest_1samp(differences, -0.1, axis=1, alternative="greater").pvalue
    upper = stats.ttest_1samp(differences, 0.1, axis=1, alternative="less").pvalue
    expected = np.maximum(lower, upper) < 0.05
    assert 20 < expected.sum() < 180
    assert no_effect(result.low90, result.high90, 0.1).tolist() == expected.tolist()


def test_holm_agrees_with_statsmodels_and_leaves_the_untested_out() -> None:
    p = np.array([0.01, 0.04, nan, 0.03, 0.005, 0.5])
    expected = multipletests(p[~np.isnan(p)], method="holm")[1]
    assert holm(p)[~np.isnan(p)] == pytest.approx(expected)
    assert np.isnan(holm(p)[2])
    assert holm(np.array([0.01, 0.04])).tolist() == pytest.approx([0.02, 0.04])
    assert holm(np.array([])).tolist() == []


def test_the_median_ignores_what_is_missing_and_may_be_infinite() -> None:
    values = np.array(
        [[1, 3, nan, nan], [1, inf, nan, nan], [2, 9, 1, nan], [inf, inf, nan, nan], [nan] * 4]
    )
    assert median(values) == pytest.approx([2, inf, 2, inf, nan], nan_ok=True)


@pytest.mark.parametrize(("happened", "n"), [(0, 5), (5, 5), (7, 8), (3, 10), (1, 1)])
def test_share_bounds_agree_with_scipy(happened: int, n: int) -> None:
    lower = stats.binomtest(happened, n, alternative="greater").proportion_ci(0.95).low
    upper = stats.binomtest(happened, n, alternative="less").proportion_ci(0.95).high
    assert share_bounds(happened, n) == pytest.approx((lower, upper))


@pytest.mark.parametrize(
    ("happened", "n", "verdict"),
    [
        (5, 5, "reproduced"), (4, 4, "undecided"), (4, 5, "undecided"), (7, 8, "reproduced"),
        (6, 8, "undecided"), (0, 5, "contradicted"), (1, 8, "contradicted"), (0, 0, "undecided"),
    ],
)  # fmt: skip
def test_a_share_is_decided_by_its_bound(happened: int, n: int, verdict: str) -> None:
    assert share_verdict(happened, n) == verdict


def test_intervals_cover_at_95_percent() -> None:
    draws, seeds = 20_000, 5
    differences = np.random.default_rng(3).normal(0.7, 2.0, size=(draws, seeds))
    result = paired(differences)
    covered = np.mean((result.low <= 0.7) & (result.high >= 0.7))
    assert covered == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / draws) ** 0.5)


def test_no_effect_is_claimed_falsely_in_at_most_5_percent() -> None:
    draws = 20_000  # the true difference is the smallest effect itself: the worst case
    result = paired(np.random.default_rng(4).normal(0.1, 0.05, size=(draws, 5)))
    false = np.mean(no_effect(result.low90, result.high90, 0.1))
    assert false <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5
    assert false > 0.03  # the test has not simply lost its power
