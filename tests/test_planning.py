"""Plans: arms with their differences, trials by name, variants, and a mark for each search."""

# ruff: noqa: E501 - a case of a table is a line

from collections.abc import Callable
from typing import Any

import pytest

from sweeper import folders
from sweeper.compose import Composer
from sweeper.errors import RequestError
from sweeper.overrides import parse_overrides
from sweeper.plan import Plan
from sweeper.planning import Request, make_request, with_winner
from sweeper.recipe_file import read_recipe

LEAST: dict[str, Any] = {
    "question": "?",
    "seeds": 2,
    "metrics": {"val_loss": {"smallest_effect": 0.1}},
}
LARGER = {"name": "larger", "set": {"optim.lr": 0.5}}


@pytest.fixture(scope="module")
def request_of() -> Callable[..., Request]:
    """request_of(*overrides, **keys of the recipe)."""
    composer = Composer(folders.search("conf", []))

    def make(*overrides: str, as_name: str | None = None, **keys: Any) -> Request:
        recipe = read_recipe({**LEAST, **keys}, where="test")
        return make_request("study", recipe, composer, parse_overrides(overrides), as_name)

    return make


def test_a_plan_has_a_cell_for_each_arm_and_seed_and_a_trial_for_each_cell(
    request_of: Callable[..., Request],
) -> None:
    request = request_of(arms=[LARGER])
    assert [(c.arm, c.seed, c.phase) for c in request.plan.cells] == [
        ("baseline", 0, "report"), ("baseline", 1, "report"),
        ("larger", 0, "report"), ("larger", 1, "report"),
    ]  # fmt: skip
    assert [c.trial_id for c in request.plan.cells] == list(request.trials)
    trial = request.trials[request.plan.cells[3].trial_id]
    assert (trial.seed, trial.config["optim"]["lr"]) == (1, 0.5)
    assert trial.config.keys().isdisjoint({"executor", "search"})


def test_an_arm_shows_every_difference_from_the_arm_it_is_compared_with(
    request_of: Callable[..., Request],
) -> None:
    steps = [LARGER, {"name": "adam", "set": {"optim": "adam", "optim.lr": 0.5}}]
    base, larger, adam = request_of(sequence=steps).plan.arms
    assert (base.compared_with, base.difference) == (None, {})
    assert larger.difference == {"optim.lr": (0.01, 0.5)}
    assert adam.compared_with == "larger"
    assert adam.difference["optim.name"] == ("momentum", "adam")
    assert adam.difference["optim.momentum"] == (0.9, None)
    assert "optim.lr" not in adam.difference


def test_axes_are_named_as_in_the_recipe(request_of: Callable[..., Request]) -> None:
    arms = [LARGER, {"name": "adam", "set": {"optim": "adam"}}]
    assert [dict(arm.axes) for arm in request_of(arms=arms).plan.arms] == [
        {"optim.lr": 0.01, "optim": "momentum"},
        {"optim.lr": 0.5, "optim": "momentum"},
        {"optim.lr": 0.001, "optim": "adam"},
    ]


def test_an_arms_choice_leaves_behind_what_only_the_old_choice_had(
    request_of: Callable[..., Request],
) -> None:
    arms = [{"name": "sgd", "set": {"optim": "sgd"}}]
    request = request_of(baseline={"optim.momentum": 0.5, "optim.lr": 0.25}, arms=arms)
    trial = request.trials[request.plan.cells[-1].trial_id]
    assert trial.config["optim"] == {"name": "sgd", "lr": 0.25, "weight_decay": 0.0}


def test_an_override_changes_the_baseline_and_with_it_every_arm(
    request_of: Callable[..., Request],
) -> None:
    request = request_of("optim.weight_decay=0.5", arms=[LARGER])
    decays = {trial.config["optim"]["weight_decay"] for trial in request.trials.values()}
    assert decays == {0.5}


@pytest.mark.parametrize(
    "overrides, is_variant",
    [
        ((), False),
        (("seeds=5",), False),
        (("executor.slots=1", "executor.timeout_s=9"), False),
        (("search.seed=3",), True),
        (("optim.weight_decay=0.5",), True),
        (("data=captcha", "seeds=3"), True),
    ],
)
def test_only_what_changes_the_question_makes_a_variant(
    request_of: Callable[..., Request], overrides: tuple[str, ...], is_variant: bool
) -> None:
    plan = request_of(*overrides, arms=[LARGER]).plan
    assert plan.is_variant == is_variant
    assert (plan.name == "study") != is_variant


def test_a_variant_is_named_by_its_overrides_in_any_order(
    request_of: Callable[..., Request],
) -> None:
    one, other = "optim.weight_decay=0.5", "train.epochs=3"
    names = {request_of(*o).plan.name for o in ((one, other), (other, one), (one,), (other,))}
    assert len(names) == 3
    assert all(len(name) == len("study+123456") for name in names)
    assert request_of(one, as_name="mine").plan.name == "mine"


def test_seeds_may_be_given_on_the_command_line(request_of: Callable[..., Request]) -> None:
    plan = request_of("seeds=[7,9]").plan
    assert [cell.seed for cell in plan.cells] == [7, 9]
    assert plan.read_recipe().seeds == [7, 9]


def test_a_plan_is_read_back_from_json_as_it_was(request_of: Callable[..., Request]) -> None:
    plan = request_of("optim.weight_decay=0.5", arms=[LARGER]).plan
    again = Plan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert (again.name, again.cells, again.overrides) == (plan.name, plan.cells, plan.overrides)


SEARCH = {"axes": {"optim.momentum": {"low": 0.1, "high": 0.9}}, "trials": 3}


def test_the_cells_of_a_searched_arm_are_known_once_it_has_a_winner(
    request_of: Callable[..., Request],
) -> None:
    request = request_of(arms=[LARGER], search={**SEARCH, "arms": ["larger"]})
    assert [s.arm for s in request.searches] == ["larger"]
    assert {c.arm for c in request.plan.cells} == {"baseline"}
    won = {**request.searches[0].config}
    won["optim"] = {**won["optim"], "momentum": 0.25}
    found = with_winner(request, "larger", won, {"optim.momentum": 0.25})
    assert [(c.arm, c.seed) for c in found.plan.cells[2:]] == [("larger", 0), ("larger", 1)]
    assert found.plan.arms[1].axes["optim.momentum"] == 0.25
    assert len(found.trials) == 4


@pytest.mark.parametrize(
    "keys, overrides, message",
    [
        pytest.param({"arms": [{"name": "a", "set": {"optim.lr": 0.01}}]}, (), "recipe study: arm 'a' changes nothing of 'baseline', with which it is compared: {'optim.lr': 0.01} are its values already.", id="no-change"),
        pytest.param({"arms": [{"name": "a", "set": {}}]}, (), "arm 'a' changes nothing of 'baseline'", id="empty"),
        pytest.param({"sequence": [LARGER, {"name": "back", "set": {"optim.lr": 0.01}}]}, (), "arm 'back' equals the baseline: leave it out, or change it.", id="back-again"),
        pytest.param({"arms": [LARGER, {"name": "b", "set": {"optim.lr": "x"}}]}, (), "recipe study: arm 'b': optim.lr: 'x' is not a number above zero", id="last-arm"),
        pytest.param({"search": {"axes": {"optim.lr": {"low": 0.1, "high": 1}}}, "arms": [LARGER]}, (), "search.axes: 'optim.lr' is set by the arm 'larger' itself", id="own-axis"),
        pytest.param({"search": {"axes": {"optim": {"choices": ["adam", "sdg"]}}}}, (), "search.axes, arm 'baseline': optim: there is no choice 'sdg'. Did you mean 'sgd'", id="searched-choice"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused_naming_the_arm(
    request_of: Callable[..., Request],
    keys: dict[str, Any],
    overrides: tuple[str, ...],
    message: str,
) -> None:
    with pytest.raises(RequestError) as refused:
        request_of(*overrides, **keys)
    assert message in str(refused.value)


def test_a_model_of_the_users_replaces_the_recipes_own_keys(
    request_of: Callable[..., Request],
) -> None:
    request = request_of("model._target_=own.net", "model.width=3", baseline={"model.depth": 3})
    (config,) = {str(t.config["model"]) for t in request.trials.values()}
    assert config == "{'_target_': 'own.net', 'width': 3}"


MOMENTUM = {"optim": "momentum", "optim.momentum": 0.5}


def test_a_choice_of_the_command_line_leaves_behind_what_only_the_old_choice_had(
    request_of: Callable[..., Request],
) -> None:
    request = request_of("optim=adam", baseline=MOMENTUM, arms=[LARGER])
    optim = next(iter(request.trials.values())).config["optim"]
    assert optim["name"] == "adam" and "momentum" not in optim


def test_a_searched_arm_may_choose_anew_in_a_group(request_of: Callable[..., Request]) -> None:
    search = {"axes": {"optim.lr": {"low": 0.001, "high": 0.1}}, "arms": ["adam"]}
    arms = [{"name": "adam", "set": {"optim": "adam"}}]
    request = request_of(baseline=MOMENTUM, arms=arms, search=search)
    assert request.searches[0].values == {"optim": "adam"}


def test_a_model_and_data_of_ones_own_leave_none_of_the_recipes_behind(
    request_of: Callable[..., Request],
) -> None:
    own = {"model": "cnn", "model.depth": 6, "data": "captcha", "data.train_samples": 1800}
    baseline = {**own, "data.scaling": "unit"}
    request = request_of(
        "model._target_=mine.Net", "data._target_=mine.load", baseline=baseline, arms=[]
    )
    config = next(iter(request.trials.values())).config
    assert config["model"] == {"_target_": "mine.Net"}
    assert config["data"]["scaling"] == "unit"  # how any data is prepared stays
    arms = [{"name": "pretrained", "set": {"train.pretrain_epochs": 2}}]
    dropped = {**baseline, "data": "digits", "data.drop_classes": ["0", "1"]}
    planned = request_of("data._target_=mine.load", baseline=dropped, arms=arms)
    assert "pretrained" in {cell.arm for cell in planned.plan.cells}  # and is skipped, it may be
    assert config["data"]["train_samples"] is None  # how many of its own the recipe took goes


def test_a_cell_of_a_grid_that_is_the_baseline_is_left_to_it(
    request_of: Callable[..., Request],
) -> None:
    grid = {"optim.lr": [0.01, 0.1], "model.norm": ["none", "batch"]}
    request = request_of(grid=grid, arms=[])
    assert [arm.name for arm in request.plan.arms] == [
        "baseline",
        "optim.lr=0.01,model.norm=batch",
        "optim.lr=0.1,model.norm=none",
        "optim.lr=0.1,model.norm=batch",
    ]


def test_one_variant_whether_its_value_is_written_1_or_1_0(
    request_of: Callable[..., Request],
) -> None:
    names = {request_of(f"optim.lr={one}", arms=[LARGER]).plan.name for one in ("1", "1.0")}
    assert len(names) == 1


def test_a_metric_along_an_axis_that_no_arm_changes_is_refused(
    request_of: Callable[..., Request],
) -> None:
    metrics = {"val_loss": {}, "best_of(optim.l, val_loss)": {"goal": "up"}}
    with pytest.raises(
        RequestError, match=r"no arms differ in 'optim\.l'\. Did you mean 'optim\.lr'"
    ):
        request_of(arms=[LARGER], metrics=metrics)


def names_of(request: Request) -> list[str]:
    return [arm.name for arm in request.plan.arms[1:]]


SCHEDULES = {"schedule": ["constant", "step"], "schedule.factor": [0.1, 0.5]}


def test_a_schedules_own_axes_exist_under_that_schedule_alone(
    request_of: Callable[..., Request],
) -> None:
    request = request_of(grid={**SCHEDULES, "optim.lr": [0.01, 0.1]})
    assert names_of(request) == [
        "schedule=constant,optim.lr=0.1",  # with 0.01 it is the baseline
        *(f"schedule=step,schedule.factor={f},optim.lr={lr}" for f in (0.1, 0.5) for lr in (0.01, 0.1)),
    ]  # fmt: skip
    constant, step = request.plan.arms[1], request.plan.arms[2]
    assert constant.difference == {"optim.lr": (0.01, 0.1)}
    assert step.difference["schedule.factor"] == (None, 0.1)
    assert (constant.axes["schedule.factor"], step.axes["schedule.factor"]) == (None, 0.1)


def test_an_axis_exists_as_the_command_line_has_it(request_of: Callable[..., Request]) -> None:
    grid = {"schedule": ["constant", "step"], "schedule.every_epochs": [2, 3]}
    request = request_of("schedule=cosine", grid=grid)
    assert names_of(request) == [
        "schedule=constant", "schedule=step,schedule.every_epochs=2", "schedule=step,schedule.every_epochs=3",
    ]  # fmt: skip


def test_every_axis_exists_under_a_target_of_the_users(request_of: Callable[..., Request]) -> None:
    baseline = {"task._target_": "own.train", "task.depth": 1}
    request = request_of(baseline=baseline, grid={"task.depth": [1, 2], "task.width": [8]})
    assert names_of(request) == ["task.depth=1,task.width=8", "task.depth=2,task.width=8"]


LINKED = "optim.lr, train.batch_size"


@pytest.mark.parametrize(
    "keys, names",
    [
        pytest.param({"grid": [{"optim.lr": [0.1], "model.activation": ["relu", "tanh"]}, {"model.activation": ["tanh", "gelu"], "optim.lr": [0.1]}]}, ["optim.lr=0.1,model.activation=relu", "optim.lr=0.1,model.activation=tanh", "model.activation=gelu,optim.lr=0.1"], id="union"),
        pytest.param({"grid": [{"optim.lr": [0.1, 0.2]}, {"optim.lr": [0.01, 0.1], "model.norm": ["none"]}]}, ["optim.lr=0.1", "optim.lr=0.2"], id="union-of-unlike-axes"),
        pytest.param({"grid": {"optim.lr": [1, 1.0]}}, ["optim.lr=1"], id="one-number-written-twice"),
        pytest.param({"one_at_a_time": {LINKED: [[0.1, 32], [0.01, 16]]}}, ["optim.lr=0.1,train.batch_size=32", "optim.lr=0.01,train.batch_size=16"], id="linked"),
        pytest.param({"leave_one_out": {"norm": {"model.norm": "none"}, "optim.momentum": 0.0}, "baseline": {"model.norm": "batch"}}, ["without_norm", "without_optim.momentum"], id="leave-one-out"),
        pytest.param({"add_one_in": {"model.norm": "batch", "adam": {"optim": "adam"}}}, ["with_model.norm", "with_adam"], id="add-one-in"),
        pytest.param({"factorial": {"axes": {"optim.lr": [0.01, 0.1], "model.norm": ["none", "batch"]}}}, ["optim.lr=0.01,model.norm=batch", "optim.lr=0.1,model.norm=none", "optim.lr=0.1,model.norm=batch"], id="factorial"),
    ],
)  # fmt: skip
def test_generated_arms_that_are_equal_are_one(
    request_of: Callable[..., Request], keys: dict[str, Any], names: list[str]
) -> None:
    request = request_of(**keys)
    assert names_of(request) == names
    assert {arm.compared_with for arm in request.plan.arms[1:]} == {"baseline"}


def test_a_plan_says_which_arm_answers_each_cell_of_a_factorial(
    request_of: Callable[..., Request],
) -> None:
    axes = {"optim.lr": [0.01, 0.1], "model.norm": ["none", "batch"]}
    first = {"optim.lr": [0.1], "model.dropout": [0.0]}  # a cell of the factorial, named otherwise
    plan = request_of(factorial={"axes": axes}, grid=first).plan
    assert plan.factorial == (
        "baseline", "optim.lr=0.01,model.norm=batch", "optim.lr=0.1,model.dropout=0.0",
        "optim.lr=0.1,model.norm=batch",
    )  # fmt: skip
    assert Plan.from_json(plan.to_json()).factorial == plan.factorial
    assert request_of(arms=[LARGER]).plan.factorial == ()


def test_a_factorial_beside_the_baseline_has_all_its_cells_as_arms(
    request_of: Callable[..., Request],
) -> None:
    plan = request_of(factorial={"axes": {"optim.lr": [0.1, 0.2], "train.epochs": [2, 3]}}).plan
    assert plan.factorial == tuple(arm.name for arm in plan.arms[1:])
    assert len(plan.arms) == 5


GRID = {"grid": [{"optim.lr": [0.01, 0.1]}, {"optim.lr": [0.1], "model.norm": ["none"]}]}
TWICE = "optim.lr=0.1,model.norm=none"
CLAIM = {"id": "T1", "statement": "x", "kind": "better"}


@pytest.mark.parametrize(
    "keys, message",
    [
        pytest.param({**GRID, "claims": [{**CLAIM, "arm": TWICE}]}, f"recipe study: claim T1: '{TWICE}' is the arm 'optim.lr=0.1': name that instead.", id="claim-of-an-equal-arm"),
        pytest.param({**GRID, "claims": [{**CLAIM, "arm": "optim.lr=0.01"}]}, "recipe study: claim T1: 'optim.lr=0.01' is the baseline: name that instead.", id="claim-of-the-baseline"),
        pytest.param({**GRID, "search": {**SEARCH, "arms": [TWICE]}}, f"recipe study: search.arms: '{TWICE}' is the arm 'optim.lr=0.1': name that instead.", id="search-of-an-equal-arm"),
        pytest.param({"leave_one_out": {"model.norm": "none"}}, "recipe study: arm 'without_model.norm' changes nothing of 'baseline', with which it is compared: {'model.norm': 'none'} are its values already.", id="component-that-is-not-there"),
        pytest.param({"add_one_in": {"nothing": {}}}, "recipe study: arm 'with_nothing' changes nothing of 'baseline', with which it is compared: {} are its values already.", id="empty-component"),
        pytest.param({"leave_one_out": {"norm": {"model.nrm": "none"}}}, "recipe study: arm 'without_norm': unknown axis 'model.nrm'. Did you mean 'model.norm'", id="component-of-no-axis"),
        pytest.param({"grid": {"schedule": ["constant", "step"], "schedule.gamma": [0.1]}}, "recipe study: arm 'schedule=constant,schedule.gamma=0.1': unknown axis 'schedule.gamma'.", id="exists-under-no-choice"),
        pytest.param({"grid": {"schedule": ["constant", "stepp"], "schedule.factor": [0.1]}}, "recipe study: schedule: there is no choice 'stepp'. Did you mean 'step' or 'multi_step'?", id="misspelt-choice"),
        pytest.param({"factorial": {"axes": SCHEDULES}}, "recipe study: factorial.axes: 'schedule.factor' exists only under some of the values of 'schedule', and a factorial crosses every axis with every other: leave one of the two out, or write a `grid:`.", id="unbalanced-factorial"),
        pytest.param({"factorial": {"axes": {"optim.lr": ["1", 1], "model.norm": ["none", "batch"]}}}, "recipe study: two arms have the name 'optim.lr=1,model.norm=none': give each its own.", id="factorial-of-number-and-text"),
        pytest.param({"factorial": {"axes": {"optim.lr": [1.0, 1.5], "optim": ["momentum", None]}}}, "recipe study: optim: there is no choice 'none'. The choices of optim are: ", id="factorial-of-no-choice"),
        pytest.param({"factorial": {"axes": {"model.norm": ["none", None], "optim.lr": [1, 2]}}}, "recipe study: factorial: the cell 'model.norm=none,optim.lr=1' equals another, so an axis has one value low and high: give it two.", id="factorial-of-one-choice-twice"),
    ],
)  # fmt: skip
def test_what_a_design_cannot_mean_is_refused(
    request_of: Callable[..., Request], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as refused:
        request_of(**keys)
    assert message in str(refused.value)


def checked(name: str) -> list[dict[str, Any]]:
    return [{"id": "E1", "kind": "exact", "check": name, "statement": "s"}]


CHECKS = {"task": "checks", "task.checks": ["stacking"]}


def test_a_recipe_of_exact_checks_needs_no_arms(request_of: Callable[..., Request]) -> None:
    request = request_of(baseline=CHECKS, claims=checked("stacking"))
    assert [(cell.arm, cell.seed) for cell in request.plan.cells] == [
        ("baseline", 0), ("baseline", 1),
    ]  # fmt: skip
    task = next(iter(request.trials.values())).config["task"]
    assert task == {"_target_": "sweeper.training.checks.run", "checks": ["stacking"]}


@pytest.mark.parametrize(
    ("name", "baseline", "message"),
    [
        ("staking", CHECKS, "there is no check 'staking'. Did you mean 'stacking'?"),
        ("staking", {}, "there is no check 'staking'. Did you mean 'stacking'?"),
        ("val_loss", {}, "there is no check 'val_loss'. The checks are: "),
        (
            "losses_agree", CHECKS,
            "no arm runs the check 'losses_agree': add it to task.checks of an arm with "
            "task=checks.",
        ),
    ],
)  # fmt: skip
def test_a_check_that_no_arm_could_report_is_refused(
    request_of: Callable[..., Request], name: str, baseline: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        request_of(baseline=baseline, claims=checked(name))
    assert str(raised.value).startswith(f"recipe study: claim E1: {message}")


def test_an_arm_beside_others_may_run_the_checks(request_of: Callable[..., Request]) -> None:
    arm = {"name": "checked", "set": CHECKS}
    assert len(request_of(arms=[arm], claims=checked("stacking")).plan.cells) == 4


def test_a_task_of_the_users_may_report_any_check(request_of: Callable[..., Request]) -> None:
    own = {"task": "custom", "task._target_": "mine.train"}
    assert request_of(baseline=own, claims=checked("conserves_energy")).plan.cells


def test_one_check_may_be_run_by_itself(request_of: Callable[..., Request]) -> None:
    only = request_of("task.checks=[losses_agree]", baseline=CHECKS, claims=checked("stacking"))
    assert only.plan.is_variant
    with pytest.raises(RequestError, match="there is no check 'staking'"):
        request_of("task.checks=[losses_agree]", baseline=CHECKS, claims=checked("staking"))
