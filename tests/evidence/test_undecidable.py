"""What a design cannot decide, told before anything runs."""

import re
from typing import Any

import pytest

from sweeper.design import design
from sweeper.errors import RequestError
from sweeper.evidence.undecidable import cannot_decide
from sweeper.plan import PlannedArm
from sweeper.recipe_file import read_recipe

ARMS = [{"name": name, "set": {"optim.lr": i}} for i, name in enumerate("abcdef", 1)]


def sentences(claims: list[dict[str, Any]], n_seeds: int = 5, **more: Any) -> list[str]:
    """What is said of these claims: of arms a and b unless the recipe has others."""
    more = more or {"arms": ARMS[:2]}
    recipe = read_recipe(
        {
            "question": "?", "seeds": n_seeds, "metrics": {"train_loss": {"smallest_effect": 0.1}},
            "claims": [{"id": f"A{i}", "statement": "s", **c} for i, c in enumerate(claims, 1)],
            **more,
        },
        where="here",
    )  # fmt: skip
    arms = [PlannedArm(a.name, a.compared_with, a.values) for a in design(recipe)]
    return cannot_decide(recipe, arms, n_seeds)


EVERY_KIND = [
    {"kind": "reaches", "arm": "a", "level": 0.1},
    {"kind": "diverges", "arm": "a"},
    {"kind": "diagnosed", "arm": "a", "diagnosis": "R7"},
    {"kind": "better", "arm": "a"},
    {"kind": "worse", "arm": "b"},
    {"kind": "no_effect", "arm": "b"},
    {"kind": "no_worse", "arm": "b"},
    {"kind": "better", "contrast": {"a": 1, "b": 1, "baseline": -2}},
    {"kind": "order", "arms": ["a", "b"]},
    {"kind": "exact", "arm": "b"},
]


def test_one_seed_decides_an_equality_alone() -> None:
    share = "even a unanimous share has its bound below one half; it needs 5 seeds, not 1."
    one = "a single difference has no interval; it needs 2 seeds, not 1."
    expected = [f"A{i}: {share}" for i in (1, 2, 3)] + [f"A{i}: {one}" for i in range(4, 10)]
    assert sentences(EVERY_KIND, n_seeds=1) == expected


def test_too_few_seeds_for_events_and_for_ranks_are_named() -> None:
    assert sentences(EVERY_KIND, n_seeds=3)[3:] == [
        "A4, A5, A7, A8: if a run diverges, the rank test over 3 comparisons needs 5 seeds, not 3.",
        "A9: if a run diverges, the rank test needs 4 seeds, not 3.",
    ]
    assert sentences(EVERY_KIND, n_seeds=5) == []


def test_comparisons_that_only_claims_make_widen_the_family() -> None:
    usual = [{"kind": "better", "arm": "b", "reference": "a"}]
    beyond = [
        *usual,
        {"kind": "better", "arm": "f", "reference": "baseline"},
        {"kind": "better", "contrast": {"a": 1, "b": -1}},
    ]
    assert sentences(usual, sequence=ARMS) == []
    assert sentences(beyond, sequence=ARMS) == [
        "A1, A2, A3: if a run diverges, the rank test over 7 comparisons needs 6 seeds, not 5."
    ]


def test_the_rungs_of_a_ladder_are_compared_with_the_rung_before() -> None:
    """Six rungs are six comparisons; a claim that repeats one of them adds none."""
    ladder = {"optim.lr": [1, 2, 3, 4, 5, 6]}
    claim = {"kind": "better", "arm": "optim.lr=2", "reference": "optim.lr=1"}
    assert sentences([claim], ladder=ladder) == []
    claim["reference"] = "baseline"
    assert sentences([claim], ladder=ladder) == [
        "A1: if a run diverges, the rank test over 7 comparisons needs 6 seeds, not 5."
    ]


def test_the_arms_of_a_paths_later_rounds_count() -> None:
    claim = {"id": "A1", "statement": "s", "kind": "better", "arm": "a"}
    raw = {"question": "?", "seeds": 5, "metrics": ["loss"], "arms": ARMS[:1], "claims": [claim]}
    recipe = read_recipe(raw, where="here")
    arms = [PlannedArm("baseline", None, {}), PlannedArm("a", "baseline", {"optim.lr": 1})]
    assert cannot_decide(recipe, arms, 5, arms_to_come=5) == []
    (said,) = cannot_decide(recipe, arms, 5, arms_to_come=6)
    assert "over 7 comparisons" in said


def test_a_check_needs_one_seed_and_no_arm() -> None:
    assert sentences([{"kind": "exact", "check": "stacking"}], n_seeds=1) == []


GRID = {"optim.lr": [0.1, 0.01], "model.norm": ["none", "batch"]}
BEST = "best_of(optim.lr, val_loss)"


@pytest.mark.parametrize(
    ("claim", "alike"),
    [
        ({"kind": "better", "arm": "none_0.1", "reference": "none_0.01"}, "none_0.1 and none_0.01"),
        ({"kind": "exact", "arm": "none_0.1", "reference": "none_0.01"}, "none_0.1 and none_0.01"),
        ({"kind": "order", "arms": ["none_0.1", "batch_0.1", "batch_0.01"]},
         "batch_0.1 and batch_0.01"),
        ({"kind": "better", "contrast": {"none_0.1": 1, "none_0.01": -1}},
         "none_0.1 and none_0.01"),
        ({"kind": "better", "arm": "batch_0.1", "reference": "none_0.1"}, ""),
        ({"kind": "order", "arms": ["batch_0.1", "none_0.1"]}, ""),
        ({"kind": "better",
          "contrast": {"batch_0.1": 1, "batch_0.01": 1, "none_0.1": -1, "none_0.01": -1}}, ""),
    ],
)  # fmt: skip
def test_arms_along_the_axis_of_a_metric_have_one_number(claim: dict[str, Any], alike: str) -> None:
    arms = [
        {"name": f"{norm}_{lr}", "set": {"optim.lr": lr, "model.norm": norm}}
        for norm in GRID["model.norm"]
        for lr in GRID["optim.lr"]
    ]
    said = sentences([{**claim, "metric": BEST}], 8, arms=arms, metrics={BEST: {"goal": "up"}})
    expected = f"A1: {BEST} is one number for {alike}, which lie along its axis."
    assert said == ([expected] if alike else [])


def test_the_claims_of_a_baseline_alone() -> None:
    """There is nothing to compare; what happens in its runs can be claimed."""
    reaches = {"kind": "reaches", "arm": "baseline", "level": 0.1}
    assert sentences([reaches], baseline={"optim.lr": 1}) == []
    assert len(sentences([reaches], n_seeds=1, baseline={"optim.lr": 1})) == 1


@pytest.mark.parametrize("kind", ["better", "worse", "exact"])
def test_a_baseline_that_is_compared_with_nothing_is_refused(kind: str) -> None:
    message = "claim A1: the baseline is compared with no arm; add `reference`."
    with pytest.raises(RequestError, match=re.escape(message)):
        sentences([{"kind": kind, "arm": "baseline"}])
