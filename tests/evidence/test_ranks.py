"""The exact rank test: against scipy, against brute force, and by hand."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata

from sweeper.evidence.ranks import rank_test

inf = np.inf


def brute_force(x: np.ndarray, y: np.ndarray) -> float:
    ranks, n = rankdata(np.concatenate([x, y])), len(x)
    sums = np.array([ranks[list(c)].sum() for c in combinations(range(len(ranks)), n)])
    observed = ranks[:n].sum()
    return min(1.0, 2 * min(np.mean(sums <= observed), np.mean(sums >= observed)))


def test_five_diverged_against_five_finished_reach_two_in_252() -> None:
    result = rank_test(np.full(5, inf), np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert result.p == pytest.approx(2 / 252)
    assert result.direction == 1


@pytest.mark.parametrize("seed", range(20))
def test_with_ties_it_counts_every_permutation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 7, size=2)
    x, y = (rng.integers(0, 4, size=k).astype(float) for k in (n, m))
    x[x == 3] = inf
    y[y == 3] = inf
    assert rank_test(x, y).p == pytest.approx(brute_force(np.nan_to_num(x), np.nan_to_num(y)))


def test_without_ties_it_agrees_with_scipy() -> None:
    x, y = np.random.default_rng(5).normal(size=(2, 12))
    assert rank_test(x, y).p == pytest.approx(mannwhitneyu(x, y, method="exact").pvalue)


def test_many_runs_fall_back_on_the_normal_limit() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
    x[:4] = inf
    expected = mannwhitneyu(np.where(np.isinf(x), 99, x), y, method="asymptotic").pvalue
    assert rank_test(x, y).p == pytest.approx(expected)
    assert rank_test(np.full(40, inf), np.full(40, inf)).p == 1


@pytest.mark.parametrize(
    ("x", "y", "p", "direction"),
    [
        pytest.param([inf] * 5, [inf] * 5, 1.0, 0.0, id="all diverged on both sides"),
        pytest.param([1.0], [inf], 1.0, -1.0, id="one against one says nothing"),
        pytest.param([], [1.0], np.nan, 0.0, id="nothing on one side"),
        pytest.param([-inf] * 4, [0.5, 0.6, 0.7, 0.8], 2 / 70, -1.0, id="worst of an accuracy"),
    ],
)
def test_edges(x: list[float], y: list[float], p: float, direction: float) -> None:
    result = rank_test(np.array(x), np.array(y))
    assert result.p == pytest.approx(p, nan_ok=True)
    assert result.direction == direction


@pytest.mark.parametrize("seed", range(20))
def test_the_normal_limit_has_the_bits_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=k).round(seed % 4) for k in rng.integers(31, 120, size=2))
    x[x > 1.5] = inf
    assert rank_test(x, y).p == mannwhitneyu(x, y, method="asymptotic").pvalue
