"""Trials that share training data, and a variance of all arms: formulas, other libraries, rates."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from sweeper.errors import RequestError
from sweeper.evidence.arms import arms_table
from sweeper.evidence.claims import claims_table
from sweeper.evidence.findings import Evidence
from sweeper.evidence.pairs import comparisons_table
from sweeper.evidence.statistics import no_effect, paired
from sweeper.evidence.variance import shared_training
from sweeper.recipe_file import read_recipe

nan = np.nan
BASE = [0.91, 0.88, 0.93, 0.90, 0.87, 0.92, 0.89, 0.90, 0.91, 0.88]
OTHER = [0.93, 0.91, 0.93, 0.92, 0.91, 0.93, 0.92, 0.91, 0.94, 0.90]
THIRD = [0.90, 0.90, 0.94, 0.93, 0.88, 0.95, 0.88, 0.92, 0.93, 0.91]

Make = Callable[..., tuple[Any, Any]]


def tables(study: Any, **recipe: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """arms, comparisons and claims of a study whose recipe has these keys besides."""
    plan, runs = study
    evidence = Evidence(replace(plan, recipe={**plan.recipe, **recipe}), runs)
    return (
        arms_table("study", evidence.grid, evidence.families),
        comparisons_table("study", evidence.recipe, evidence.grid, evidence.families),
        claims_table(evidence),
    )


def test_the_corrected_resampled_t_test_by_the_papers_formula(make_study: Make) -> None:
    """Nadeau and Bengio (2003), section 6: (1/J + n2/n1) s², where 10 folds have n2/n1 = 1/9."""
    study = make_study({"baseline": BASE, "a": OTHER}, {"val_accuracy": {"smallest_effect": 0.001}})
    arms, comparisons, _ = tables(study, folds=10)
    row = comparisons.iloc[0]
    differences = [b - a for a, b in zip(BASE, OTHER, strict=True)]
    mean = sum(differences) / 10
    variance = sum((d - mean) ** 2 for d in differences) / 9
    error = math.sqrt((1 / 10 + 1 / 9) * variance)
    p = 2 * stats.t.sf(abs(mean) / error, 9)
    assert row["p_value"] == pytest.approx(p)
    assert row["delta_ci_low"] == pytest.approx(mean - stats.t.ppf(0.975, 9) * error)
    assert row["delta_ci_high"] == pytest.approx(mean + stats.t.ppf(0.975, 9) * error)
    assert (row["test"], row["n"]) == ("corrected_t", 10)
    assert arms.loc[1, "p_value"] == row["p_value"]
    # the t of independent trials is larger by sqrt(1 + 10/9)
    uncorrected = tables(study)[1].iloc[0]
    assert uncorrected["test"] == "paired_t"
    assert uncorrected["p_value"] == pytest.approx(stats.ttest_rel(OTHER, BASE).pvalue)
    wider = (row["delta_ci_high"] - mean) / (uncorrected["delta_ci_high"] - mean)
    assert wider == pytest.approx(math.sqrt(1 + 10 / 9))
    # flipped signs and resampled seeds take trials for independent
    assert row[["p_sign_flip", "iqm_delta_ci_low", "iqm_delta_ci_high"]].isna().all()
    assert row["iqm_delta"] == uncorrected["iqm_delta"]


def test_the_reason_of_a_claim_says_so_and_no_effect_is_held_to_it(make_study: Make) -> None:
    claim = {"id": "T1", "statement": "s", "arm": "a", "kind": "no_effect"}
    metrics = {"val_accuracy": {"smallest_effect": 0.025}}
    study = make_study({"baseline": BASE, "a": THIRD}, metrics, [claim])
    *_, claims = tables(study)
    assert claims.loc[0, "verdict"] == "reproduced"
    *_, claims = tables(study, folds=3)
    assert claims.loc[0, "verdict"] == "undecided"
    assert "; corrected for 3 folds; " in claims.loc[0, "reason"]


def folds_of_data(rng: np.random.Generator, draws: int, k: int, rounds: int) -> Any:
    """(draws, k * rounds) differences in test loss of two learners that are equally good.

    Each fits a line through zero to a feature of its own that tells nothing: on k folds of 60
    samples, divided anew in each round.
    """
    y, *features = rng.normal(size=(3, draws, 60))
    differences = []
    for _ in range(rounds):
        folds = rng.permutation(60).reshape(k, -1)
        for fold, test in enumerate(folds):
            train = np.delete(folds, fold, axis=0).ravel()
            one, other = (_loss(x, y, train, test) for x in features)
            differences.append(one - other)
    return np.stack(differences, axis=1)


def _loss(x: Any, y: Any, train: Any, test: Any) -> Any:
    slope = (x[:, train] * y[:, train]).sum(axis=1) / (x[:, train] ** 2).sum(axis=1)
    return ((y[:, test] - slope[:, None] * x[:, test]) ** 2).mean(axis=1)


def test_on_folds_that_overlap_only_the_corrected_test_keeps_its_level() -> None:
    draws, k = 4000, 5
    differences = folds_of_data(np.random.default_rng(1), draws, k, rounds=4)
    uncorrected = np.mean(paired(differences).p <= 0.05)
    corrected = np.mean(paired(differences, shared=1 / (k - 1)).p <= 0.05)
    assert uncorrected > 0.10
    assert corrected <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5


def test_equal_differences_count_for_as_many_seeds_as_are_independent() -> None:
    """Ten trials of five folds tell as much as 10 / (1 + 10/4) independent ones."""
    result = paired(np.full((1, 10), 0.02), shared=1 / 4)
    assert result.effective_n[0] == pytest.approx(10 / 3.5)
    assert result.p[0] == pytest.approx(2 / 2 ** (10 / 3.5))


@pytest.mark.parametrize(
    ("axes", "baseline", "overrides", "folds"),
    [
        pytest.param({}, {}, (), [0, 0], id="held out"),
        pytest.param({}, {"data.split": "k_fold", "data.folds": 4}, (), [4, 4], id="in all"),
        pytest.param({}, {"data.split": "k_fold"}, (), [5, 5], id="the usual number"),
        pytest.param({}, {"data.folds": 4}, (), [0, 0], id="folds that nobody takes"),
        pytest.param(
            {"baseline": {"data.split": "random"}, "a": {"data.split": "k_fold"}},
            {"data.folds": 3}, (), [0, 3], id="in one arm",
        ),
        pytest.param(
            {"baseline": {"data.folds": 3}, "a": {"data.folds": 10}},
            {"data.split": "k_fold"}, (), [3, 10], id="of different numbers",
        ),
        pytest.param(
            {}, {}, ("data.split=k_fold", "data.folds=8"), [8, 8], id="on the command line"
        ),
    ],
)  # fmt: skip
def test_folds_are_recognised_by_the_axes(
    make_study: Make, axes: Any, baseline: Any, overrides: Any, folds: list[int]
) -> None:
    plan, _ = make_study({"baseline": BASE, "a": OTHER}, axes=axes)
    plan = replace(plan, recipe={**plan.recipe, "baseline": baseline}, overrides=overrides)
    expected = [1 / (k - 1) if k else 0.0 for k in folds]
    assert shared_training(plan, plan.read_recipe()).tolist() == expected


def test_a_comparison_shares_what_its_arms_share_at_most(make_study: Make) -> None:
    axes = {"baseline": {"data.split": "random"}, "a": {"data.split": "k_fold"}, "b": {}}
    study = make_study({"baseline": BASE, "a": OTHER, "b": THIRD}, axes=axes)
    _, comparisons, _ = tables(study)
    assert comparisons["test"].tolist() == ["corrected_t", "paired_t"]


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (1, "should be greater than or equal to 2 (got 1)"),
        (-3, "should be greater than or equal to 2 (got -3)"),
        (2.5, "should be a valid integer, got a number with a fractional part (got 2.5)"),
        ("many", "should be a valid integer, unable to parse string as an integer (got 'many')"),
        (True, "should be greater than or equal to 2 (got True)"),
    ],
)
def test_a_number_of_folds_that_is_none_is_refused(folds: Any, message: str) -> None:
    raw = {"question": "?", "seeds": 3, "metrics": ["val_loss"], "folds": folds}
    with pytest.raises(RequestError) as refused:
        read_recipe(raw, where="here")
    assert str(refused.value) == f"here: folds: Input {message}."


ARMS = {"baseline": BASE, "a": OTHER, "b": THIRD}
POOLED = {"val_accuracy": {"variance": "pooled", "smallest_effect": 0.001}}


def test_the_pooled_variance_is_the_residual_of_the_two_way_layout(make_study: Make) -> None:
    """Against statsmodels' repeated-measures analysis: F is that of the contrasts together."""
    claim = {"id": "T1", "statement": "s", "kind": "better", "arm": "a"}
    contrast = {"baseline": -2.0, "a": 1.0, "b": 1.0}
    study = make_study(
        ARMS, POOLED, [claim, {**claim, "id": "T2", "arm": None, "contrast": contrast}]
    )
    _, comparisons, claims = tables(study)
    layout = np.array(list(ARMS.values()))
    long = pd.DataFrame(
        [(arm, seed, layout[arm, seed]) for arm in range(3) for seed in range(10)],
        columns=["arm", "seed", "value"],
    )
    anova = AnovaRM(long, "value", "seed", within=["arm"]).fit().anova_table
    assert (anova["Num DF"].iloc[0], anova["Den DF"].iloc[0]) == (2, 18)
    between = 10 * ((layout.mean(axis=1) - layout.mean()) ** 2).sum() / 2
    mean_square = between / anova["F Value"].iloc[0]
    assert comparisons["test"].tolist() == ["pooled_t"] * 3
    for row, (delta, squares) in zip(
        comparisons.to_dict("records"),
        [(0.021, 2), (0.015, 2), (0.036, 6)],
        strict=True,
    ):
        error = math.sqrt(squares * mean_square / 10)
        assert row["delta"] == pytest.approx(delta)
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(delta / error, 18))
        half = stats.t.ppf(0.975, 18) * error
        assert row["delta_ci_high"] - row["delta"] == pytest.approx(half)
    assert "; variance of 3 arms" in claims.loc[0, "reason"]


def test_with_fewer_than_three_arms_it_is_the_comparisons_own(make_study: Make) -> None:
    own, pooled = (
        tables(make_study({"baseline": BASE, "a": OTHER}, {"val_accuracy": {"variance": v}}))[1]
        for v in ("own", "pooled")
    )
    pd.testing.assert_frame_equal(own, pooled)


def test_an_arm_that_diverged_is_compared_by_ranks_and_pools_nothing(make_study: Make) -> None:
    arms = {**ARMS, "c": ["diverged", *BASE[1:]], "d": ["failed"] * 10}
    _, comparisons, _ = tables(make_study(arms, POOLED))
    assert comparisons["test"].tolist() == ["pooled_t", "pooled_t", "ranks", ""]
    alone = tables(make_study(ARMS, POOLED))[1]
    assert comparisons["p_value"].tolist()[:2] == alone["p_value"].tolist()


def test_seeds_without_every_arm_are_left_out_of_the_variance_alone(make_study: Make) -> None:
    arms = {**ARMS, "b": [*THIRD[:9], "failed"]}
    _, comparisons, _ = tables(make_study(arms, POOLED))
    layout = np.array(list(ARMS.values()))[:, :9]
    residual = layout - layout.mean(axis=0) - layout.mean(axis=1, keepdims=True) + layout.mean()
    error = math.sqrt(2 * (residual**2).sum() / 16 / 10)
    assert comparisons["n"].tolist() == [10, 9]
    assert comparisons.loc[0, "p_value"] == pytest.approx(2 * stats.t.sf(0.021 / error, 16))


def test_arms_that_differ_by_constants_have_no_variance_to_pool(make_study: Make) -> None:
    """What rounding leaves of equal differences would make any difference certain."""
    arms = {"baseline": [0.1, 0.2, 0.3, 0.4], "a": [0.2, 0.3, 0.4, 0.5], "b": [0.4, 0.5, 0.6, 0.7]}
    _, comparisons, _ = tables(make_study(arms, {"train_loss": {"variance": "pooled"}}))
    assert comparisons["test"].tolist() == ["sign_flip", "sign_flip"]
    assert comparisons["p_value"].tolist() == [2 / 2**4] * 2


def test_where_arms_vary_alike_the_pooled_test_keeps_its_level_and_gains_power() -> None:
    from sweeper.evidence.comparisons import compare
    from sweeper.evidence.variance import Variance, pooled

    rng, found = np.random.default_rng(2), {"own": [], "pooled": [], "null": [], "same": []}
    members = tuple(((row, 1.0), (0, -1.0)) for row in range(1, 6))
    for _ in range(1500):
        values = rng.normal(size=(6, 3)) + 3 * rng.normal(size=(1, 3))
        values[1] += 2.5
        variance = pooled(Variance(np.zeros(6)), values, members)
        results = compare(members, values, variance)
        found["pooled"].append(results.p[0] <= 0.05)
        found["own"].append(compare(members, values).p[0] <= 0.05)
        found["null"].append(results.p[1] <= 0.05)
        found["same"].append(
            no_effect(results.paired.low90, results.paired.high90, 2.5)[0]  # it is as large as that
        )
    rates = {name: float(np.mean(values)) for name, values in found.items()}
    limit = 0.05 + 3 * (0.05 * 0.95 / 1500) ** 0.5
    assert 0.03 < rates["null"] <= limit
    assert 0.03 < rates["same"] <= limit
    assert rates["pooled"] > 1.5 * rates["own"]
