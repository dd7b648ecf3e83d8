"""The loss-trend rules and the health record, on the numbers of one run."""

# ruff: noqa: E501 - a case of a table is a line

import math
import random
from pathlib import Path

import pytest

from sweeper.evidence.advice import ADVICE
from sweeper.evidence.diagnosis import NAMES, NO_FAULT, RULES, diagnose, names
from sweeper.evidence.reading import least_accuracy
from sweeper.evidence.runs import Run


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        pytest.param({"train_loss": 0.02, "train_accuracy": 0.1}, "R7", id="small loss, all wrong"),
        pytest.param(
            {"train_loss": 2.0, "running_loss": 0.02, "train_accuracy": 0.1}, "R7",
            id="the running loss knows",
        ),
        pytest.param({"train_loss": 0.02, "train_accuracy": 1.0}, "", id="healthy"),
        pytest.param({"train_loss": 0.6, "train_accuracy": 0.5}, "", id="what the loss allows"),
        pytest.param({"train_loss": 2.3, "train_accuracy": 0.1}, "", id="not learnt yet"),
        pytest.param({"train_accuracy": 0.1}, "", id="no loss"),
        pytest.param({"train_loss": 0.02}, "", id="no accuracy"),
        pytest.param({"train_loss": -1.0, "train_accuracy": 0.1}, "", id="no cross-entropy"),
        pytest.param({"train_loss": 0.02, "train_accuracy": 97.0}, "", id="a percentage"),
        pytest.param(
            {"train_loss": 0.01, "train_accuracy": 0.95, "val_accuracy": 0.85}, "R7_overfitting",
            id="a tenth lower on validation",
        ),
        pytest.param({"train_accuracy": 0.95, "val_accuracy": 0.86}, "", id="less than a tenth"),
        pytest.param({"train_accuracy": 0.94, "val_accuracy": 0.1}, "", id="not yet high"),
    ],
)  # fmt: skip
def test_r7_by_its_numbers(metrics: dict[str, float], expected: str) -> None:
    run = Run("a", 0, "report", "t", "done", metrics=metrics, loss="cross_entropy")
    assert diagnose(run) == expected


@pytest.mark.parametrize("loss", ["mse", "mae", ""])
def test_r7_speaks_of_cross_entropies_alone(loss: str) -> None:
    started = {"train_loss": 0.09, "train_accuracy": 0.1}  # where ten classes start under mse
    assert diagnose(Run("a", 0, "report", "t", "done", metrics=started, loss=loss)) == ""


def test_a_status_is_a_diagnosis_only_if_it_is_a_result() -> None:
    impossible = {"train_loss": 0.02, "train_accuracy": 0.1}
    said = {"metrics": impossible, "loss": "cross_entropy"}
    assert diagnose(Run("a", 0, "report", "t", "diverged")) == "diverged"
    assert diagnose(Run("a", 0, "report", "t", "diverged", **said)) == "diverged;R7"
    assert diagnose(Run("a", 0, "report", "t", "failed", **said)) == ""


def test_the_bound_is_sharp() -> None:
    # every sample misclassified as closely as can be: probability 1/2 for the true class
    assert least_accuracy(math.log(2)) == pytest.approx(0)
    assert least_accuracy(0.0) == 1


STEPS = [float(step) for step in range(11)]
FALLING = [2.3 * 0.75**step for step in STEPS]
STILL = [2.3] * 11


def watched(loss: str = "cross_entropy", status: str = "done", **curves: list[float]) -> Run:
    """A run that reported these curves at eleven epochs, and their last values."""
    last = {name: values[-1] for name, values in curves.items()}
    curve = {"step": STEPS, **curves}
    return Run("a", 0, "report", "t", status, metrics=last, curve=curve, loss=loss)


def named(train: list[float], val: list[float], **more: list[float]) -> set[str]:
    return names(watched(train_loss=train, val_loss=val, **more))


def jagged(level: float, by: float) -> list[float]:
    return [level + by * (-1) ** i for i in range(11)]


def line(start: float, end: float) -> list[float]:
    return [start + (end - start) * step / 10 for step in STEPS]


HIGH, LOW = [0.97] * 11, [0.3] * 11


@pytest.mark.parametrize(
    ("train", "val", "more", "told", "untold"),
    [
        pytest.param(FALLING, FALLING, {}, {"R1"}, {"R9", "lr_too_small"}, id="both fall"),
        pytest.param(line(2.3, 0.3), [2.3, 1.5, *[1.2] * 9], {}, {"R2", "R6"}, {"R1"}, id="train alone"),
        pytest.param(line(2.3, 0.6), [2.3, 0.8, *[0.2] * 9], {}, set(), {"R2"}, id="nothing left to lose"),
        pytest.param(line(2.3, 0.3), [2.3, 1.5, *line(1.2, 1.6)[2:]], {}, {"R2"}, {"R1"}, id="validation rises"),
        pytest.param(line(2.3, 2.04), line(2.3, 2.13), {}, set(), {"R1", "R2"}, id="hardly apart"),
        pytest.param(line(2.3, 2.2), line(2.3, 1.0), {}, {"R3"}, {"R4"}, id="validation alone"),
        pytest.param([2.3, 2.2, *[2.1] * 9], [2.3, 1.2, *[0.8] * 9], {"running_loss": [2.3, 2.2, *[2.1] * 9]}, {"R3", "R4"}, set(), id="alone at first"),
        pytest.param([0.1] * 11, line(0.4, 0.2), {"train_accuracy": HIGH}, set(), {"R3"}, id="validation catches up"),
        pytest.param(STILL, STILL, {}, {"R4", "R9"}, {"plateau", "lr_too_small"}, id="never moved"),
        pytest.param(STILL, STILL, {"train_accuracy": HIGH}, set(), {"R4", "R9"}, id="flat, but learnt"),
        pytest.param([2.3, *[1.9] * 10], [2.3, *[1.9] * 10], {}, {"R4", "plateau"}, set(), id="stopped early"),
        pytest.param(line(2.3, 4), line(2.3, 5), {}, {"R5", "lr_too_large"}, {"R4"}, id="both rise"),
        pytest.param([0.8] * 11, [2.0] * 11, {}, {"R6"}, set(), id="the document's far below"),
        pytest.param([*FALLING[:9], 0.064, 0.064], [*FALLING[:9], 0.13, 0.13], {}, set(), {"R6"}, id="twice, of little"),
        pytest.param(line(2.3, 1.7), line(2.3, 2.9), {"train_accuracy": LOW}, {"R7"}, {"R9"}, id="learns what is not true"),
        pytest.param(line(2.3, 1.7), line(2.3, 1.8), {"train_accuracy": LOW}, {"R9"}, {"R7"}, id="only slow"),
        pytest.param(FALLING, [v / 256 for v in FALLING], {}, {"R8"}, set(), id="divided once more"),
        pytest.param(FALLING, [v * 0.6 for v in FALLING], {}, set(), {"R8"}, id="dropout"),
        pytest.param(line(2.3, 0.05), [2.3, 1.5, 0.9, 0.7, *line(0.7, 1.2)[4:]], {"train_accuracy": HIGH}, {"R10"}, set(), id="left behind"),
        pytest.param(line(2.3, 0.05), [2.3, 1.5, 0.9, 0.7, *line(0.7, 1.2)[4:]], {"train_accuracy": LOW}, set(), {"R10"}, id="but low accuracy"),
        pytest.param(jagged(1.5, 0.4), STILL, {}, {"oscillation", "lr_too_large"}, {"R4"}, id="to and fro"),
        pytest.param([2.3, 9.0, *STILL[2:]], STILL, {}, {"lr_too_large"}, {"oscillation"}, id="thrown out once"),
        pytest.param(line(2.3, 2.25), line(2.3, 2.26), {"train_accuracy": LOW}, {"lr_too_small", "R4"}, {"plateau"}, id="creeps"),
    ],
)  # fmt: skip
def test_curves_by_their_names(
    train: list[float], val: list[float], more: dict[str, list[float]], told: set[str],
    untold: set[str],
) -> None:  # fmt: skip
    found = named(train, val, **more)
    assert told <= found
    assert not untold & found


HEALTH = {
    "a hundredth reaches the first layer": ({"grad_norm_first": [1e-4] * 11, "grad_norm_last": [0.5] * 11}, "vanishing_gradients"),
    "no signal reaches the last": ({"grad_norm_first": [1e-3] * 11, "grad_norm_last": [1e-3] * 11}, "vanishing_gradients"),
    "a huge gradient": ({"grad_norm_first": [900.0] * 11, "grad_norm_last": [1.0] * 11}, "exploding_gradients"),
    "half of the units": ({"dead_units": [0.5] * 11}, "dead_units"),
    "one layer of four": ({"dead_units": [0.25] * 11, "dead_layer": [1.0] * 11}, "dead_units"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "name"), HEALTH.values(), ids=HEALTH)
def test_the_health_record_tells_bottlenecks_apart(
    record: dict[str, list[float]], name: str
) -> None:
    health = {n for _, n in HEALTH.values()}
    assert named(STILL, STILL, **record) & health == {name}
    learnt = named(FALLING, FALLING, train_accuracy=HIGH, **record)
    assert learnt & (health - {"dead_units"}) == set()  # what learns well has no bottleneck


def test_a_gradient_that_is_cut_has_not_vanished() -> None:
    cut = {"grad_norm_first": [0.0] * 11, "grad_norm_last": [0.5] * 11}
    assert "vanishing_gradients" not in named(STILL, STILL, **cut)


def test_outputs_that_explode_are_told_from_a_step_that_is_too_large() -> None:
    def gone(first: float, loss: str, step: float) -> set[str]:
        metrics = {"train_loss": math.nan, "diverged_step": step}
        curve = {"step": [0.0], "train_loss": [first], "val_loss": [first]}
        return names(
            Run("a", 0, "report", "t", "diverged", metrics=metrics, curve=curve, loss=loss)
        )

    exploded, stepped = {"diverged", "exploding_gradients"}, {"diverged", "lr_too_large"}
    assert gone(9000.0, "cross_entropy", 40) == exploded
    assert gone(2.3, "cross_entropy", 3) == stepped
    assert gone(5e6, "mse", 3) == exploded  # the unit of a square is unknown; how soon is not
    assert gone(29000.0, "mse", 60) == stepped


def test_the_column_leaves_out_what_is_no_fault() -> None:
    run = watched(train_loss=FALLING, val_loss=FALLING)
    assert names(run) == {"R1"}
    assert diagnose(run) == ""


def test_what_a_training_loop_prints_counts_for_the_trends() -> None:
    printed = {"running_loss": line(2.3, 2.25)}  # dropout: the net itself is far better
    assert "R1" in named(line(2.3, 0.5), line(2.3, 1.0))
    told = named(line(2.3, 0.5), line(2.3, 1.0), **printed)
    assert not {"R1", "R3"} & told  # and the data are not at fault


def test_a_loss_read_in_evaluation_mode_may_jump_while_training_goes_on() -> None:
    jumps = [2.3, 1.5, 2.0, 0.9, 1.5, 0.5, 1.1, 0.3, 0.9, 0.2, 0.7]  # batch norm, after few steps
    printed = [2.3, 1.5, 1.0, 0.7, 0.5, 0.35, 0.28, 0.2, 0.15, 0.1, 0.06]
    smooth = {"running_loss": printed, "train_accuracy": [*[0.95, 0.5] * 5, 0.95]}
    swings = {"oscillation", "lr_too_large"}
    assert swings <= named(jumps, jumps)
    told = named(jumps, jumps, **smooth)
    assert not (swings | {"R9", "R7"}) & told
    assert swings <= named(jumps, jumps, running_loss=jagged(1.5, 0.4))
    assert swings <= named(jumps, jumps, running_loss=STILL)


def test_a_step_too_large_kills_units_that_were_alive_before_it() -> None:
    dying = named(STILL, STILL, dead_units=[0.0, *[0.5] * 10])
    assert {"dead_units", "lr_too_large"} <= dying
    assert "lr_too_large" not in named(STILL, STILL, dead_units=[0.5] * 11)
    assert "lr_too_large" not in named(FALLING, FALLING, dead_units=[0.0, *[0.5] * 10])


def test_an_accuracy_is_wrong_where_it_is_so_at_most_of_the_last_readings() -> None:
    low = {"train_accuracy": [0.3] * 11}
    once, twice = ({"train_accuracy": [0.97] * n + [0.3] * (11 - n)} for n in (10, 9))
    learnt = [2.3, *[0.1] * 10]
    assert "R7" in named(learnt, learnt, **low)
    assert "R7" in named(learnt, learnt, **twice)
    assert "R7" not in named(learnt, learnt, **once)
    recovered = {"train_accuracy": [*[0.97] * 8, 0.3, 0.3, 0.97]}
    assert "R7" not in named(learnt, learnt, **recovered)


def test_a_net_that_has_come_to_learn_is_not_poor() -> None:
    climbing = {"train_accuracy": [0.1] * 8 + [0.62, 0.78, 0.9]}
    assert "R9" not in named(line(2.3, 1.6), line(2.3, 1.6), **climbing)


def test_dropout_alone_does_not_put_the_data_at_fault() -> None:
    # of the curves of a file: the training loss may be the one that training prints
    curves = line(2.3, 1.95), line(2.3, 1.2)
    low = {"train_accuracy": [0.35] * 11}
    assert "R3" not in named(*curves, **low)
    assert "R3" in named(*curves, running_loss=line(2.3, 1.95), **low)


def test_too_few_readings_say_little() -> None:
    curve = {"step": [0.0, 1.0], "train_loss": [2.3, 2.3], "val_loss": [2.3, 2.3]}
    assert names(Run("a", 0, "report", "t", "done", curve=curve, loss="cross_entropy")) == set()


def test_every_name_has_a_rule_advice_a_recipe_and_a_place_in_the_docs() -> None:
    assert set(NAMES) == set(RULES) == set(ADVICE)
    root = Path(__file__).parents[2]
    page = (root / "docs" / "diagnosis.md").read_text(encoding="utf-8")
    measured = page.partition("<!-- measured: begin -->")[2]
    for name in NAMES:
        assert f"| `{name}` |" in page, name
        assert (root / "recipes" / f"{ADVICE[name].recipe}.yaml").is_file(), name
        assert name in NO_FAULT or f"| `{name}` |" in measured, name


def test_a_loss_that_begins_below_zero_is_not_thrown_out_nor_left_behind() -> None:
    # a negative log-likelihood: shares of its start would have their sign turned round
    falling, left = line(-1, -3), [*line(-1, -2)[:4], *[-2.0] * 7]
    assert named(falling, falling) == set()
    assert named(falling, left, train_accuracy=HIGH) == set()


def test_whatever_was_reported_a_diagnosis_is_told() -> None:
    draws = random.Random(1)
    odd = [0.0, 1.0, -1.0, 2.3, 1e308, -1e308, 1e-320, math.nan, math.inf, -math.inf, None]
    reported = [
        "train_loss", "val_loss", "running_loss", "train_accuracy", "val_accuracy",
        "grad_norm_first", "grad_norm_last", "dead_units", "dead_layer", "diverged_step",
    ]  # fmt: skip
    for _ in range(2000):
        n = draws.choice([0, 1, 2, 4, 7, 40])
        steps = [float(i) for i in range(n)]
        if draws.random() < 0.2:
            steps[: n // 2] = steps[n - n // 2 :]  # one step twice
        curve = {
            name: [draws.choice(odd) if draws.random() < 0.5 else draws.random() for _ in steps]
            for name in reported
            if draws.random() < 0.7
        }
        metrics = {name: draws.choice(odd[:-1]) for name in reported if draws.random() < 0.5}
        loss, status = (
            draws.choice(["cross_entropy", "mse", ""]),
            draws.choice(["done", "diverged"]),
        )
        run = Run(
            "a",
            0,
            "report",
            "t",
            status,
            metrics=metrics,
            curve={"step": steps, **curve},
            loss=loss,
        )
        assert names(run) <= set(NAMES)
