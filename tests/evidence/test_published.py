"""Worked examples from the literature, and other libraries on data that are none of ours.

Through the tables wherever there is one: what is checked is what a user reads.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from sweeper.evidence.ranks import rank_test
from sweeper.evidence.statistics import holm, no_effect, paired, share_bounds
from sweeper.evidence.tables import build

Make = Callable[..., tuple[Any, Any]]

# Student (1908): additional hours of sleep of ten patients under two drugs.
SLEEP = {
    "baseline": [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
    "first": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
}
# Loftus and Masson (1994), table 2: words recalled by ten subjects after 1, 2 and 5 seconds each.
RECALL = {
    "one": [10, 6, 11, 22, 16, 15, 1, 12, 9, 8],
    "two": [13, 8, 14, 23, 18, 17, 1, 15, 12, 9],
    "five": [13, 8, 14, 25, 20, 17, 4, 17, 12, 12],
}


def comparisons(study: Any) -> pd.DataFrame:
    return build(*study).comparisons


def test_students_paired_t_test(make_study: Make) -> None:
    """t = -4.0621, df = 9, p = 0.002833, interval -2.4598858 to -0.7001142, as R prints them."""
    row = comparisons(make_study(SLEEP, {"sleep": {"goal": "up"}})).iloc[0]
    assert row["p_value"] == pytest.approx(0.002833, abs=5e-7)
    assert row["delta"] == pytest.approx(-1.58)
    assert row["delta_ci_low"] == pytest.approx(-2.4598858, abs=5e-8)
    assert row["delta_ci_high"] == pytest.approx(-0.7001142, abs=5e-8)
    assert row["verdict"] == "worse"
    half = (row["delta_ci_high"] - row["delta_ci_low"]) / 2
    assert row["delta"] / half * stats.t.ppf(0.975, 9) == pytest.approx(-4.0621, abs=5e-5)


def test_the_flipped_signs_of_students_data(make_study: Make) -> None:
    """Nine differences of one sign and a zero: 4 of 2**10 ways are as far."""
    row = comparisons(make_study(SLEEP, {"sleep": {"goal": "up"}})).iloc[0]
    assert row["p_sign_flip"] == 4 / 2**10


@pytest.mark.parametrize("margin", [0.5, 2.2, 2.3, 3.0])
def test_two_one_sided_tests_are_those_of_statsmodels(make_study: Make, margin: float) -> None:
    p, *_ = ttost_paired(np.array(SLEEP["first"]), np.array(SLEEP["baseline"]), -margin, margin)
    result = paired(np.array([SLEEP["first"]]) - np.array([SLEEP["baseline"]]))
    assert bool(no_effect(result.low90, result.high90, margin)[0]) == (p < 0.05)
    # the 90 % interval that equivalence is read from: -2.293 to -0.867
    assert (round(result.low90[0], 3), round(result.high90[0], 3)) == (-2.293, -0.867)
    metrics = {"sleep": {"goal": "up", "smallest_effect": margin}}
    verdict = comparisons(make_study(SLEEP, metrics)).loc[0, "verdict"]
    assert verdict == ("worse" if margin < 1.58 else "no_effect" if p < 0.05 else "undecided")


def test_loftus_and_massons_within_subject_interval(make_study: Make) -> None:
    """Their mean square of subjects by conditions is 0.61; their interval is ± 0.52 a condition."""
    metrics = {"words": {"goal": "up", "variance": "pooled"}}
    table = comparisons(make_study({k: list(map(float, v)) for k, v in RECALL.items()}, metrics))
    assert table["delta"].tolist() == pytest.approx([2.0, 3.2])
    half = (table["delta_ci_high"] - table["delta_ci_low"]) / 2
    # of a difference it is wider by the square root of two
    assert (half / 2**0.5).round(2).tolist() == [0.52, 0.52]
    mean_square = (half[0] / stats.t.ppf(0.975, 18)) ** 2 * 10 / 2
    assert round(mean_square, 2) == 0.61


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.9], [1.0, 1.0]),
    ],
)
def test_holms_steps_by_hand_and_by_statsmodels(p: list[float], adjusted: list[float]) -> None:
    assert holm(np.array(p)) == pytest.approx(adjusted)
    assert multipletests(p, method="holm")[1] == pytest.approx(adjusted)


@pytest.mark.parametrize(("n", "percent"), [(10, 26), (20, 14), (30, 10), (100, 3)])
def test_if_nothing_goes_wrong(n: int, percent: int) -> None:
    """Hanley and Lippman-Hand (1983): the exact one-sided bounds beside their rule of three."""
    assert round(100 * share_bounds(0, n)[1]) == percent


@pytest.mark.parametrize(("happened", "n"), [(81, 263), (15, 148), (0, 20), (1, 29), (29, 29)])
def test_shares_are_those_of_clopper_and_pearson(happened: int, n: int) -> None:
    """Of Newcombe's (1998) four examples; two one-sided bounds at 5 % make an interval of 90 %."""
    expected = proportion_confint(happened, n, alpha=0.10, method="beta")
    low, high = share_bounds(happened, n)
    assert low == pytest.approx(0.0 if happened == 0 else expected[0])
    assert high == pytest.approx(1.0 if happened == n else expected[1])


def test_mann_and_whitneys_own_table() -> None:
    """Mann and Whitney (1947), five against five: P(U <= u) = 0.004 0.008 0.016 0.028 0.048."""
    first = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 3, 4, 7], [1, 2, 3, 4, 8], [1, 2, 3, 4, 9]]
    tails = []
    for x in first:
        y = [rank for rank in range(1, 11) if rank not in x]
        p = rank_test(np.array(x, dtype=float), np.array(y, dtype=float)).p
        assert p == pytest.approx(stats.mannwhitneyu(x, y, method="exact").pvalue)
        tails.append(round(p / 2, 3))
    assert tails == [0.004, 0.008, 0.016, 0.028, 0.048]


def test_hollander_and_wolfes_permeability() -> None:
    """Hollander and Wolfe (1973), 69 f.: W = 35, one-sided p = 0.1272."""
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    earlier = [1.15, 0.88, 0.90, 0.74, 1.21]
    result = rank_test(np.array(at_term), np.array(earlier))
    assert round(result.p / 2, 4) == 0.1272
    assert result.direction == 1
