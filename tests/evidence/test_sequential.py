"""Levels of the looks: against published boundaries, and by simulation with a stated error."""

import numpy as np
import pytest
from scipy import stats

from sweeper.evidence.sequential import looks, nominal_level, repeated_p, spent
from sweeper.evidence.statistics import paired
from sweeper.recipe import Looks

TWENTY = Looks(min=3, max=20)


def test_the_looks_are_the_first_seeds_then_so_many_more_at_a_time() -> None:
    assert looks(Looks(min=3, max=7)) == (3, 4, 5, 6, 7)
    assert looks(Looks(min=3, max=10, by=3)) == (3, 6, 9, 10)


def test_many_seeds_have_the_published_boundaries_of_the_normal_test() -> None:
    """Hwang-Shih-DeCani with gamma -4, three equal looks, one-sided 0.025: as in R's gsDesign."""
    seeds = Looks(min=33, max=99, by=33)
    z = [float(stats.norm.isf(nominal_level(seeds, n) / 2)) for n in looks(seeds)]
    published = [3.0107, 2.5465, 1.9992]
    assert z == pytest.approx(published, abs=0.015)
    assert all(ours >= theirs for ours, theirs in zip(z, published, strict=True))  # the safe side


def test_all_of_the_error_is_spent_at_the_last_look_and_little_at_the_first() -> None:
    assert spent(np.array(0.05), 1.0) == pytest.approx(0.05)
    assert nominal_level(TWENTY, 3) == pytest.approx(float(spent(np.array(0.05), 3 / 20)), rel=1e-3)
    assert spent(np.array(0.05), 0.5) < 0.01


@pytest.mark.parametrize("seeds", [TWENTY, Looks(min=2, max=8), Looks(min=3, max=20, by=5)])
@pytest.mark.parametrize("error", [0.05, 0.01])
def test_the_error_over_all_looks_is_as_stated(seeds: Looks, error: float) -> None:
    """100,000 comparisons without a difference: four standard errors about the stated one."""
    values = np.random.default_rng(7).standard_normal((100_000, seeds.max))
    errs = np.zeros(len(values), dtype=bool)
    for n in looks(seeds):
        errs |= paired(values[:, :n]).p <= nominal_level(seeds, n, error)
    assert errs.mean() == pytest.approx(error, abs=4 * np.sqrt(error / len(values)))


@pytest.mark.parametrize("n", [3, 5, 12, 20])
def test_a_repeated_p_says_at_which_error_this_look_would_decide(n: int) -> None:
    p = np.array([0.0005, 0.004, 0.03, 0.4])
    adjusted = repeated_p(TWENTY, p, np.full(4, n))
    assert (adjusted >= p).all() and (np.diff(adjusted) >= 0).all() and (adjusted <= 1).all()
    for one, error in zip(p, adjusted, strict=True):
        if error < 1:
            assert nominal_level(TWENTY, n, float(error)) == pytest.approx(one, rel=1e-6)


def test_a_repeated_p_keeps_what_was_not_tested_and_the_smallest_there_are() -> None:
    adjusted = repeated_p(TWENTY, np.array([np.nan, 0.0, 1e-40, 1.0]), np.full(4, 7))
    assert np.isnan(adjusted[0]) and adjusted[1] < adjusted[2] < 1e-30 and adjusted[3] == 1
