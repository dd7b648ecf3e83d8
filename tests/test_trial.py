"""Curves across the attempts at one trial; what was read of a configuration."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from sweeper.trial import Config, Curve, joined


@pytest.mark.parametrize(
    "earlier, later, whole",
    [
        ({"step": [0, 1, 2], "a": [1.0, 2.0, 3.0]}, {"step": [2, 3], "a": [9.0, 8.0]},
         {"step": [0, 1, 2, 3], "a": [1.0, 2.0, 9.0, 8.0]}),
        ({"step": [0, 1], "a": [1.0, 2.0]}, {"step": [0, 1], "a": [5.0, 6.0]},
         {"step": [0, 1], "a": [5.0, 6.0]}),
        ({"step": [0], "a": [1.0]}, {"step": [1], "b": [2.0]},
         {"step": [0, 1], "a": [1.0, None], "b": [None, 2.0]}),
        ({}, {"step": [3], "a": [1.0]}, {"step": [3], "a": [1.0]}),
        ({"step": [0], "a": [1.0]}, {"step": []}, {"step": []}),
    ],
    ids=["goes-on", "began-anew", "other-names", "nothing-before", "nothing-after"],
)  # fmt: skip
def test_points_before_the_first_step_are_put_before_it(
    earlier: Curve, later: Curve, whole: Curve
) -> None:
    assert joined(earlier, later) == whole


VALUES = {
    "optim": {"lr": 0.1, "betas": [0.9, 0.99]},
    "model": {"norm": "batch", "head": {"width": 3}, "free": {}},
}
EVERY = {"optim.lr", "optim.betas", "model.norm", "model.head.width", "model.free"}
NAMES = {"*", "optim.*", "model.*", "model.head.*", "model.free.*"}


@pytest.mark.parametrize(
    "use, read",
    [
        pytest.param(lambda c: c["optim"]["lr"], {"optim.lr"}, id="item"),
        pytest.param(lambda c: c.model.head.width, {"model.head.width"}, id="attribute"),
        pytest.param(lambda c: c.model, set(), id="a-group-alone"),
        pytest.param(lambda c: c.model.head, set(), id="a-nested-group-alone"),
        pytest.param(lambda c: c.model.free, {"model.free"}, id="an-empty-group-is-a-value"),
        pytest.param(lambda c: c.model.get("depth", 4), {"model.depth"}, id="get-what-is-not"),
        pytest.param(lambda c: c.get("optim").get("lr"), {"optim.lr"}, id="get"),
        pytest.param(lambda c: "norm" in c.model, {"model.norm"}, id="in"),
        pytest.param(lambda c: "depth" in c.model, {"model.depth"}, id="not-in"),
        pytest.param(lambda c: hasattr(c.model, "depth"), {"model.depth"}, id="hasattr"),
        pytest.param(lambda c: list(c.optim), {"optim.*"}, id="names"),
        pytest.param(lambda c: len(c.optim), {"optim.*"}, id="len"),
        pytest.param(lambda c: bool(c.optim), {"optim.*"}, id="bool"),
        pytest.param(lambda c: list(c), {"*"}, id="names-of-groups"),
        pytest.param(
            lambda c: dict(c.optim), {"optim.*", "optim.lr", "optim.betas"}, id="dict-of-a-group"
        ),
        pytest.param(
            lambda c: dict(**c.optim), {"optim.*", "optim.lr", "optim.betas"}, id="keywords"
        ),
        pytest.param(
            lambda c: list(c.optim.items()), {"optim.*", "optim.lr", "optim.betas"}, id="items"
        ),
        pytest.param(
            lambda c: list(c.optim.values()), {"optim.*", "optim.lr", "optim.betas"}, id="values"
        ),
        pytest.param(lambda c: json.dumps(c, default=dict), EVERY | NAMES, id="json"),
        pytest.param(lambda c: c == VALUES, EVERY | NAMES, id="equal"),
        pytest.param(pickle.dumps, EVERY | NAMES, id="pickle"),
        pytest.param(copy.deepcopy, set(), id="a-copy-alone"),
        pytest.param(lambda c: copy.deepcopy(c).optim.lr, {"optim.lr"}, id="of-a-deep-copy"),
        pytest.param(lambda c: copy.copy(c.optim).lr, {"optim.lr"}, id="of-a-copy"),
        pytest.param(lambda c: f"{c} {c!r}", set(), id="printing-is-no-reading"),
    ],
)  # fmt: skip
def test_a_configuration_notes_what_is_read_of_it(
    use: Callable[[Config], Any], read: set[str]
) -> None:
    noted: set[str] = set()
    use(Config(VALUES, noted))
    assert noted == read


def test_a_configuration_is_equal_to_its_values_also_when_it_was_copied_or_pickled() -> None:
    config = Config(VALUES)
    assert config == copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == VALUES
    with pytest.raises(TypeError):  # else it would be read unseen
        vars(config)
    with pytest.raises(AttributeError, match="the configuration has no 'lr'; it has optim, model"):
        config.lr  # noqa: B018
