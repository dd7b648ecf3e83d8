"""A look: who needs more seeds, who has enough, and why it ends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeper.evidence.claims import claims_table
from sweeper.evidence.findings import Evidence
from sweeper.evidence.looking import look, looks_table
from sweeper.plan import Look

RNG = np.random.default_rng(11)
BASE = RNG.standard_normal(20).tolist()
NOISE = [(b + 0.3 * n) for b, n in zip(BASE, RNG.standard_normal(20), strict=True)]
VALUES = {
    "baseline": BASE,
    "far": [v + 4 for v in NOISE],
    "near": [v + 0.35 for v in NOISE],
    "same": NOISE[::-1],
}
CLAIMS = [
    {"id": arm, "arm": arm, "kind": "worse", "statement": "it is worse"}
    for arm in ("far", "near", "same")
]
Looked = Callable[..., tuple[Look, Mapping[str, int]]]


@pytest.fixture
def evidence_of(make_study: Callable[..., Any]) -> Callable[..., Evidence]:
    """evidence_of({arm: seeds}, …): these first seeds, under `seeds: {min: 3, max: 20}`."""

    def make(
        seeds: Mapping[str, int],
        values: Mapping[str, Sequence[Any]] = VALUES,
        claims: Sequence[Mapping[str, Any]] = CLAIMS,
        **more: Any,
    ) -> Evidence:
        plan, runs = make_study({a: values[a][:n] for a, n in seeds.items()}, claims=claims, **more)
        asked = {(arm, seed) for arm, n in seeds.items() for seed in range(n)}
        return Evidence(
            replace(
                plan, recipe={**plan.recipe, "seeds": {"min": 3, "max": 20}},
                cells=tuple(c for c in plan.cells if (c.arm, c.seed) in asked),
            ),
            [run for run in runs if (run.arm, run.seed) in asked],
        )  # fmt: skip

    return make


def run_out(evidence_of: Callable[..., Evidence], **more: Any) -> tuple[Look, dict[str, int]]:
    """Look until it is enough: the last look, and the seeds of each arm."""
    seeds = dict.fromkeys(more.get("values", VALUES), 3)
    while True:
        found, needed = look(evidence_of(seeds, **more))
        if not needed:
            return found, seeds
        seeds |= needed


def test_an_arm_that_is_decided_stops_while_the_baseline_goes_on(
    evidence_of: Callable[..., Evidence],
) -> None:
    found, seeds = run_out(evidence_of)
    assert found.verdicts["far"] == found.verdicts["near"] == "reproduced"
    assert seeds["far"] < seeds["near"] <= seeds["baseline"] < 20


def test_what_the_seeds_left_would_hardly_decide_ends_undecided_and_says_so(
    evidence_of: Callable[..., Evidence],
) -> None:
    found, seeds = run_out(evidence_of)
    assert found.verdicts["same"] == "undecided" and seeds["same"] < 20
    assert found.stopped.startswith("the seeds left of 20 would hardly decide same (0.0")


def test_all_claims_decided_is_said_too(evidence_of: Callable[..., Evidence]) -> None:
    found, _ = run_out(evidence_of, claims=CLAIMS[:2])
    assert found.stopped == "every claim is decided"


def test_without_claims_the_arms_themselves_are_decided(
    evidence_of: Callable[..., Evidence],
) -> None:
    found, seeds = run_out(evidence_of, claims=[])
    assert found.verdicts == {"far": "worse", "near": "worse", "same": "undecided"}
    assert seeds["far"] < seeds["near"]


def test_an_arm_of_no_claim_gets_no_more_than_the_first_seeds(
    evidence_of: Callable[..., Evidence],
) -> None:
    _, seeds = run_out(evidence_of, claims=CLAIMS[1:2])
    assert seeds["far"] == seeds["same"] == 3 < seeds["near"] == seeds["baseline"]


@pytest.mark.parametrize(
    "values, stopped",
    [
        ({"baseline": ["failed"] * 20, "far": BASE}, "no further seed would decide far"),
        ({"baseline": [1.0] * 20, "far": [1.0] * 20}, "no further seed would decide far"),
    ],
    ids=["all failed", "no difference at all"],
)
def test_where_no_seed_can_tell_none_is_added(
    evidence_of: Callable[..., Evidence], values: Any, stopped: str
) -> None:
    metrics = {"train_loss": {}}
    found, seeds = run_out(evidence_of, values=values, claims=CLAIMS[:1], metrics=metrics)
    assert (found.stopped, max(seeds.values())) == (stopped, 3)


def test_arms_that_diverge_are_looked_at_by_ranks(evidence_of: Callable[..., Evidence]) -> None:
    values = {"baseline": BASE, "far": ["diverged"] * 20}
    found, seeds = run_out(evidence_of, values=values, claims=CLAIMS[:1])
    assert found.verdicts == {"far": "reproduced"} and 5 < seeds["far"] < 12


def test_an_order_is_held_to_the_level_of_its_look(evidence_of: Callable[..., Evidence]) -> None:
    claim = {"id": "O", "kind": "order", "arms": ["far", "baseline"], "statement": "in this order"}
    values = {"baseline": [0.0, 0.2, 0.1], "far": [-1.0, -1.0, -0.8]}
    evidence = evidence_of({"baseline": 3, "far": 3}, values=values, claims=[claim])
    found, needed = look(evidence)
    assert found.verdicts == {"O": "undecided"} and needed == {"baseline": 4, "far": 4}
    hopeless = {"baseline": BASE, "far": ["failed"] * 20}
    found, seeds = run_out(evidence_of, values=hopeless, claims=[claim])
    assert (found.stopped, seeds["far"]) == ("no further seed would decide O", 3)


def test_what_the_baseline_does_on_seeds_that_an_arm_has_not_changes_nothing_of_the_arm(
    evidence_of: Callable[..., Evidence],
) -> None:
    seeds = {"baseline": 12, "far": 7}
    later = {**VALUES, "baseline": [*BASE[:9], "diverged", *BASE[10:]]}
    rows = [
        claims_table(evidence_of(seeds, values=values, claims=CLAIMS[:1])).iloc[0]
        for values in (VALUES, later)
    ]
    assert rows[0].equals(rows[1]) and rows[0]["verdict"] == "reproduced"


def test_two_equal_values_may_yet_be_no_effect(evidence_of: Callable[..., Evidence]) -> None:
    claim = {"id": "N", "arm": "far", "kind": "no_effect", "statement": "nothing changes"}
    values = {"baseline": [1.0, 2.0, "failed", 3.0, 4.0], "far": [1.0, 2.0, 5.0, 3.0, 4.0]}
    first = evidence_of({"baseline": 3, "far": 3}, values=values, claims=[claim])
    assert look(first)[1] == {"baseline": 4, "far": 4}
    enough = evidence_of({"baseline": 4, "far": 4}, values=values, claims=[claim])
    assert look(enough)[0].verdicts == {"N": "reproduced"}


def test_arms_that_wait_for_their_search_are_no_error(evidence_of: Callable[..., Evidence]) -> None:
    found, needed = look(evidence_of({"baseline": 0, "far": 0}, claims=CLAIMS[:1]))
    assert not needed and found.stopped == "no further seed would decide far"
    only_one = evidence_of({"baseline": 3, "far": 0}, claims=CLAIMS[:1])
    assert not look(only_one)[1] and claims_table(only_one)["verdict"][0] == "undecided"


def test_what_is_open_with_all_seeds_is_said_to_be(evidence_of: Callable[..., Evidence]) -> None:
    found, needed = look(evidence_of({"baseline": 20, "same": 20}, claims=CLAIMS[2:]))
    assert not needed and found.stopped == "20 seeds are the most, and do not decide same"


@pytest.mark.parametrize("share, verdict", [(1.0, "reproduced"), (0.0, "contradicted")])
def test_an_event_needs_more_seeds_than_one_look_would(
    evidence_of: Callable[..., Evidence], share: float, verdict: str
) -> None:
    claim = {"id": "E", "arm": "far", "kind": "reaches", "level": 0.5, "statement": "it gets there"}
    values = {"baseline": BASE, "far": [0.0 if s < 20 * share else 1.0 for s in range(20)]}
    found, seeds = run_out(evidence_of, values=values, claims=[claim])
    assert found.verdicts == {"E": verdict} and 5 < seeds["far"] < 20
    assert seeds["baseline"] == 3


def test_the_reason_names_the_look_and_leaves_out_what_was_not_needed(
    evidence_of: Callable[..., Evidence],
) -> None:
    _, seeds = run_out(evidence_of)
    reasons = claims_table(evidence_of(seeds))["reason"]
    assert f"after Holm over 3 and looks, at {seeds['far']} of 20 seeds" in reasons[0]
    assert "dropped" not in " ".join(reasons)


def test_every_look_is_a_row_for_each_claim(evidence_of: Callable[..., Evidence]) -> None:
    first, needed = look(evidence_of(dict.fromkeys(VALUES, 3)))
    plan = replace(evidence_of(needed).plan, looks=(first,))
    table = looks_table(plan)
    assert table.to_dict("records")[0] == {
        "recipe": "study", "look": 1, "seeds": 3, "trials": 12, "claim": "far",
        "verdict": first.verdicts["far"], "stopped": "",
    }  # fmt: skip
    assert len(table) == 3
