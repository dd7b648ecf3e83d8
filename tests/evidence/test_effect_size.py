"""Standardised differences and what the pairing was worth, against published numbers and scipy."""

import numpy as np
import pytest
from scipy import stats

from sweeper.evidence.effect_size import correlation_and_gain, hedges_g, noncentrality
from sweeper.evidence.statistics import Spread, paired

nan = np.nan
# Student (1908): hours of sleep gained by ten patients under two drugs.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_students_sleep_data() -> None:
    """d_z -1.28 [-2.12, -0.41] and g_z -1.17 [-1.94, -0.38], as R's effectsize prints them."""
    result = paired(np.array([FIRST]) - np.array([SECOND]))
    g, low, high = (round(float(v[0]), 2) for v in hedges_g(result))
    assert (g, low, high) == (-1.17, -1.94, -0.38)
    assert round(float(result.mean[0] / result.std[0]), 2) == -1.28


@pytest.mark.parametrize("df", [2.0, 3.0, 9.0, 99.0])
@pytest.mark.parametrize("t", [0.0, 0.3, -1.5, 4.0, -30.0])
def test_the_interval_inverts_scipys_noncentral_t(t: float, df: float) -> None:
    low, high = noncentrality(np.array([t]), np.array([df]))[:, 0].tolist()
    if t >= 0:
        probabilities = stats.nct.cdf(t, df, [low, high])
    else:  # scipy is exact in this tail alone
        probabilities = 1 - stats.nct.cdf(-t, df, [-low, -high])
    assert probabilities == pytest.approx([0.975, 0.025], abs=1e-6)


def test_a_huge_t_neither_hangs_nor_jumps() -> None:
    ends = noncentrality(np.array([99.9, 100.1, 1e8, 1e300]), np.full(4, 4.0))
    assert ends[:, 1] == pytest.approx(ends[:, 0], rel=0.01)
    assert (ends[0] < ends[1]).all() and np.isfinite(ends).all()


def test_the_interval_covers() -> None:
    draws, true = 4000, 0.8
    differences = np.random.default_rng(1).normal(true, 1, size=(draws, 8))
    result = paired(differences)
    _, low, high = hedges_g(result)
    # the interval of d is that of g without the correction for few seeds
    correction = hedges_g(result)[0] / (result.mean / result.std)
    covered = np.mean((low / correction <= true) & (high / correction >= true))
    assert covered == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / draws) ** 0.5)
    assert np.mean(hedges_g(result)[0]) == pytest.approx(true, abs=0.02)  # and g is unbiased


def test_what_has_no_standardised_size_is_empty() -> None:
    rows = [[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, nan, nan], [1.0, nan, nan, nan], [nan] * 4]
    assert np.isnan(hedges_g(paired(np.array(rows)))).all()


def test_a_variance_of_all_arms_and_folds_count_for_it() -> None:
    differences = np.array([[1.0, 2.0, 3.0, 4.0]])
    own, given = paired(differences), Spread(np.array([2.0]), np.array([30.0]))
    result = paired(differences, given=given)
    g, low, high = (float(v[0]) for v in hedges_g(result))
    assert g == pytest.approx(2.5 / 2 * (1 - 3 / (4 * 30 - 1)), rel=1e-4)  # Hedges' approximation
    wider = [float(v[0]) for v in hedges_g(paired(differences, shared=0.25, given=given))]
    assert wider[0] == g and wider[1] < low < high < wider[2]
    assert own.std[0] != result.std[0]


def test_correlation_is_scipys_and_the_gain_a_ratio_of_variances() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 9))
    y = x + 0.5 * rng.normal(size=(3, 9))
    y[1, 3] = nan
    r, gain = correlation_and_gain(x, y)
    for row in range(3):
        told = ~np.isnan(y[row])
        a, b = x[row][told], y[row][told]
        assert r[row] == pytest.approx(stats.pearsonr(a, b).statistic)
        assert gain[row] == pytest.approx((a.var() + b.var()) / (a - b).var())


def test_the_gain_is_how_many_times_more_seeds_an_unpaired_test_needs() -> None:
    """By hand: variances 1 and 1, of the difference 2 (1 - 0.5) = 1."""
    x, y = np.array([[-1.0, 0.0, 1.0]]), np.array([[-1.0, 1.0, 0.0]])
    assert [v[0] for v in correlation_and_gain(x, y)] == pytest.approx([0.5, 2.0])


@pytest.mark.parametrize(
    ("x", "y"),
    [
        pytest.param([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], id="one is constant"),
        pytest.param([0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0], id="constant but for rounding"),
        pytest.param([1.0, 2.0, nan], [2.0, 1.0, 3.0], id="two pairs are always in line"),
        pytest.param([nan, nan, nan], [1.0, 2.0, 3.0], id="no pair"),
    ],
)
def test_no_correlation_is_made_up(x: list[float], y: list[float]) -> None:
    assert np.isnan(correlation_and_gain(np.array([x]), np.array([y]))[0]).all()


def test_equal_differences_have_no_gain() -> None:
    r, gain = correlation_and_gain(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 3.0, 4.0]]))
    assert r[0] == pytest.approx(1.0) and np.isnan(gain[0])
