"""What a number of seeds cannot decide, and how many more would."""

import math

import numpy as np
import pytest

from sweeper.evidence.power import (
    cannot_decide,
    further_seeds,
    further_seeds_for_share,
    in_words,
    seeds_needed_by_events,
    seeds_needed_by_ranks,
    smallest_rank_p,
)
from sweeper.evidence.statistics import no_effect, paired
from sweeper.recipe_file import read_recipe


def recipe_of(claims: list[dict], **more):
    return read_recipe(
        {
            "question": "?", "seeds": 5, "metrics": {"train_loss": {"smallest_effect": 0.1}},
            "claims": [{"statement": "s", **claim} for claim in claims], **more,
        },
        where="here",
    )  # fmt: skip


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


def test_what_too_few_seeds_cannot_decide() -> None:
    recipe = recipe_of(
        [
            {"id": "A1", "kind": "reaches", "arm": "a", "level": 0.1},
            {"id": "A2", "kind": "better", "arm": "a"},
            {"id": "A3", "kind": "worse", "arm": "b"},
            {"id": "A4", "kind": "no_effect", "arm": "b"},
            {"id": "A5", "kind": "exact", "arm": "b"},
        ]
    )
    assert cannot_decide(recipe, n_arms=3, n_seeds=4) == [
        "A1: even a unanimous share has its bound below one half; it needs 5 seeds, not 4.",
        "A2, A3: if a run diverges, the rank test over 2 comparisons needs 5 seeds, not 4.",
    ]
    assert cannot_decide(recipe, n_arms=3, n_seeds=1)[1:] == [
        "A2: a single difference has no interval; it needs 2 seeds, not 1.",
        "A3: a single difference has no interval; it needs 2 seeds, not 1.",
        "A4: a single difference has no interval; it needs 2 seeds, not 1.",
    ]
    assert cannot_decide(recipe, n_arms=3, n_seeds=5) == []


def test_comparisons_that_only_claims_make_widen_the_family() -> None:
    sets = {"set": {"optim.lr": 1}}
    sequence = [{"name": name, **sets} for name in "abcdef"]
    usual = [{"id": "A1", "kind": "better", "arm": "b", "reference": "a"}]
    beyond = [
        *usual,
        {"id": "A2", "kind": "better", "arm": "f", "reference": "baseline"},
        {"id": "A3", "kind": "better", "contrast": {"a": 1, "b": -1}},
    ]
    assert cannot_decide(recipe_of(usual, sequence=sequence), 7, 5) == []
    assert cannot_decide(recipe_of(beyond, sequence=sequence), 7, 5) == [
        "A1, A2, A3: if a run diverges, the rank test over 7 comparisons needs 6 seeds, not 5."
    ]
