"""Every kind of claim, reproduced, contradicted and undecided; and what cannot be told."""

import numpy as np
import pytest

from sweeper.evidence.claims import COLUMNS, claims_table, together
from sweeper.evidence.findings import Evidence

CURVE = {"step": [1, 2], "train_loss": [2.0, 0.5]}
BASE = [2.0, 2.1, 2.2, 2.3, 2.4]
LOWER = [1.0, 1.12, 1.19, 1.31, 1.38]
SAME = [2.01, 2.09, 2.2, 2.31, 2.39]
HIGHER = [3.0, 3.12, 3.19, 3.31, 3.38]
NOISY = [1.0, 3.0, 2.0, 1.5, 3.5]


def diverged(step: float | None = None) -> dict:
    metrics = {} if step is None else {"diverged_step": step}
    return {"status": "diverged", "metrics": metrics}


def accurate(train: float, loss: float) -> dict:
    return {"metrics": {"train_loss": loss, "train_accuracy": train}}


@pytest.mark.parametrize("kind", ["better", "worse", "no_effect"])
@pytest.mark.parametrize(
    ("arm", "decided"),
    [
        pytest.param(LOWER, "better", id="lower"),
        pytest.param(HIGHER, "worse", id="higher"),
        pytest.param(SAME, "no_effect", id="same"),
        pytest.param(NOISY, None, id="noisy"),
        pytest.param(["diverged"] * 5, "worse", id="all diverged"),
    ],
)
def test_a_comparison_is_contradicted_by_another_decided_verdict(judge, kind, arm, decided) -> None:
    row = judge({"baseline": BASE, "a": arm}, kind=kind, arm="a")
    expected = {None: "undecided", kind: "reproduced"}.get(decided, "contradicted")
    assert row["verdict"] == expected
    assert (row["arm"], row["reference"], row["metric"]) == ("a", "baseline", "train_loss")


@pytest.mark.parametrize(
    ("arm", "verdict"),
    [
        pytest.param(LOWER, "reproduced", id="lower"),
        pytest.param(SAME, "reproduced", id="same"),
        pytest.param(HIGHER, "contradicted", id="higher"),
        pytest.param(NOISY, "undecided", id="noisy"),
        pytest.param([1.0, 1.5, 1.9, 2.2, 2.3], "reproduced", id="surely not worse, size unknown"),
        pytest.param(["diverged"] * 5, "contradicted", id="all diverged"),
    ],
)
def test_no_worse_is_one_sided(judge, arm, verdict) -> None:
    row = judge({"baseline": BASE, "a": arm}, kind="no_worse", arm="a")
    assert row["verdict"] == verdict


def test_of_diverged_runs_only_better_is_no_worse(judge) -> None:
    diverged = ["diverged"] * 5
    row = judge({"baseline": diverged, "a": LOWER}, kind="no_worse", arm="a")
    assert row["verdict"] == "reproduced"


def test_a_comparison_says_what_was_measured(judge) -> None:
    row = judge({"baseline": BASE, "a": LOWER}, kind="better", arm="a", documented=1.1)
    assert row["measured"] == pytest.approx(-1.0)
    assert row["ci_low"] < -1 < row["ci_high"]
    assert (row["n"], row["documented"], row["source"]) == (5, 1.1, "notes")
    assert row["reason"] == ("train_loss 2.2 → 1.2, paired difference −1 [−1.02, −0.98], p < 1e-06")


def test_holm_corrects_over_the_arms_and_what_only_claims_compare(make_study) -> None:
    values = {"baseline": BASE, "a": NOISY, "b": LOWER, "c": SAME}
    claims = [
        {"id": "T1", "statement": "s", "kind": "better", "arm": "b", "reference": "a"},
        {"id": "T2", "statement": "s", "kind": "better", "contrast": {"a": 1, "b": 1, "c": -2}},
        {"id": "T3", "statement": "s", "kind": "worse", "arm": "baseline", "reference": "b"},
        {"id": "T4", "statement": "s", "kind": "worse", "contrast": {"a": 1, "b": -1}},
    ]
    evidence = Evidence(*make_study(values, None, claims))
    family = evidence.families["train_loss"]
    # three arms against the baseline, b against a (T4 is its mirror image), one contrast
    assert (len(family.members), family.size) == (5, 5)
    table = claims_table(evidence).set_index("claim")
    assert "after Holm over 5" in table.loc["T1", "reason"]
    assert table.loc["T3", "measured"] == pytest.approx(1.0)
    assert table.loc["T3", "verdict"] == "reproduced"
    assert table.loc["T4", "measured"] == pytest.approx(-table.loc["T1", "measured"])


def test_a_contrast_is_an_interaction(judge) -> None:
    both = [value - 1.8 for value in LOWER]
    values = {"baseline": BASE, "a": LOWER, "b": LOWER, "both": both}
    weights = {"both": 1, "a": -1, "b": -1, "baseline": 1}
    row = judge(values, kind="better", contrast=weights)
    assert row["verdict"] == "reproduced"
    assert row["measured"] == pytest.approx(-0.8)
    assert row["arm"] == "both: 1, a: -1, b: -1, baseline: 1"
    assert row["reason"].startswith("weighted sum of train_loss, difference −0.8 [")
    row = judge(values | {"both": [*both[:4], "diverged"]}, kind="better", contrast=weights)
    assert row["verdict"] == "undecided"
    assert row["reason"] == "a run diverged, and a contrast of several arms has no rank test"


def test_significant_but_not_surely_large_enough_is_undecided(judge) -> None:
    arm = [b - d for b, d in zip(BASE, [0.05, 0.12, 0.08, 0.13, 0.07], strict=True)]
    row = judge({"baseline": BASE, "a": arm}, kind="better", arm="a")
    assert row["verdict"] == "undecided"
    assert (
        "smaller than ±0.1, but its 90 % interval [−0.122, −0.0577] is not inside" in row["reason"]
    )
    assert row["reason"].endswith("further seeds would decide")


def test_significant_but_surely_small_is_no_effect(judge) -> None:
    arm = [b - d for b, d in zip(BASE, [0.05, 0.06, 0.05, 0.04, 0.05], strict=True)]
    row = judge({"baseline": BASE, "a": arm}, kind="better", arm="a")
    assert row["verdict"] == "contradicted"
    assert "its 90 % interval [−0.0567, −0.0433] lies inside ±0.1" in row["reason"]


def test_a_diverged_arm_is_compared_by_ranks(judge) -> None:
    row = judge({"baseline": BASE, "a": ["diverged"] * 5}, kind="worse", arm="a")
    assert row["verdict"] == "reproduced"
    assert np.isnan(row["measured"])
    assert row["reason"] == (
        "median train_loss 2.2 → inf, 5 of 5 runs at the worst value against 0 of 5, "
        "p = 0.00794 by ranks"
    )


def test_too_few_seeds_for_ranks_are_named(judge) -> None:
    row = judge({"baseline": BASE[:3], "a": ["diverged"] * 3}, kind="worse", arm="a")
    assert row["verdict"] == "undecided"
    assert row["reason"].endswith("p = 0.1 by ranks; ranks decide from 4 seeds on")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param(
            {"baseline": ["diverged"] * 5, "a": ["diverged"] * 5},
            "median train_loss inf → inf, 5 of 5 runs at the worst value against 5 of 5: "
            "no difference can be told",
            id="all diverged in both",
        ),
        pytest.param(
            {"baseline": BASE, "a": ["failed", "failed", "oom", "waiting", "skipped"]},
            "5 of 5 seeds dropped: 2 failed, 1 oom, 1 waiting, 1 skipped",
            id="no pairs",
        ),
        pytest.param(
            {"baseline": [2.0], "a": [1.0]},
            "train_loss 2 → 1, paired difference −1; one seed has no interval: add seeds",
            id="one seed",
        ),
        pytest.param(
            {"baseline": [{"metrics": {"loss": 1}}], "a": [{"metrics": {"loss": 1}}]},
            "no run reports 'train_loss'; reported are loss",
            id="a metric nobody reports",
        ),
        pytest.param({"baseline": [], "a": [1.0]}, "1 of 1 seeds dropped: 1 waiting", id="waiting"),
    ],
)
def test_what_cannot_be_told_is_undecided_and_says_why(judge, values, reason) -> None:
    row = judge(values, kind="better", arm="a")
    assert (row["verdict"], row["reason"]) == ("undecided", reason)


def test_a_failed_run_drops_its_pair_and_is_counted(judge) -> None:
    row = judge({"baseline": BASE, "a": [*LOWER[:4], "crashed"]}, kind="better", arm="a")
    assert (row["verdict"], row["n"]) == ("reproduced", 4)
    assert row["reason"].startswith("train_loss 2.15 → 1.16, ")  # means of the four pairs
    assert row["reason"].endswith("; 1 of 5 seeds dropped: 1 crashed")


def test_a_constant_metric_is_decided_without_a_warning(judge) -> None:
    """Equal differences are held to the p of flipped signs: 2 / 2**7 here."""
    constant = {"baseline": [1.0] * 7, "a": [0.5] * 7, "b": [1.0] * 7}
    assert judge(constant, kind="better", arm="a")["verdict"] == "reproduced"
    fewer = {arm: values[:5] for arm, values in constant.items()}
    assert judge(fewer, kind="better", arm="a")["verdict"] == "undecided"
    assert judge(constant, kind="no_effect", arm="b")["verdict"] == "reproduced"
    row = judge(constant, {"train_loss": {}}, kind="better", arm="b")
    assert row["verdict"] == "undecided"
    assert row["reason"].endswith("p = 1 after Holm over 2; every difference is the same")


def test_on_a_log_scale_a_factor_is_compared(judge) -> None:
    metrics = {"train_loss": {"scale": "log", "smallest_effect": 0.5}}
    arm = [
        value / factor for value, factor in zip(BASE, [999, 1000, 1001, 1000, 1000], strict=True)
    ]
    row = judge({"baseline": BASE, "a": arm}, metrics, kind="better", arm="a")
    assert (row["verdict"], row["measured"]) == ("reproduced", pytest.approx(-3, abs=1e-3))
    assert row["reason"].startswith("train_loss 2.2 → 0.0022, paired log10 difference −3 [")


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"kind": "better", "arm": "ghost"}, "there is no arm 'ghost'"),
        ({"kind": "order", "arms": ["a", "ghost"]}, "there is no arm 'ghost'"),
        ({"kind": "better", "arm": "baseline"}, "'baseline' has no arm to be compared with"),
        ({"kind": "exact", "arm": "baseline"}, "'baseline' has no arm to be compared with"),
        ({"kind": "exact", "check": "nope"}, "no run reports nope"),
    ],
)
def test_a_claim_without_a_subject_is_undecided(judge, claim, reason) -> None:
    row = judge({"baseline": BASE, "a": LOWER}, **claim)
    assert (row["verdict"], row["reason"]) == ("undecided", reason)


@pytest.mark.parametrize(
    ("values", "verdict", "measured"),
    [
        pytest.param([0.1, 0.2, 0.3, 0.4, 0.5], "reproduced", 1.0, id="five of five"),
        pytest.param([0.1, 0.2, 0.3, 0.4], "undecided", 1.0, id="four of four"),
        pytest.param([0.6, 0.7, "diverged", 1.0, 0.9], "contradicted", 0.0, id="none"),
        pytest.param([0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 9.0], "reproduced", 7 / 8, id="7 of 8"),
    ],
)
def test_reaching_a_level_is_decided_on_the_share_of_seeds(
    judge, values, verdict, measured
) -> None:
    row = judge({"a": values}, kind="reaches", arm="a", level=0.5)
    assert (row["verdict"], row["measured"], row["n"]) == (verdict, measured, len(values))
    opposite = {"reproduced": "contradicted", "contradicted": "reproduced"}.get(verdict, verdict)
    negated = judge({"a": values}, kind="reaches", arm="a", level=0.5, negated=True)
    assert (negated["verdict"], negated["measured"]) == (opposite, 1 - measured)


def test_an_event_says_its_bounds_what_dropped_and_what_would_decide(judge) -> None:
    row = judge({"a": [0.1, 0.2, 0.3, "lost"]}, kind="reaches", arm="a", level=0.5)
    assert row["ci_low"] == pytest.approx(0.05 ** (1 / 3))
    assert row["ci_high"] == 1
    assert row["reason"] == (
        "3 of 3 seeds: train_loss ≤ 0.5 (median 0.2); "
        "about 2 further seeds would decide; 1 of 4 seeds dropped: 1 lost"
    )
    accuracy = {"train_accuracy": {}}
    row = judge({"a": [0.9, 0.4]}, accuracy, kind="reaches", arm="a", level=0.5)
    assert row["reason"].startswith("1 of 2 seeds: train_accuracy ≥ 0.5 (median 0.65)")
    row = judge({"a": ["failed", "waiting"]}, kind="reaches", arm="a", level=0.5)
    assert (row["verdict"], row["n"]) == ("undecided", 0)
    assert row["reason"] == "2 of 2 seeds dropped: 1 failed, 1 waiting"


def test_over_several_arms_an_event_holds_in_most_of_them(judge) -> None:
    values = {"a": [0.1] * 5, "b": [0.1, 0.1, 0.1, 0.1, "failed"], "c": [9.0] * 4 + [0.1]}
    row = judge(values, kind="reaches", arms=["a", "b", "c"], level=0.5)
    assert (row["verdict"], row["n"]) == ("reproduced", 5)  # seed 4: a and c suffice
    assert row["reason"].startswith("5 of 5 seeds: train_loss ≤ 0.5 in most of 3 arms")
    row = judge(values, kind="reaches", arms=["b", "c"], level=0.5)
    assert (row["measured"], row["n"]) == (0, 4)  # seed 4 would depend on the failed run
    assert row["reason"].endswith("1 of 5 seeds dropped: 1 failed")


@pytest.mark.parametrize(
    ("values", "within", "verdict"),
    [
        ([diverged()] * 5, None, "reproduced"),
        ([diverged(2)] * 5, 2, "reproduced"),
        ([diverged(3)] * 5, 2, "contradicted"),
        ([1.0] * 5, 2, "contradicted"),
        ([diverged(1), 1.0, 1.0, diverged(1)], 2, "undecided"),
    ],
)
def test_divergence_counts_within_its_steps(judge, values, within, verdict) -> None:
    row = judge({"a": values}, kind="diverges", arm="a", within_steps=within)
    assert row["verdict"] == verdict
    assert row["metric"] == ""


def test_divergence_may_have_to_follow_a_start_that_looked_fine(judge) -> None:
    fine = {**diverged(80), "curve": {"step": [0, 1, 2], "train_loss": [2.3, 0.4, None]}}
    never = {**diverged(3), "curve": {"step": [0], "train_loss": [2.3]}}
    claim = {"kind": "diverges", "arm": "a", "after_level": 1.0}
    row = judge({"a": [fine] * 5}, **claim)
    assert row["verdict"] == "reproduced"
    assert row["reason"] == "5 of 5 seeds: diverged after a train_loss of 1 was reached"
    assert judge({"a": [never] * 5}, **claim)["verdict"] == "contradicted"


def test_divergence_at_an_unknown_step_is_not_guessed(judge) -> None:
    row = judge({"a": [diverged()] * 2}, kind="diverges", arm="a", within_steps=2)
    assert row["reason"] == "2 of 2 seeds dropped: 2 without a diverged_step"


@pytest.mark.parametrize(
    ("run", "verdict"),
    [(accurate(0.2, 0.01), "reproduced"), (accurate(1.0, 0.01), "contradicted")],
)
def test_a_diagnosis_is_counted_like_an_event(judge, run, verdict) -> None:
    row = judge({"a": [run] * 5}, kind="diagnosed", arm="a", diagnosis="R7")
    assert row["verdict"] == verdict
    assert row["reason"].endswith("of 5 seeds: diagnosed as R7")


@pytest.mark.parametrize(
    ("arms", "verdict"),
    [
        pytest.param(["a", "baseline", "c"], "reproduced", id="as stated"),
        pytest.param(["baseline", "a", "c"], "contradicted", id="two swapped"),
        pytest.param(["a", "baseline", "d"], "contradicted", id="neighbours alike"),
        pytest.param(["a", "baseline", "b"], "undecided", id="one noisy"),
    ],
)
def test_an_order_needs_every_neighbour(judge, arms, verdict) -> None:
    values = {"baseline": BASE, "a": LOWER, "b": NOISY, "c": HIGHER, "d": SAME}
    row = judge(values, kind="order", arms=arms)
    assert (row["verdict"], row["n"], row["arm"]) == (verdict, 5, ", ".join(arms))


def test_an_order_words_each_pair(judge) -> None:
    row = judge({"baseline": BASE, "a": LOWER}, kind="order", arms=["a", "baseline"])
    assert row["reason"] == (
        "a is better than baseline "
        "(train_loss 2.2 → 1.2, paired difference −1 [−1.02, −0.98], p < 1e-06)"
    )


@pytest.mark.parametrize(
    ("arm", "verdict", "measured", "reason"),
    [
        pytest.param(BASE, "reproduced", 0.0, "equal to the last bit at 5 of 5 seeds", id="equal"),
        pytest.param(
            [2.0, 2.1, 2.2 + 4.5e-16, 2.3, 2.5], "contradicted", pytest.approx(0.1),
            "seed 2: 2.2000000000000006 against 2.2", id="a bit differs",
        ),
        pytest.param(
            [2.0, "failed"], "reproduced", 0.0,
            "equal to the last bit at 1 of 1 seeds; 4 of 5 seeds dropped: 1 failed, 3 waiting",
            id="where both ran",
        ),
        pytest.param(["oom"] * 5, "undecided", np.nan, "5 of 5 seeds dropped: 5 oom", id="none"),
        pytest.param(
            ["diverged", *BASE[1:]], "contradicted", np.inf, "seed 0: inf against 2.0", id="one NaN"
        ),
    ],
)  # fmt: skip
def test_an_equality_is_to_the_last_bit(judge, arm, verdict, measured, reason) -> None:
    row = judge({"baseline": BASE, "a": arm}, kind="exact", arm="a")
    assert (row["verdict"], row["reason"]) == (verdict, reason)
    assert row["measured"] == pytest.approx(measured, nan_ok=True)


def test_two_diverged_runs_are_not_equal_numbers(judge) -> None:
    both = {"baseline": ["diverged"], "a": ["diverged"]}
    row = judge(both, kind="exact", arm="a")
    assert (row["verdict"], row["reason"]) == (
        "undecided", "1 of 1 seeds dropped: 1 diverged in both",
    )  # fmt: skip


HELD = {"metrics": {"counts": 1.0, "counts_difference": 1e-9}}
FAILED = {"metrics": {"counts": 0.0, "counts_difference": 0.25}}
SILENT = {"metrics": {"train_loss": 1.0}}


@pytest.mark.parametrize(
    ("arms", "verdict", "reason", "measured", "n"),
    [
        pytest.param(
            {"a": [HELD] * 3}, "reproduced", "holds in 3 of 3 runs", 1e-9, 3, id="everywhere"
        ),
        pytest.param(
            {"a": [HELD, FAILED, FAILED]}, "contradicted",
            "seed 1: counts is 0, not 1 (difference 0.25); holds in 1 of 3 runs", 0.25, 3,
            id="not at a seed",
        ),
        pytest.param(
            {"a": [{"metrics": {"counts": 0.5}}]}, "contradicted",
            "seed 0: counts is 0.5, not 1; holds in 0 of 1 runs", np.nan, 1, id="half",
        ),
        pytest.param(
            {"a": [SILENT] * 2, "b": [HELD, "failed"]}, "reproduced",
            "holds in 1 of 1 runs; 1 of 2 seeds dropped: 1 failed", 1e-9, 1, id="by one arm",
        ),
        pytest.param(
            {"a": [HELD, SILENT]}, "reproduced",
            "holds in 1 of 1 runs; 1 of 2 seeds dropped: 1 without counts", 1e-9, 1,
            id="not reported at a seed",
        ),
        pytest.param(
            {"a": [HELD], "b": [FAILED]}, "contradicted",
            "arm 'b', seed 0: counts is 0, not 1 (difference 0.25); holds in 1 of 2 runs", 0.25, 2,
            id="by two arms",
        ),
        pytest.param({"a": [SILENT]}, "undecided", "no run reports counts", np.nan, 0, id="none"),
        pytest.param(
            {"a": ["crashed", {**HELD, "status": "failed"}]}, "undecided",
            "no run reports counts; 2 of 2 seeds dropped: 1 crashed, 1 failed", np.nan, 0,
            id="none came to an end",
        ),
    ],
)  # fmt: skip
def test_a_named_check_holds_where_every_run_that_reports_it_says_so(
    judge, arms, verdict, reason, measured, n
) -> None:
    row = judge(arms, kind="exact", check="counts")
    assert (row["verdict"], row["reason"], row["n"], row["metric"]) == (
        verdict, reason, n, "counts",
    )  # fmt: skip
    assert row["measured"] == pytest.approx(measured, nan_ok=True)


def test_a_claim_in_parts_has_a_row_per_letter_and_one_for_itself(make_study) -> None:
    part = {"statement": "s", "arm": "a", "kind": "better"}
    claim = {"id": "T2", "statement": "whole", "parts": {"a": part, "b": {**part, "kind": "worse"}}}
    plan, runs = make_study({"baseline": BASE, "a": LOWER}, None, [claim])
    table = claims_table(Evidence(plan, runs))
    assert table["claim"].tolist() == ["T2a", "T2b", "T2"]
    assert table["verdict"].tolist() == ["reproduced", "contradicted", "contradicted"]
    assert table["statement"].tolist() == ["s", "s", "whole"]
    assert table["reason"].iloc[-1] == "a reproduced, b contradicted"


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "undecided"], "undecided"),
        (["undecided", "contradicted"], "contradicted"),
    ],
)
def test_the_whole_follows_from_its_parts(verdicts, whole) -> None:
    assert together(verdicts) == whole


def test_the_columns_are_those_that_users_script_against(make_study) -> None:
    expected = (
        "claim recipe source statement arm reference metric documented measured "
        "ci_low ci_high n verdict reason"
    )
    assert " ".join(COLUMNS) == expected
    empty = claims_table(Evidence(*make_study({"baseline": BASE})))
    assert " ".join(empty.columns) == expected
