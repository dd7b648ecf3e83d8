"""Effects of a factorial: contrasts of its cells, tested by seed, and the claims about them."""

# ruff: noqa: E501 - a case of a table is a line

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sweeper.evidence.arms import arms_table
from sweeper.evidence.claims import claims_table
from sweeper.evidence.effects import COLUMNS
from sweeper.evidence.findings import Evidence
from sweeper.evidence.tables import build
from sweeper.evidence.undecidable import cannot_decide
from sweeper.factorial import cells

Response = Callable[..., float]
SEEDS = 6


@pytest.fixture
def evidence_of(make_study: Callable[..., Any]) -> Callable[..., Evidence]:
    """evidence_of(response, axes): a study of `response(seed, *levels)`, levels being 0 or 1.

    The first cell, all low, is the baseline.
    """

    def make(
        response: Response, names: Sequence[str], resolution: Any = "full",
        metrics: Mapping[str, Any] | None = None, claims: Sequence[Mapping[str, Any]] = (),
    ) -> Evidence:  # fmt: skip
        levels = cells(len(names), is_fraction=resolution == 4)
        arms = ["baseline", *("".join(map(str, cell)) for cell in levels[1:])]
        values = {
            arm: [response(seed, *cell) for seed in range(SEEDS)]
            for arm, cell in zip(arms, levels, strict=True)
        }
        plan, runs = make_study(values, metrics, claims)
        asked = {"axes": {name: [0, 1] for name in names}, "resolution": resolution}
        recipe = {**plan.recipe, "factorial": asked}
        return Evidence(replace(plan, recipe=recipe, factorial=tuple(arms)), runs)

    return make


def table_of(evidence: Evidence) -> pd.DataFrame:
    found = build(evidence.plan, evidence.runs).further.get("effects")
    assert found is not None
    assert tuple(found.columns) == COLUMNS
    return found


def noise(seed: int, *levels: int) -> float:
    """Small, another one for each cell and seed, the same on every machine."""
    return float(np.random.default_rng([seed, *levels]).normal(0, 0.01))


def additive(seed: int, lr: int, norm: int) -> float:
    """High less low: 6 for lr, -4 for norm; the effect of lr is 2 more where norm is high."""
    return 10 + 5 * lr - 5 * norm + 2 * lr * norm + seed + noise(seed, lr, norm)


def test_the_true_effects_and_interaction_of_a_full_factorial_are_found(
    evidence_of: Callable[..., Evidence],
) -> None:
    table = table_of(evidence_of(additive, ["optim.lr", "model.norm"]))
    assert list(table["effect"]) == ["optim.lr", "model.norm", "optim.lr:model.norm"]
    assert list(table["delta"]) == pytest.approx([6, -4, 1], abs=0.03)
    assert list(table["verdict"]) == ["worse", "better", "worse"]
    assert set(table["n"]) == {SEEDS}
    assert set(table["aliases"]) == {""}
    assert set(table["recipe"]) == {"study"}


def test_intervals_and_p_are_those_of_the_seeds_own_contrasts(
    evidence_of: Callable[..., Evidence],
) -> None:
    table = table_of(evidence_of(lambda seed, a, b: a + noise(seed, a, b), ["x.a", "x.b"]))
    values = np.array(
        [[a + noise(s, a, b) for s in range(SEEDS)] for a, b in product((0, 1), repeat=2)]
    )
    signs = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1], [1, -1, -1, 1]])
    by_seed = signs @ values / 2
    expected = stats.ttest_1samp(by_seed, 0, axis=1)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose(table["delta"], by_seed.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(table["delta_ci_low"], interval.low, rtol=1e-9)
    np.testing.assert_allclose(table["delta_ci_high"], interval.high, rtol=1e-9)
    np.testing.assert_allclose(table["p_value"], expected.pvalue, rtol=1e-9)
    corrected = multipletests(expected.pvalue, method="holm")[1]
    np.testing.assert_allclose(table["p_holm"], corrected, rtol=1e-9)


def test_each_metric_is_a_family_of_its_own(evidence_of: Callable[..., Evidence]) -> None:
    metrics = {"train_loss": {}, "epochs_to(train_loss, 1)": {}}
    table = table_of(evidence_of(additive, ["x.a", "x.b"], metrics=metrics))
    assert list(table["metric"]) == ["train_loss"] * 3 + ["epochs_to(train_loss, 1)"] * 3


def tangled(seed: int, a: int, b: int, c: int, d: int) -> float:
    """A large interaction of a and b, a small one of c and d, and main effects."""
    signs = [2 * level - 1 for level in (a, b, c, d)]
    own = signs[0] + 2 * signs[2] + 8 * signs[0] * signs[1] + 0.5 * signs[2] * signs[3]
    return own + 100 + noise(seed, a, b, c, d)


NAMES = ["x.a", "x.b", "x.c", "x.d"]


def test_main_effects_of_a_fraction_stay_clear_of_interactions_which_are_summed(
    evidence_of: Callable[..., Evidence],
) -> None:
    table = table_of(evidence_of(tangled, NAMES, 4)).set_index("effect")
    assert dict(table["delta"][NAMES]) == pytest.approx(
        {"x.a": 2, "x.b": 0, "x.c": 4, "x.d": 0}, abs=0.03
    )
    assert table["delta"]["x.a:x.b"] == pytest.approx(2 * (8 + 0.5), abs=0.03)
    assert dict(table["aliases"][4:]) == {
        "x.a:x.b": "x.c:x.d", "x.a:x.c": "x.b:x.d", "x.a:x.d": "x.b:x.c",
    }  # fmt: skip


def test_the_full_design_tells_the_same_interactions_apart(
    evidence_of: Callable[..., Evidence],
) -> None:
    table = table_of(evidence_of(tangled, NAMES)).set_index("effect")
    assert table["delta"]["x.a:x.b"] == pytest.approx(16, abs=0.03)
    assert table["delta"]["x.c:x.d"] == pytest.approx(1, abs=0.03)
    assert len(table) == 4 + 6


def test_an_axis_that_changes_nothing_at_all_has_no_effect_by_rounding(
    evidence_of: Callable[..., Evidence],
) -> None:
    def without_c(seed: int, a: int, b: int, c: int) -> float:
        return 0.1 + 0.3 * a + 0.7 * b * (1 + a / 3) + noise(seed, a, b)

    metrics = {"train_loss": {"smallest_effect": 0}}
    table = table_of(evidence_of(without_c, ["x.a", "x.b", "x.c"], metrics=metrics))
    nothing = table[table["effect"].str.contains("x.c")]
    assert len(nothing) == 3
    assert set(nothing["verdict"]) == {"undecided"}
    assert set(nothing["delta"]) == {0.0}


def test_a_seed_without_every_cell_drops_out(evidence_of: Callable[..., Evidence]) -> None:
    def fails_once(seed: int, a: int, b: int) -> Any:
        return "failed" if (seed, a, b) == (2, 1, 0) else additive(seed, a, b)

    table = table_of(evidence_of(fails_once, ["x.a", "x.b"]))
    assert set(table["n"]) == {SEEDS - 1}
    assert list(table["delta"]) == pytest.approx([6, -4, 1], abs=0.03)


def test_a_diverged_cell_leaves_every_effect_undecided(
    evidence_of: Callable[..., Evidence],
) -> None:
    def diverges(seed: int, a: int, b: int) -> Any:
        return "diverged" if a and b else additive(seed, a, b)

    claims = [{"id": "T1", "statement": "x", "kind": "better", "effect": "x.b"}]
    evidence = evidence_of(diverges, ["x.a", "x.b"], claims=claims)
    table = table_of(evidence)
    assert set(table["verdict"]) == {"undecided"}
    assert table[["delta", "p_value", "p_holm"]].isna().all(axis=None)
    (row,) = claims_table(evidence).itertuples()
    assert (row.verdict, row.reason) == (
        "undecided", "a run diverged, and a contrast of several arms has no rank test",
    )  # fmt: skip


def test_the_effect_of_a_single_axis_is_the_difference_of_its_two_arms(
    evidence_of: Callable[..., Evidence],
) -> None:
    evidence = evidence_of(lambda seed, a: 1 + a + noise(seed, a), ["x.a"])
    effect = table_of(evidence).iloc[0]
    arm = arms_table("study", evidence.grid, evidence.families).iloc[1]
    for column in ("delta", "delta_ci_low", "delta_ci_high", "p_value", "p_holm", "verdict"):
        assert effect[column] == arm[column]


def test_effects_on_a_log_scale_are_in_its_units(evidence_of: Callable[..., Evidence]) -> None:
    metrics = {"train_loss": {"scale": "log"}}
    response = evidence_of(
        lambda s, a, b: 10.0 ** (a - b + noise(s, a, b)), ["x.a", "x.b"], metrics=metrics
    )
    assert list(table_of(response)["delta"]) == pytest.approx([1, -1, 0], abs=0.03)


def test_a_recipe_without_a_factorial_has_no_table_of_effects(
    make_study: Callable[..., Any],
) -> None:
    assert "effects" not in build(*make_study({"base": [1, 2], "a": [2, 3]})).further


APART = "only the full design tells them apart"


@pytest.mark.parametrize(
    "effect, kind, resolution, verdict, reason",
    [
        pytest.param("x.a", "worse", "full", "reproduced", "weighted sum of train_loss, difference 2", id="main"),
        pytest.param("x.c", "better", "full", "contradicted", "after Holm over 10", id="main-the-other-way"),
        pytest.param("x.b", "no_effect", "full", "reproduced", "lies inside ±0.1", id="no-main-effect"),
        pytest.param("x.b:x.a", "worse", "full", "reproduced", "difference 16", id="interaction-in-any-order"),
        pytest.param("x.a : x.c", "no_effect", "full", "reproduced", "lies inside ±0.1", id="no-interaction"),
        pytest.param("x.b", "no_worse", 4, "reproduced", "after Holm over 7", id="main-of-a-fraction"),
        pytest.param("x.a:x.b", "worse", 4, "undecided", f"resolution 4 measures it together with x.c:x.d: {APART}; weighted sum of train_loss, difference 17", id="aliased"),
        pytest.param("x.d:x.c", "worse", 4, "undecided", f"resolution 4 measures it together with x.a:x.b: {APART}", id="aliased-by-its-alias"),
        pytest.param("x.a:x.c", "no_effect", 4, "undecided", f"resolution 4 measures it together with x.b:x.d: {APART}", id="aliases-may-cancel-out"),
    ],
)  # fmt: skip
def test_a_claim_of_an_effect_is_judged_as_it_stands_in_the_table(
    evidence_of: Callable[..., Evidence],
    effect: str, kind: str, resolution: Any, verdict: str, reason: str,
) -> None:  # fmt: skip
    claims = [{"id": "T1", "statement": "x", "kind": kind, "effect": effect}]
    evidence = evidence_of(tangled, NAMES, resolution, claims=claims)
    (row,) = claims_table(evidence).itertuples()
    assert row.verdict == verdict
    assert reason in row.reason
    assert (row.arm, row.reference, row.n) == (effect, "", SEEDS)
    table = table_of(evidence)
    assert row.measured in set(table["delta"])
    unanswerable = [
        s for s in cannot_decide(evidence.recipe, evidence.plan.arms, SEEDS) if APART in s
    ]
    assert bool(unanswerable) == (APART in row.reason)


def test_a_claim_of_an_effect_leaves_the_arms_corrected_p_alone(
    evidence_of: Callable[..., Evidence],
) -> None:
    claims = [{"id": "T1", "statement": "x", "kind": "worse", "effect": "x.a:x.b"}]
    alone, beside = (
        evidence_of(tangled, NAMES, claims=c).families["train_loss"].p_holm for c in ([], claims)
    )
    np.testing.assert_array_equal(alone, beside)
