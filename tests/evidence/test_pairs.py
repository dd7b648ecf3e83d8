"""comparisons.csv: its columns, its rows, and what stands where something cannot be told."""

import math
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sweeper.evidence.arms import arms_table
from sweeper.evidence.claims import claims_table
from sweeper.evidence.csvfile import as_csv
from sweeper.evidence.findings import Evidence
from sweeper.evidence.pairs import COLUMNS, comparisons_table
from sweeper.evidence.power import further_seeds
from sweeper.evidence.tables import build, write

BASE = [2.0, 2.1, 2.2, 2.3, 2.4]
LOWER = [1.0, 1.12, 1.19, 1.31, 1.38]
NOISY = [1.0, 3.0, 2.0, 1.5, 3.5]
TEN = [2.0, 2.3, 1.9, 2.2, 2.1, 2.5, 1.8, 2.4, 2.2, 2.0]
TENTH = [1.9, 2.0, 1.95, 2.0, 2.2, 2.1, 1.6, 2.5, 2.0, 1.7]

IDS = count()
Make = Callable[..., tuple[Any, Any]]


def table_of(study: Any) -> pd.DataFrame:
    evidence = Evidence(*study)
    return comparisons_table("study", evidence.recipe, evidence.grid, evidence.families)


def claim(kind: str = "better", **more: Any) -> dict[str, Any]:
    """With an id of its own."""
    return {"id": f"T{next(IDS)}", "statement": "s", "kind": kind, **more}


def test_the_columns_are_those_that_users_script_against() -> None:
    assert " ".join(COLUMNS) == (
        "recipe arm reference metric test n delta delta_ci_low delta_ci_high p_value p_sign_flip "
        "p_holm effect_size effect_size_ci_low effect_size_ci_high correlation pairing_gain "
        "iqm_delta iqm_delta_ci_low iqm_delta_ci_high further_seeds verdict"
    )


def test_rows_are_arms_in_their_order_then_what_only_claims_compare(make_study: Make) -> None:
    values = {"baseline": BASE, "a": NOISY, "b": LOWER, "both": LOWER}
    weights = {"a": -1, "both": 1, "b": -1, "baseline": 1}
    claims = [
        claim(contrast=weights), claim(arm="b", reference="a"), claim(arm="a"),
        claim(contrast={name: -weight for name, weight in weights.items()}, metric="val_loss"),
    ]  # fmt: skip
    study = make_study(values, {"train_loss": {}, "val_loss": {}}, claims)
    table = table_of(study)
    assert table[["arm", "reference", "metric"]].values.tolist() == [
        ["a", "baseline", "train_loss"],
        ["b", "baseline", "train_loss"],
        ["both", "baseline", "train_loss"],
        ["a: -1, both: 1, b: -1, baseline: 1", "", "train_loss"],
        ["b", "a", "train_loss"],
        ["a", "baseline", "val_loss"],
        ["b", "baseline", "val_loss"],
        ["both", "baseline", "val_loss"],
        ["a: 1, both: -1, b: 1, baseline: -1", "", "val_loss"],
    ]
    # the same words and figures as in claims.csv
    row, said = table.iloc[3], claims_table(Evidence(*study)).iloc[0]
    assert (row["arm"], row["delta"]) == (said["arm"], said["measured"])
    assert pd.isna(row["correlation"]) and pd.isna(row["pairing_gain"])
    assert not pd.isna(row["effect_size"])


def test_what_arms_csv_has_too_is_the_same(make_study: Make) -> None:
    evidence = Evidence(*make_study({"baseline": BASE, "a": NOISY, "b": ["diverged"] * 5}))
    arms = arms_table("study", evidence.grid, evidence.families).iloc[1:].reset_index(drop=True)
    table = comparisons_table("study", evidence.recipe, evidence.grid, evidence.families)
    same = ["delta", "delta_ci_low", "delta_ci_high", "p_value", "p_holm", "verdict", "arm"]
    pd.testing.assert_frame_equal(table[same], arms[same])


def test_a_row_by_hand_and_by_scipy(make_study: Make) -> None:
    table = table_of(make_study({"baseline": TEN, "a": TENTH}, {"train_loss": {}}))
    row = table.iloc[0]
    one, other = np.array(TENTH), np.array(TEN)
    differences = one - other
    assert (row["test"], row["n"], row["verdict"]) == ("paired_t", 10, "better")
    assert row["p_value"] == pytest.approx(stats.ttest_rel(one, other).pvalue)
    exact = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert row["p_sign_flip"] == pytest.approx(exact.pvalue)
    d = differences.mean() / differences.std(ddof=1)
    assert row["effect_size"] == pytest.approx(d * (1 - 3 / (4 * 9 - 1)), rel=2e-3)
    assert row["effect_size_ci_low"] < row["effect_size"] < row["effect_size_ci_high"] < 0
    assert row["correlation"] == pytest.approx(stats.pearsonr(one, other).statistic)
    gain = (one.var() + other.var()) / differences.var()
    assert row["pairing_gain"] == pytest.approx(gain)
    assert row["iqm_delta"] == pytest.approx(stats.trim_mean(differences, 0.25))
    assert row["iqm_delta_ci_low"] < row["iqm_delta"] < row["iqm_delta_ci_high"]
    assert math.isnan(row["further_seeds"])


def test_on_a_log_scale_differences_are_of_log10(make_study: Make) -> None:
    row = table_of(
        make_study({"baseline": TEN, "a": TENTH}, {"train_loss": {"scale": "log"}})
    ).iloc[0]
    differences = np.log10(TENTH) - np.log10(TEN)
    assert row["delta"] == pytest.approx(differences.mean())
    assert row["iqm_delta"] == pytest.approx(stats.trim_mean(differences, 0.25))
    one = np.log10(TENTH)
    assert row["correlation"] == pytest.approx(stats.pearsonr(one, np.log10(TEN)).statistic)


def test_an_undecided_row_says_how_many_seeds_would_decide(make_study: Make) -> None:
    values = {
        "baseline": BASE,
        "a": NOISY,
        "b": LOWER,
        "c": ["diverged", "diverged", 9.0, "failed", "failed"],
    }
    table = table_of(make_study(values))
    paired = stats.ttest_rel(NOISY, BASE)
    std = np.std(np.array(NOISY) - np.array(BASE), ddof=1)
    needed = further_seeds(table.loc[0, "delta"], float(std), 5, 0.1, 3)
    assert table.loc[0, "p_value"] == pytest.approx(paired.pvalue)
    assert table["verdict"].tolist() == ["undecided", "better", "undecided"]
    # c has three runs, and ranks over three comparisons decide from five seeds on
    assert table["further_seeds"].tolist() == pytest.approx([needed, np.nan, 2], nan_ok=True)


EMPTY = [name for name in COLUMNS if name not in (
    "recipe", "arm", "reference", "metric", "test", "n", "verdict"
)]  # fmt: skip
NO_SIZE = ["effect_size", "effect_size_ci_low", "effect_size_ci_high"]
NO_PAIRING = ["correlation", "pairing_gain"]
NO_INTERVAL = ["delta_ci_low", "delta_ci_high"]
NO_TEST = ["p_value", "p_holm", "further_seeds"]
FEW = ["p_sign_flip", "iqm_delta", "iqm_delta_ci_low", "iqm_delta_ci_high"]
INF = {"metrics": {"train_loss": math.inf}}
NAN = {"metrics": {"train_loss": math.nan}}


@pytest.mark.parametrize(
    ("values", "test", "n", "verdict", "empty", "reason"),
    [
        pytest.param(
            {"baseline": [2.0], "a": [1.0]}, "", 1, "undecided",
            NO_INTERVAL + NO_TEST + NO_SIZE + NO_PAIRING + FEW,
            "train_loss 2 → 1, paired difference −1; one seed has no interval: add seeds",
            id="one seed",
        ),
        pytest.param(
            {"baseline": [2.0, 2.1], "a": [1.0, 1.2]}, "paired_t", 2, "better",
            ["further_seeds", *NO_SIZE, *NO_PAIRING, *FEW],
            "train_loss 2.05 → 1.1, paired difference −0.95 [−1.59, −0.315], p = 0.0335",
            id="two seeds",
        ),
        pytest.param(
            {"baseline": BASE, "a": ["diverged"] * 5}, "ranks", 5, "worse",
            [c for c in EMPTY if c not in ("p_value", "p_holm")],
            "median train_loss 2.2 → inf, 5 of 5 runs at the worst value against 0 of 5, "
            "p = 0.00794 by ranks",
            id="all seeds of an arm diverged",
        ),
        pytest.param(
            {"baseline": BASE, "a": [INF, *LOWER[1:]]}, "ranks", 5, "undecided",
            [c for c in EMPTY if c not in ("p_value", "p_holm")],
            "median train_loss 2.2 → 1.31, 1 of 5 runs at the worst value against 0 of 5, "
            "p = 0.151 by ranks",
            id="a reported infinity",
        ),
        pytest.param(
            {"baseline": [NAN] * 5, "a": LOWER}, "ranks", 5, "better",
            [c for c in EMPTY if c not in ("p_value", "p_holm")],
            "median train_loss inf → 1.19, 0 of 5 runs at the worst value against 5 of 5, "
            "p = 0.00794 by ranks",
            id="a reported NaN",
        ),
        pytest.param(
            {"baseline": ["diverged"] * 5, "a": ["diverged"] * 5}, "ranks", 5, "undecided",
            [c for c in EMPTY if c not in ("p_value", "p_holm")],
            "median train_loss inf → inf, 5 of 5 runs at the worst value against 5 of 5: "
            "no difference can be told",
            id="all diverged in both",
        ),
        pytest.param(
            {"baseline": BASE, "a": ["failed"] * 5}, "", 0, "undecided", EMPTY,
            "5 of 5 seeds dropped: 5 failed", id="all failed",
        ),
        pytest.param(
            {"baseline": ["oom"] * 2 + [2.0], "a": [1.0, 1.0, "failed"]}, "", 0, "undecided",
            EMPTY, "3 of 3 seeds dropped: 2 oom, 1 failed", id="no pair though both have values",
        ),
        pytest.param(
            {"baseline": [{"metrics": {"loss": 1}}], "a": [{"metrics": {"loss": 1}}]},
            "", 0, "undecided", EMPTY, "no run reports 'train_loss'; reported are loss",
            id="a metric nobody reports",
        ),
        pytest.param(
            {"baseline": [1.0] * 5, "a": [1.0] * 5}, "sign_flip", 5, "no_effect",
            [*NO_SIZE, *NO_PAIRING, *FEW, "further_seeds"],
            "train_loss 1 → 1, paired difference 0 [0, 0], p = 1; "
            "its 90 % interval [0, 0] lies inside ±0.1",
            id="constant, and the same",
        ),
        pytest.param(
            {"baseline": [1.0] * 5, "a": [0.5] * 5}, "sign_flip", 5, "undecided",
            [*NO_SIZE, *NO_PAIRING, *FEW, "further_seeds"],
            "train_loss 1 → 0.5, paired difference −0.5 [−0.5, −0.5], p = 0.0625; "
            "every difference is the same",
            id="constant within the arms",
        ),
        pytest.param(
            {"baseline": [0.2, 0.3, 0.4, 0.9], "a": [0.4, 0.5, 0.6, 1.1]},
            "sign_flip", 4, "undecided", [*NO_SIZE, "pairing_gain", *FEW, "further_seeds"],
            "train_loss 0.45 → 0.65, paired difference 0.2 [0.2, 0.2], p = 0.125; "
            "every difference is the same",
            id="equal differences but for rounding",
        ),
        pytest.param(
            {"baseline": [1.0, 1.0, 2.0, 2.0, 2.0, 1.0], "a": [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]},
            "paired_t", 6, "undecided", ["iqm_delta", "iqm_delta_ci_low", "iqm_delta_ci_high"],
            "train_loss 1.5 → 1.67, paired difference 0.167 [−0.262, 0.595], p = 0.363; "
            "about 60 further seeds would decide",
            id="ties",
        ),
        pytest.param(
            {"baseline": [1e300, 2e300, 3e300], "a": [-1e300, 2e300, 4e300]}, "paired_t", 3,
            "undecided", [*NO_SIZE, *NO_PAIRING, *FEW], None, id="numbers too large to square",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_empty_and_said(
    make_study: Make, values: Any, test: str, n: int, verdict: str, empty: Any, reason: Any
) -> None:
    """The same honest row in all three tables, and never a crash."""
    study = make_study(values, None, [{"id": "T", "statement": "s", "kind": "better", "arm": "a"}])
    row = table_of(study).iloc[0]
    assert (row["test"], row["n"], row["verdict"]) == (test, n, verdict)
    assert [name for name in EMPTY if pd.isna(row[name])] == [c for c in EMPTY if c in empty]
    evidence = Evidence(*study)
    arms = arms_table("study", evidence.grid, evidence.families)
    assert arms["verdict"].tolist() == ["", verdict]
    said = claims_table(evidence).iloc[0]
    expected = {"better": "reproduced", "undecided": "undecided"}.get(verdict, "contradicted")
    assert said["verdict"] == expected
    assert reason is None or said["reason"] == reason
    assert "nan" not in as_csv(table_of(study)) + as_csv(arms)


def test_a_recipe_of_a_baseline_alone_compares_nothing(make_study: Make) -> None:
    table = table_of(make_study({"baseline": BASE}))
    assert list(table.columns) == list(COLUMNS) and len(table) == 0
    assert as_csv(table) == ",".join(COLUMNS) + "\n"


def test_a_plan_without_a_single_run_has_all_its_rows(make_study: Make) -> None:
    plan, _ = make_study({"baseline": BASE, "a": LOWER})
    table = build(plan, []).comparisons
    assert table[["n", "test", "verdict"]].values.tolist() == [[0, "", "undecided"]]


BEST = "best_of(optim.lr, val_loss)"
LARGEST = "largest_of(optim.lr, val_loss, 1.0)"


def best_study(make_study: Make, metric: str, *claims: dict[str, Any]) -> Any:
    """Two norms with three rates each: without, 0.01 is best; with, mostly 0.1."""
    losses = {
        "baseline": [2.0] * 6, "none_0.01": [0.5] * 6, "none_0.001": [0.9] * 6,
        "batch_0.1": [0.4, 0.4, 0.4, 0.4, 0.4, 0.9], "batch_0.01": [0.6] * 6,
        "batch_0.001": [3.0] * 6,
    }  # fmt: skip
    values = {
        arm: [{"metrics": {"val_loss": v}} for v in entries] for arm, entries in losses.items()
    }
    axes = {
        arm: {"optim.lr": rate, "model.norm": norm}
        for arm, rate, norm in zip(losses, [0.1, 0.01, 0.001] * 2, ["none"] * 3 + ["batch"] * 3,
                                   strict=True)
    }  # fmt: skip
    metrics = {metric: {"goal": "up", "scale": "log", "smallest_effect": 0.3}}
    return make_study(values, metrics, list(claims), axes=axes)


def test_a_contrast_of_the_best_rates_of_two_norms_is_decided(make_study: Make) -> None:
    """Weights over all arms of each norm: every arm along the axis has the norm's best rate."""
    norms = {
        "batch_0.1": 1 / 3, "batch_0.01": 1 / 3, "batch_0.001": 1 / 3,
        "baseline": -1 / 3, "none_0.01": -1 / 3, "none_0.001": -1 / 3,
    }  # fmt: skip
    study = best_study(make_study, BEST, claim(contrast=norms))
    said = claims_table(Evidence(*study)).iloc[0]
    assert said["measured"] == pytest.approx(5 / 6)  # 0.1 against 0.01 in five seeds of six
    assert (said["verdict"], said["n"]) == ("reproduced", 6)
    row = table_of(study).iloc[-1]
    assert row["delta"] == said["measured"] and row["reference"] == ""


def test_a_contrast_of_the_largest_workable_rates_too(make_study: Make) -> None:
    weights = {"batch_0.1": 1.0, "none_0.01": -1.0, "batch_0.01": 1.0, "none_0.001": -1.0}
    study = best_study(make_study, LARGEST, claim(contrast=weights))
    said = claims_table(Evidence(*study)).iloc[0]
    assert said["measured"] == pytest.approx(2.0)  # twice log10(0.1 / 0.01)
    assert said["verdict"] == "undecided"  # six equal differences, and six comparisons
    assert "p = 0.1" in said["reason"] and said["reason"].endswith("every difference is the same")


def test_a_contrast_along_the_axis_says_that_it_is_zero(make_study: Make) -> None:
    weights = {"batch_0.1": 1.0, "batch_0.01": 1.0, "batch_0.001": -2.0}
    study = best_study(make_study, BEST, claim("no_effect", contrast=weights))
    said = claims_table(Evidence(*study)).iloc[0]
    assert said["measured"] == 0.0


def test_a_rung_without_a_value_leaves_the_seed_out_and_is_named(make_study: Make) -> None:
    plan, runs = best_study(make_study, BEST, claim(contrast={"batch_0.1": 1.0, "none_0.01": -1.0}))
    runs = [r if (r.arm, r.seed) != ("batch_0.01", 2) else r.__class__(
        r.arm, r.seed, "report", r.trial_id, "failed") for r in runs]  # fmt: skip
    said = claims_table(Evidence(plan, runs)).iloc[0]
    assert said["n"] == 5
    assert said["reason"].endswith("1 of 6 seeds dropped: 1 without a value at every optim.lr")


def test_it_is_written_beside_the_others(make_study: Make, tmp_path: Any) -> None:
    tables = build(*make_study({"baseline": TEN, "a": TENTH}))
    for _ in range(2):
        write(tables, tmp_path)
        text = (tmp_path / "comparisons.csv").read_text()
        assert text == as_csv(tables.comparisons)
    assert text.splitlines()[1].startswith("study,a,baseline,train_loss,paired_t,10,-0.145")
