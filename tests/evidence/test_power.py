"""How many seeds a verdict needs, and how many more would decide."""

import math

import numpy as np
import pytest

from sweeper.evidence.power import (
    further_seeds,
    further_seeds_for_share,
    further_seeds_of_each,
    in_words,
    seeds_needed_by_events,
    seeds_needed_by_ranks,
    smallest_rank_p,
)
from sweeper.evidence.statistics import no_effect, paired


@pytest.mark.parametrize(
    ("comparisons", "seeds"), [(1, 4), (2, 5), (6, 5), (7, 6), (8, 6), (23, 6), (24, 7)]
)
def test_ranks_need_more_seeds_the_more_is_compared(comparisons: int, seeds: int) -> None:
    assert seeds_needed_by_ranks(comparisons) == seeds
    assert (
        smallest_rank_p(seeds, seeds) <= 0.05 / comparisons < smallest_rank_p(seeds - 1, seeds - 1)
    )


def test_events_need_five_seeds() -> None:
    assert seeds_needed_by_events() == 5
    assert further_seeds_for_share(3, 3) == 2
    assert further_seeds_for_share(5, 10) == math.inf


def test_the_further_seeds_give_the_power_they_promise() -> None:
    more = further_seeds(0.15, 0.2, 5, 0.1, comparisons=1)
    draws = np.random.default_rng(7).normal(0.15, 0.2, size=(4000, int(5 + more)))
    assert np.mean(paired(draws).p <= 0.05) == pytest.approx(0.9, abs=0.03)


def test_the_further_seeds_for_no_effect_give_the_power_they_promise() -> None:
    more = further_seeds(0.01, 0.2, 5, 0.1, comparisons=4)
    result = paired(np.random.default_rng(8).normal(0.01, 0.2, size=(4000, int(5 + more))))
    power = np.mean(no_effect(result.low90, result.high90, 0.1))
    assert power == pytest.approx(0.9, abs=0.04)


def test_out_of_reach_is_said() -> None:
    assert further_seeds(0.001, 1.0, 5, 0.0, 1) == math.inf
    assert further_seeds(0.0, 0.0, 5, 0.0, 1) == math.inf
    assert in_words(math.inf) == "more than 100 further seeds would be needed"
    assert in_words(1) == "about 1 further seed would decide"


def test_folds_that_share_training_data_need_more_seeds() -> None:
    independent, folds = (further_seeds(0.3, 0.2, 3, 0.1, 1, shared) for shared in (0.0, 1 / 9))
    assert (independent, folds) == (5, 12)
    assert further_seeds(0.15, 0.2, 5, 0.1, 1, 1 / 4) == math.inf  # 4 folds never tell so much


def test_a_whole_family_is_asked_at_once() -> None:
    rng = np.random.default_rng(11)
    mean, std, n = rng.normal(0, 0.1, 50), rng.uniform(0, 0.3, 50), rng.integers(1, 12, 50)
    shared = np.where(rng.random(50) < 0.5, 0.0, 0.02)
    one_by_one = [
        further_seeds(*row[:3], 0.1, 6, row[3])
        for row in zip(*(v.tolist() for v in (mean, std, n, shared)), strict=True)
    ]
    assert further_seeds_of_each(mean, std, n, shared, 0.1, 6).tolist() == one_by_one
    assert 5 < np.isinf(one_by_one).sum() < 45
