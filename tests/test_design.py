"""Designs: how a recipe becomes arms with values, names and the arm each is compared with."""

# ruff: noqa: E501 - a case of a table is a line

from collections.abc import Mapping
from typing import Any

import pytest

from sweeper.design import DesignedArm, arm_name, design
from sweeper.errors import RequestError
from sweeper.recipe_file import read_recipe

LEAST: dict[str, Any] = {"question": "?", "seeds": 1, "metrics": {"loss": {"smallest_effect": 0.1}}}


def designed(**keys: Any) -> list[tuple[str, dict[str, Any], str | None]]:
    """(name, values, compared with) of each arm after the baseline."""
    first, *arms = design(read_recipe({**LEAST, **keys}, where="test"))
    assert first == DesignedArm("baseline", {}, None)
    return [(a.name, dict(a.values), a.compared_with) for a in arms]


def test_arms_change_the_baseline() -> None:
    arms = [{"name": "a", "set": {"x.y": 1}}, {"name": "b", "set": {"x.z": 2}}]
    assert designed(arms=arms) == [("a", {"x.y": 1}, "baseline"), ("b", {"x.z": 2}, "baseline")]


def test_an_arm_that_starts_from_another_keeps_its_values() -> None:
    arms = [
        {"name": "a", "set": {"x.y": 1, "x.z": 1}},
        {"name": "b", "from": "a", "set": {"x.z": 2}},
    ]
    assert designed(arms=arms)[1] == ("b", {"x.y": 1, "x.z": 2}, "a")


def test_a_sequence_adds_up_and_each_step_is_compared_with_the_one_before() -> None:
    steps = [{"name": n, "set": {f"x.{n}": 1}} for n in "abc"]
    assert designed(sequence=steps) == [
        ("a", {"x.a": 1}, "baseline"),
        ("b", {"x.a": 1, "x.b": 1}, "a"),
        ("c", {"x.a": 1, "x.b": 1, "x.c": 1}, "b"),
    ]


def test_a_step_of_a_sequence_may_start_elsewhere() -> None:
    steps = [
        {"name": "a", "set": {"x.a": 1}},
        {"name": "b", "set": {"x.b": 1}, "from": "baseline"},
        {"name": "c", "set": {"x.c": 1}},
    ]
    assert designed(sequence=steps)[1:] == [
        ("b", {"x.b": 1}, "baseline"), ("c", {"x.b": 1, "x.c": 1}, "b"),
    ]  # fmt: skip


def test_one_at_a_time_has_an_arm_for_each_value_of_each_axis() -> None:
    assert designed(one_at_a_time={"x.y": [1, 2], "norm": ["batch"]}) == [
        ("x.y=1", {"x.y": 1}, "baseline"),
        ("x.y=2", {"x.y": 2}, "baseline"),
        ("norm=batch", {"norm": "batch"}, "baseline"),
    ]


def test_a_grid_has_an_arm_for_each_combination() -> None:
    assert designed(grid={"x.y": [1, 2], "x.z": ["a", "b"]}) == [
        (f"x.y={y},x.z={z}", {"x.y": y, "x.z": z}, "baseline") for y in (1, 2) for z in "ab"
    ]


BASE = "baseline"
LINKED = "optim.lr, train.batch_size"
TWO = {"x.y": [0, 1], "x.z": ["a", "b"]}
FOUR = {axis: [0, 1] for axis in ("x.a", "x.b", "x.c", "x.d")}


def half(*levels: str) -> list[tuple[str, dict[str, Any], str]]:
    """Arms of the axes of FOUR at these levels."""
    cells = [dict(zip(FOUR, map(int, each), strict=True)) for each in levels]
    return [(arm_name(cell), cell, BASE) for cell in cells]


@pytest.mark.parametrize(
    "keys, expected",
    [
        pytest.param({"leave_one_out": {"norm": {"x.y": 0, "x.z": "b"}, "model.norm": "none"}}, [("without_norm", {"x.y": 0, "x.z": "b"}, BASE), ("without_model.norm", {"model.norm": "none"}, BASE)], id="leave-one-out"),
        pytest.param({"leave_one_out": {"clipping": {"x.y": None}}}, [("without_clipping", {"x.y": None}, BASE)], id="leave-one-out-by-null"),
        pytest.param({"add_one_in": {"augmentation": {"x.y": 1, "x.z": 2}, "optim": "adam"}}, [("with_augmentation", {"x.y": 1, "x.z": 2}, BASE), ("with_optim", {"optim": "adam"}, BASE)], id="add-one-in"),
        pytest.param({"one_at_a_time": {LINKED: [[0.1, 32], [0.2, 64]]}}, [(f"optim.lr={lr},train.batch_size={b}", {"optim.lr": lr, "train.batch_size": b}, BASE) for lr, b in ((0.1, 32), (0.2, 64))], id="linked-one-at-a-time"),
        pytest.param({"grid": {"x.y,x.z": [[1, 2], [3, 4]], "m.n": ["a", "b"]}}, [(f"x.y={y},x.z={z},m.n={n}", {"x.y": y, "x.z": z, "m.n": n}, BASE) for y, z in ((1, 2), (3, 4)) for n in "ab"], id="linked-in-a-grid"),
        pytest.param({"ladder": {"x.y,x.z": [[1, [2]], [3, None]]}}, [("x.y=1,x.z=2", {"x.y": 1, "x.z": [2]}, BASE), ("x.y=3,x.z=None", {"x.y": 3, "x.z": None}, "x.y=1,x.z=2")], id="linked-in-a-ladder"),
        pytest.param({"grid": [{"x.y": [1, 2]}, {"x.z": ["a"]}]}, [("x.y=1", {"x.y": 1}, BASE), ("x.y=2", {"x.y": 2}, BASE), ("x.z=a", {"x.z": "a"}, BASE)], id="union"),
        pytest.param({"grid": [{"x.y": [1, 2]}, {}, {"x.y": [2, 3]}]}, [(f"x.y={y}", {"x.y": y}, BASE) for y in (1, 2, 3)], id="overlapping-union"),
        pytest.param({"one_at_a_time": {"x.y": [1]}, "grid": {"x.y": [1, 2]}}, [(f"x.y={y}", {"x.y": y}, BASE) for y in (1, 2)], id="two-designs-overlap"),
        pytest.param({"grid": []}, [], id="no-grids"),
        pytest.param({"factorial": {"axes": TWO}}, [(f"x.y={y},x.z={z}", {"x.y": y, "x.z": z}, BASE) for y in (0, 1) for z in "ab"], id="full-factorial"),
        pytest.param({"factorial": {"axes": {"x.y": [0, 1], "a.b, c.d": [[1, 2], [3, 4]]}, "resolution": "full"}}, [(f"x.y={y},a.b={b},c.d={d}", {"x.y": y, "a.b": b, "c.d": d}, BASE) for y in (0, 1) for b, d in ((1, 2), (3, 4))], id="linked-in-a-factorial"),
        pytest.param({"factorial": {"axes": FOUR, "resolution": 4}}, half("0000", "0011", "0101", "0110", "1001", "1010", "1100", "1111"), id="half-of-four"),
    ],
)  # fmt: skip
def test_a_design_makes_its_arms(
    keys: dict[str, Any], expected: list[tuple[str, dict[str, Any], str]]
) -> None:
    assert designed(**keys) == expected


def under_step(values: Mapping[str, Any], axis: str) -> bool:
    """`schedule.gamma` exists under the choice `step`, `schedule.every` under none."""
    return axis == "schedule.gamma" and values["schedule"] == "step"


GAMMA = {"schedule": ["constant", "step"], "schedule.gamma": [0.1, 0.5]}
STEPS = [
    "schedule=constant",
    "schedule=step,schedule.gamma=0.1",
    "schedule=step,schedule.gamma=0.5",
]


@pytest.mark.parametrize(
    "keys, names",
    [
        pytest.param({"grid": GAMMA}, STEPS, id="grid"),
        pytest.param({"grid": dict(reversed(GAMMA.items()))}, [STEPS[0], "schedule.gamma=0.1,schedule=step", "schedule.gamma=0.5,schedule=step"], id="group-after-its-key"),
        pytest.param({"grid": [GAMMA, {"schedule": ["constant"]}]}, STEPS, id="union"),
        pytest.param({"grid": {**GAMMA, "x.y": [1, 2]}}, [f"{step},x.y={y}" for step in STEPS for y in (1, 2)], id="crossed-with-another"),
        pytest.param({"one_at_a_time": {"schedule, schedule.gamma": [["constant", None], ["step", 0.5]]}}, [STEPS[0], STEPS[2]], id="linked"),
        pytest.param({"grid": {"schedule.gamma": [1]}}, ["schedule.gamma=1"], id="without-its-group"),
        pytest.param({"grid": {"schedule": ["step"], "schedule.every": [1]}}, ["schedule=step,schedule.every=1"], id="exists-nowhere"),
    ],
)  # fmt: skip
def test_a_choices_own_axes_are_left_out_of_the_cells_that_choose_otherwise(
    keys: dict[str, Any], names: list[str]
) -> None:
    _, *arms = design(read_recipe({**LEAST, **keys}, where="test"), under_step)
    assert [arm.name for arm in arms] == names
    for arm in arms:
        assert arm.name == arm_name(arm.values)


def test_a_factorial_of_an_axis_that_some_cells_lack_is_refused() -> None:
    recipe = read_recipe({**LEAST, "factorial": {"axes": GAMMA}}, where="test")
    with pytest.raises(RequestError) as refused:
        design(recipe, under_step)
    assert str(refused.value) == (
        "factorial.axes: 'schedule.gamma' exists only under some of the values of 'schedule', and "
        "a factorial crosses every axis with every other: leave one of the two out, or write a "
        "`grid:`."
    )


def test_each_rung_of_a_ladder_is_compared_with_the_rung_before() -> None:
    assert designed(ladder={"optim.lr": [0.1, 0.01, 0.001]}) == [
        ("optim.lr=0.1", {"optim.lr": 0.1}, "baseline"),
        ("optim.lr=0.01", {"optim.lr": 0.01}, "optim.lr=0.1"),
        ("optim.lr=0.001", {"optim.lr": 0.001}, "optim.lr=0.01"),
    ]


@pytest.mark.parametrize(
    "changes, name",
    [
        ({"x.y": 1e-05}, "x.y=1e-05"),
        ({"x.y": [1, 2]}, "x.y=1-2"),
        ({"x.y": None}, "x.y=None"),
        ({"a": "b", "c.d": True}, "a=b,c.d=True"),
    ],
)
def test_a_generated_arm_is_named_by_what_it_changes(changes: dict[str, Any], name: str) -> None:
    assert arm_name(changes) == name


CLAIM = {"id": "T1", "statement": "x"}


@pytest.mark.parametrize(
    "keys, message",
    [
        pytest.param({"grid": {"x.y": [1, 1]}}, "two arms have the name 'x.y=1': give each its own.", id="value-twice"),
        pytest.param({"ladder": {"x.y": []}}, "the axis 'x.y' has no values: write a list, as in [0.1, 0.01].", id="no-values"),
        pytest.param({"arms": [{"name": "a", "from": "b"}, {"name": "b"}]}, "arm 'a' starts from 'b', which is no arm before it. The arms before it are: baseline.", id="from-a-later-arm"),
        pytest.param({"arms": [{"name": "a", "from": "a"}]}, "arm 'a' starts from 'a', which is no arm before it.", id="from-itself"),
        pytest.param({"claims": [{**CLAIM, "kind": "order", "arms": ["baseline", "c"]}]}, "claim T1 speaks of the arm 'c', which does not exist. The arms are: baseline.", id="order-of-no-arm"),
        pytest.param({"claims": [{**CLAIM, "kind": "better", "contrast": {"baseline": 1, "c": -1}}]}, "claim T1 speaks of the arm 'c'", id="contrast-of-no-arm"),
        pytest.param({"arms": [{"name": "a"}], "claims": [{**CLAIM, "kind": "better", "arm": "a", "reference": "bse"}]}, "claim T1 speaks of the arm 'bse'", id="reference-to-no-arm"),
        pytest.param({"claims": [{"id": "T1", "parts": {"b": {"statement": "x", "kind": "worse", "arm": "c"}}}]}, "claim T1b speaks of the arm 'c'", id="part-of-no-arm"),
        pytest.param({"claims": [{**CLAIM, "kind": "better", "arm": "baseline"}]}, "claim T1: the baseline is compared with no arm; add `reference`.", id="baseline-against-nothing"),
        pytest.param({"leave_one_out": {"a": {"x.y": 1}}, "arms": [{"name": "without_a"}]}, "two arms have the name 'without_a': give each its own.", id="component-and-arm"),
        pytest.param({"leave_one_out": {"a b": {"x.y": 1}}}, "test: leave_one_out.a b: 'a b' is no name: use letters, digits and _ . + = , - alone.", id="component-is-no-name"),
        pytest.param({"leave_one_out": {"data.class_samples": {9: 2}}}, "test: leave_one_out: 'data.class_samples' is a component, whose axes have names: for an axis whose value is a mapping write {data.class_samples: {data.class_samples: …}}.", id="mapping-is-a-component"),
        pytest.param({"add_one_in": ["x.y"]}, "test: add_one_in: Input should be a mapping.", id="components-as-a-list"),
        pytest.param({"grid": {LINKED: [[0.1, 32], [0.2]]}}, "grid: 'optim.lr, train.batch_size' links 2 axes, so each of its values is a list of 2: value 2 is not.", id="linked-too-few"),
        pytest.param({"ladder": {LINKED: [0.1]}}, "ladder: 'optim.lr, train.batch_size' links 2 axes, so each of its values is a list of 2: value 1 is not.", id="linked-no-list"),
        pytest.param({"one_at_a_time": {"x.y,": [[1, 2]]}}, "one_at_a_time: an axis has no name: join linked ones as in 'a.b, c.d'.", id="linked-to-nothing"),
        pytest.param({"one_at_a_time": {"x.y, x.y": [[1, 2]]}}, "one_at_a_time: the axis 'x.y' stands twice: take it out of one key.", id="linked-to-itself"),
        pytest.param({"grid": {"x.y": [1], "x.z, x.y": [[1, 2]]}}, "grid: the axis 'x.y' stands twice: take it out of one key.", id="linked-and-alone"),
        pytest.param({"grid": [{"x.y": [1]}, {"x.z": []}]}, "the axis 'x.z' has no values: write a list, as in [0.1, 0.01].", id="union-without-values"),
        pytest.param({"grid": [{"x.y": [1]}, {"x.y": ["1"]}]}, "two arms have the name 'x.y=1': give each its own.", id="union-of-number-and-text"),
        pytest.param({"grid": [["x.y"]]}, "test: grid.0: Input should be a mapping.", id="union-of-lists"),
        pytest.param({"grid": "x.y"}, "test: grid: Input should be a mapping (got 'x.y').", id="grid-is-text"),
        pytest.param({"grid": [{f"x.a{i}": [0, 1] for i in range(13)}, {f"x.b{i}": [0, 1] for i in range(11)}]}, "this design has 10241 arms, and at most 10000 are possible", id="large-union"),
        pytest.param({"grid": {f"x.a{i}": [0] * 10 for i in range(5000)}}, "this design has more than 1000000000000000 arms, and at most 10000 are possible", id="grid-beyond-counting"),
        pytest.param({"factorial": {"axes": {f"x.a{i}": [0, 1] for i in range(14)}}}, "this design has 16385 arms, and at most 10000 are possible", id="large-factorial"),
        pytest.param({"factorial": {"axes": {}}}, "test: factorial: axes: name at least one, as in {optim.lr: [0.01, 0.1]}.", id="factorial-of-nothing"),
        pytest.param({"factorial": {"axes": {"x.y": [0]}}}, "test: factorial: axes: 'x.y' takes two values, [low, high], not 1.", id="one-level"),
        pytest.param({"factorial": {"axes": {"x.y": [0, 1, 2]}}}, "test: factorial: axes: 'x.y' takes two values, [low, high], not 3.", id="three-levels"),
        pytest.param({"factorial": {"axes": {"x.y": [1, 1]}}}, "test: factorial: axes: 'x.y' has the same value low and high.", id="equal-levels"),
        pytest.param({"factorial": {"axes": {"x.y, x.z": [[0, 1], 2]}}}, "factorial.axes: 'x.y, x.z' links 2 axes, so each of its values is a list of 2: value 2 is not.", id="factorial-linked-no-list"),
        pytest.param({"factorial": {"axes": {**TWO, "x.b": [0, 1]}, "resolution": 4}}, "test: factorial: with 3 axes resolution 4 takes as many arms as the full design: leave `resolution` out, or name at least 4 axes.", id="fraction-of-three"),
        pytest.param({"factorial": {"axes": FOUR, "resolution": 3}}, "test: factorial.resolution: Input should be 'full' or 4 (got 3).", id="resolution-3"),
        pytest.param({"factorial": {"axes": FOUR, "resolutoin": 4}}, "test: unknown key 'factorial.resolutoin'. Did you mean 'resolution'?", id="misspelt-resolution"),
        pytest.param({"factorial": {"x.y": [0, 1]}}, "test: the key 'factorial.axes' is missing.", id="factorial-without-axes"),
        pytest.param({"claims": [{**CLAIM, "kind": "better", "effect": "x.y"}]}, "claim T1 speaks of the effect 'x.y', but the recipe has no `factorial`.", id="effect-without-factorial"),
        pytest.param({"factorial": {"axes": TWO}, "claims": [{**CLAIM, "kind": "better", "effect": "x.x"}]}, "claim T1 speaks of the effect 'x.x', which does not exist. Did you mean 'x.z' or 'x.y'", id="unknown-effect"),
        pytest.param({"factorial": {"axes": FOUR}, "claims": [{**CLAIM, "kind": "better", "effect": "x.a:x.b:x.c"}]}, "claim T1 speaks of the effect 'x.a:x.b:x.c', which does not exist. Did you mean 'x.b:x.c'", id="effect-of-three-axes"),
        pytest.param({"claims": [{**CLAIM, "kind": "better", "effect": "x.y", "arm": "a"}]}, "test: claims.0: give one of `arm`, `contrast` and `effect`.", id="effect-and-arm"),
        pytest.param({"claims": [{**CLAIM, "kind": "better", "effect": "x.y", "reference": "a"}]}, "test: claims.0: an `effect` has no `reference`: it is high against low.", id="effect-with-reference"),
        pytest.param({"search": {"axes": {"x.y": {"choices": [1]}}, "arms": ["c"]}}, "search.arms names 'c', which does not exist. The arms are: baseline.", id="search-of-no-arm"),
    ],
)  # fmt: skip
def test_a_bad_design_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as refused:
        designed(**keys)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "own",
    [{"kind": "no_effect", "arm": "a", "reference": "a"}, {"kind": "order", "arms": ["a", "a"]}],
)
def test_a_claim_compares_no_arm_with_itself(own: dict[str, Any]) -> None:
    claims = [{"id": "T1", "statement": "as documented", **own}]
    with pytest.raises(RequestError, match=r"^claim T1 names an arm twice: a, a\.$"):
        designed(arms=[{"name": "a", "set": {"x.y": 1}}], claims=claims)
