"""Designs: how a recipe becomes arms with values, names and the arm each is compared with."""

# ruff: noqa: E501 - a case of a table is a line

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
