"""Composing: folders, choices, values, interpolations, and one way of writing each value."""

# ruff: noqa: E501 - a case of a table is a line

from pathlib import Path
from typing import Any

import pytest

from sweeper import folders
from sweeper.compose import Composer
from sweeper.errors import RequestError
from sweeper.identity import trial_id
from sweeper.overrides import Override, parse_overrides, typed_targets


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(folders.search("conf", []))


def own(folder: Path, **files: str) -> Composer:
    """A composer with the user's files (`group__choice`) found before ours."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Composer(folders.search("conf", [folder]))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("optim.lr=0.03", Override("optim.lr", 0.03, "optim.lr=0.03")),
        ("optim.lr=1e-3", Override("optim.lr", 0.001, "optim.lr=1e-3")),
        ("data=digits", Override("data", "digits", "data=digits")),
        ("seeds=[1,2]", Override("seeds", [1, 2], "seeds=[1,2]")),
        ("model.norm=false", Override("model.norm", False, "model.norm=false")),
        ("a.b=null", Override("a.b", None, "a.b=null")),
        ("+task.own=3", Override("task.own", 3, "+task.own=3", is_added=True)),
        ("a.b='x=y'", Override("a.b", "x=y", "a.b='x=y'")),
    ],
)
def test_an_override_is_hydras_grammar(text: str, expected: Override) -> None:
    assert parse_overrides([text]) == [expected]


def test_a_choice_brings_its_parts_and_a_value_is_set_on_them(composer: Composer) -> None:
    config = composer.resolve({"optim": "adam", "optim.lr": 0.5})
    assert config["optim"] == {
        "name": "adam", "lr": 0.5, "weight_decay": 0.0, "betas": [0.9, 0.999], "eps": 1e-8,
    }  # fmt: skip


def test_composing_leaves_no_trace_for_the_next(composer: Composer) -> None:
    before = composer.resolve({})
    composer.resolve({"optim.lr": 0.5, "data.drop_classes": [3]})
    assert composer.resolve({}) == before


@pytest.mark.parametrize(
    "one, other",
    [
        pytest.param({"optim.lr": "1e-3"}, {"optim.lr": 0.001}, id="number-as-text"),
        pytest.param({"optim.lr": 1}, {"optim.lr": 1.0}, id="whole-and-real"),
        pytest.param({"train.epochs": 3.0}, {"train.epochs": 3}, id="real-and-whole"),
        pytest.param({"model.norm": False}, {"model.norm": "none"}, id="off"),
        pytest.param({"model.norm": None}, {"model.norm": "none"}, id="null"),
        pytest.param({"train.clip_norm": "none"}, {"train.clip_norm": None}, id="none-and-null"),
        pytest.param({"data.class_samples": {9: 2}}, {"data.class_samples": {"9": 2}}, id="labels"),
        pytest.param({"data.drop_classes": [3, 1]}, {"data.drop_classes": ["1", "3"]}, id="sets"),
        pytest.param({"optim.weight_decay": -0.0}, {"optim.weight_decay": 0.0}, id="minus-zero"),
        pytest.param({"optim": "momentum"}, {}, id="the-default"),
        pytest.param({"executor": "inline"}, {"executor.slots": 3}, id="where-it-runs"),
        pytest.param({"search": "random"}, {"search.seed": 3}, id="how-it-is-searched"),
    ],
)
def test_one_configuration_written_two_ways_is_one_trial(
    composer: Composer, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert trial_id(composer.resolve(one), 0) == trial_id(composer.resolve(other), 0)


def test_an_interpolation_follows_an_override(tmp_path: Path) -> None:
    composer = own(tmp_path, optim__tied="name: sgd\nlr: 0.1\nweight_decay: ${optim.lr}\n")
    assert composer.resolve({"optim": "tied"})["optim"]["weight_decay"] == 0.1
    followed = composer.resolve({"optim": "tied", "optim.lr": 0.5})
    assert followed["optim"] == {"name": "sgd", "lr": 0.5, "weight_decay": 0.5}


def test_a_value_may_be_an_interpolation(composer: Composer) -> None:
    config = composer.resolve({"optim.weight_decay": "${optim.lr}", "optim.lr": 0.25})
    assert config["optim"]["weight_decay"] == 0.25


def test_a_file_of_the_users_comes_before_ours(tmp_path: Path) -> None:
    composer = own(tmp_path, optim__sgd="name: sgd\nlr: 0.75\nweight_decay: 0.0\n")
    assert composer.resolve({"optim": "sgd"})["optim"]["lr"] == 0.75
    assert composer.resolve({"optim": "adam"})["optim"]["lr"] == 0.001


def test_the_first_of_two_folders_wins(tmp_path: Path) -> None:
    text = "name: sgd\nlr: {}\nweight_decay: 0.0\n"
    for name, lr in (("first", 0.5), ("second", 0.25)):
        (tmp_path / name / "optim").mkdir(parents=True)
        (tmp_path / name / "optim/sgd.yaml").write_text(text.format(lr))
    composer = Composer(folders.search("conf", [tmp_path / "first", tmp_path / "second"]))
    assert composer.resolve({"optim": "sgd"})["optim"]["lr"] == 0.5


def test_a_new_choice_of_the_users_stands_beside_ours(tmp_path: Path) -> None:
    composer = own(tmp_path, schedule__mine="name: cosine\nfinal_lr_share: 0.5\n")
    assert "mine" in composer.groups["schedule"] and "cosine" in composer.groups["schedule"]
    assert composer.resolve({"schedule": "mine"})["schedule"]["final_lr_share"] == 0.5


def test_a_config_yaml_of_the_users_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("optim: nonsense\n")
    (tmp_path / "optim.yaml").write_text("nonsense: 1\n")
    assert own(tmp_path).resolve({})["optim"]["name"] == "momentum"


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"model._target_": "own.net", "model.width": 3}, {"_target_": "own.net", "width": 3}),
        ({"model": "custom", "model._target_": "own.net"}, {"_target_": "own.net"}),
        ({"model": "cnn", "model._target_": "own.net"}, {"_target_": "own.net"}),
    ],
)
def test_a_model_of_the_users_brings_keys_of_its_own(
    composer: Composer, values: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert composer.resolve(values)["model"] == expected


def test_data_of_the_users_keep_the_axes_that_act_on_any_data(composer: Composer) -> None:
    found = composer.resolve(
        {"data._target_": "own.load", "data.noise": 2, "data.train_samples": 9}
    )
    assert found["data"]["noise"] == 2 and found["data"]["train_samples"] == 9
    assert found["data"]["scaling"] == "standardize" and "path" not in found["data"]


def test_a_value_still_to_be_given_may_be_given(composer: Composer) -> None:
    assert composer.resolve({"data": "arrays", "data.path": "x.npz"})["data"]["path"] == "x.npz"


@pytest.mark.parametrize(
    "values, message",
    [
        pytest.param({"optm": "adam"}, "unknown axis 'optm'. Did you mean 'optim'", id="group"),
        pytest.param({"optim.lrr": 1}, "unknown axis 'optim.lrr'. Did you mean 'optim.lr'", id="key"),
        pytest.param({"optim": "adem"}, "optim: there is no choice 'adem'. Did you mean 'adam'", id="choice"),
        pytest.param({"optim": False}, "optim: there is no choice 'none'.", id="off-for-a-choice"),
        pytest.param({"data": "arrays"}, "data.path has no value: give one, as in data.path=…", id="missing"),
        pytest.param({"task": "custom"}, "task._target_ has no value", id="missing-target"),
        pytest.param({"optim.lr": "fast"}, "optim.lr: 'fast' is not a number above zero.", id="type"),
        pytest.param({"optim.lr": True}, "optim.lr: True is not a number above zero.", id="switch-for-a-number"),
        pytest.param({"model.bias": 0.5}, "model.bias: 0.5 is not true or false.", id="number-for-a-switch"),
        pytest.param({"optim.lr": float("nan")}, "optim.lr: nan is not a number above zero.", id="nan"),
        pytest.param({"optim.lr": [0.1, 0.2]}, "optim.lr: [0.1, 0.2] is not a number above zero.", id="list"),
        pytest.param({"optim.lr": "${oc.env:NO_SUCH_THING}"}, "optim.lr does not resolve: KeyError raised while resolving interpolation: \"Environment variable 'NO_SUCH_THING' not found", id="environment"),
        pytest.param({"task._target_": "own.f", "task.x": float("inf")}, "task.x: inf cannot be recorded", id="infinity-of-ones-own"),
        pytest.param({"task._target_": "own.f", "task.x": {"a": 1, 2: 3}}, "task.x: {'a': 1, 2: 3} cannot be recorded", id="mixed-keys-of-ones-own"),
    ],
)  # fmt: skip
def test_what_does_not_compose_is_refused(
    composer: Composer, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as refused:
        composer.resolve(values)
    assert message in str(refused.value)


def test_a_broken_file_of_the_users_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the configuration does not compose"):
        own(tmp_path, optim__mine="name: [").resolve({"optim": "mine"})


def test_only_typed_targets_are_allowed_by_typing() -> None:
    overrides = parse_overrides(["model._target_=own.net", "optim.lr=1", "task._target_=a.b.c"])
    assert typed_targets(overrides) == ["own.net", "a.b.c"]
