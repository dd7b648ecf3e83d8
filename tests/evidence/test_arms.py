"""The arms table, and the error rate of a whole family."""

import numpy as np
import pytest
from scipy import stats

from sweeper.evidence.arms import COLUMNS, arms_table
from sweeper.evidence.comparisons import compare
from sweeper.evidence.findings import Evidence
from sweeper.evidence.statistics import holm

BASE = [2.0, 2.1, 2.2, 2.3, 2.4]
LOWER = [1.0, 1.12, 1.19, 1.31, 1.38]
EMPTY_IF_INFINITE = ["mean", "std", "ci_low", "ci_high", "delta", "delta_ci_low", "delta_ci_high"]


def table_of(study):
    evidence = Evidence(*study)
    return arms_table("study", evidence.grid, evidence.families).set_index(["arm", "metric"])


def test_the_columns_are_those_that_users_script_against() -> None:
    assert " ".join(COLUMNS) == (
        "recipe arm metric n n_diverged n_failed mean std median ci_low ci_high baseline "
        "delta delta_ci_low delta_ci_high p_value p_holm verdict"
    )


def test_rows_come_arm_by_arm_then_metric_by_metric(make_study) -> None:
    metrics = {"train_loss": {"smallest_effect": 0.1}, "best(train_loss)": {}}
    table = table_of(make_study({"baseline": BASE, "b": LOWER, "a": BASE}, metrics))
    assert table.index.tolist() == [(arm, m) for arm in ("baseline", "b", "a") for m in metrics]


def test_an_arm_is_compared_with_what_it_started_from(make_study) -> None:
    study = make_study({"baseline": BASE, "a": LOWER, "b": LOWER}, compared={"b": "a"})
    table = table_of(study).droplevel("metric")
    expected = stats.ttest_rel(LOWER, BASE)
    assert table.loc["a", "delta"] == pytest.approx(-1)
    assert table.loc["a", "p_value"] == pytest.approx(expected.pvalue)
    assert table.loc["a", "p_holm"] == pytest.approx(2 * expected.pvalue)
    assert table["baseline"].tolist() == ["", "baseline", "a"]
    assert table["verdict"].tolist() == ["", "better", "no_effect"]
    assert table.loc["baseline", ["delta", "p_value", "p_holm"]].isna().all()
    mean = stats.ttest_1samp(BASE, 0).confidence_interval(0.95)
    assert table.loc["baseline", ["ci_low", "ci_high"]].tolist() == pytest.approx(list(mean))


def test_diverged_is_never_averaged_away(make_study) -> None:
    arm = ["diverged", 1.0, "failed", 3.0, "diverged"]
    table = table_of(make_study({"baseline": BASE, "a": arm})).droplevel("metric")
    row = table.loc["a"]
    assert row[["n", "n_diverged", "n_failed"]].tolist() == [4, 2, 1]
    assert row[EMPTY_IF_INFINITE].isna().all()
    assert row["median"] == np.inf
    # ranks 1, 7, 8.5, 8.5 of nine: 16 of the 126 ways to draw four sum to 25 or more
    assert row["p_value"] == pytest.approx(2 * 16 / 126)
    assert row["verdict"] == "undecided"


def test_a_minority_of_diverged_runs_leaves_a_finite_median(make_study) -> None:
    arm = ["diverged", 9.0, 9.1, 9.2, 9.3]
    row = table_of(make_study({"baseline": BASE, "a": arm})).loc[("a", "train_loss")]
    assert row["median"] == 9.2
    assert row["p_value"] == pytest.approx(2 / 252)
    assert row["verdict"] == "worse"


def test_ranks_too_ask_for_the_smallest_effect(make_study) -> None:
    arm = ["diverged", *(value + 0.5 for value in BASE[1:])]
    for smallest, verdict in [(0.1, "worse"), (5.0, "undecided")]:
        metrics = {"train_loss": {"smallest_effect": smallest}}
        table = table_of(make_study({"baseline": [1.6, 1.7, 1.8, 1.9, 2.0], "a": arm}, metrics))
        assert table.loc[("a", "train_loss"), "verdict"] == verdict


def test_an_accuracy_is_better_upwards(make_study) -> None:
    values = {"baseline": [0.5, 0.51, 0.52], "a": [0.9, 0.92, 0.91]}
    table = table_of(make_study(values, {"val_accuracy": {}}))
    assert table.loc[("a", "val_accuracy"), "verdict"] == "better"


def test_arms_without_a_value_are_rows_without_numbers(make_study) -> None:
    values = {"baseline": BASE, "a": ["failed"] * 5, "b": [], "c": [1.0], "d": LOWER}
    table = table_of(make_study(values)).droplevel("metric")
    assert table["n"].tolist() == [5, 0, 0, 1, 5]
    assert table["n_failed"].tolist() == [0, 5, 0, 0, 0]
    assert table["verdict"].tolist() == ["", "undecided", "undecided", "undecided", "better"]
    # one delta without an interval; it is no test, so Holm corrects over d alone
    assert table.loc["c", "delta"] == -1
    assert table.loc["d", "p_holm"] == table.loc["d", "p_value"]


def test_at_most_5_percent_of_null_families_claim_an_effect() -> None:
    families, arms, seeds = 4000, 4, 5
    rng = np.random.default_rng(9)
    values = rng.normal(size=(families * (arms + 1), seeds))
    rows = np.arange(families * (arms + 1)).reshape(families, arms + 1)
    members = [((int(a), 1.0), (int(row[0]), -1.0)) for row in rows for a in row[1:]]
    results = compare(members, values)
    p_holm = np.concatenate([holm(p) for p in results.p.reshape(families, arms)])
    words = results.verdicts(p_holm, 0.0, "down").reshape(families, arms)
    claimed = np.mean((words != "undecided").any(axis=1))
    assert claimed <= 0.05 + 3 * (0.05 * 0.95 / families) ** 0.5
    assert claimed > 0.02  # and it is not that nothing is ever found


def test_null_families_with_diverged_runs_claim_no_more() -> None:
    families, arms, seeds = 1500, 4, 5
    rng = np.random.default_rng(10)
    values = rng.normal(size=(families * (arms + 1), seeds))
    values[rng.random(values.shape) < 0.3] = np.inf
    rows = np.arange(families * (arms + 1)).reshape(families, arms + 1)
    members = [((int(a), 1.0), (int(row[0]), -1.0)) for row in rows for a in row[1:]]
    results = compare(members, values)
    p_holm = np.concatenate([holm(p) for p in results.p.reshape(families, arms)])
    words = results.verdicts(p_holm, 0.0, "down").reshape(families, arms)
    claimed = np.mean((words != "undecided").any(axis=1))
    assert claimed <= 0.05 + 3 * (0.05 * 0.95 / families) ** 0.5
