"""A trial's name: stable over versions, machines and ways of writing a value."""

import re

import pytest

from sweeper import identity
from sweeper.identity import asked, canonical, digest, flatten, trial_id
from sweeper.training import values

CONFIG = {
    "optim": {"name": "momentum", "lr": 0.01, "weight_decay": 0.0},
    "model": {"_target_": "sweeper.training.models.mlp", "depth": 2, "norm": "none"},
    "data": {"drop_classes": [], "class_samples": {"9": 2}, "label": "Größe"},
    "train": {"clip_norm": None, "stop_when_diverged": True},
    "executor": {"name": "local", "slots": 2},
    "search": {"name": "tpe", "seed": 0},
}


def test_trial_ids_stay_the_same() -> None:
    # When this changes, every result recorded so far is orphaned: trials run again, and stores of
    # two versions share nothing. A key that is added goes into `ADDED_LATER` instead.
    assert trial_id(CONFIG, 3) == "4b84d79c71aa6cb4"
    assert digest("a", 6) == "ac8d83"


def test_where_a_trial_runs_is_no_part_of_its_name() -> None:
    elsewhere = {**CONFIG, "executor": {"name": "inline"}, "search": {"name": "random"}}
    assert trial_id(elsewhere, 3) == trial_id(CONFIG, 3)


def test_the_seed_and_every_value_are_part_of_the_name() -> None:
    other = {**CONFIG, "optim": {**CONFIG["optim"], "lr": 0.010000000000000002}}
    assert len({trial_id(CONFIG, 3), trial_id(CONFIG, 4), trial_id(other, 3)}) == 3


def test_the_order_of_keys_is_no_part_of_the_name() -> None:
    turned = {k: dict(reversed(v.items())) for k, v in reversed(CONFIG.items())}
    assert trial_id(turned, 3) == trial_id(CONFIG, 3)


def test_a_name_is_sixteen_hex_digits() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", trial_id(CONFIG, 0))


def test_a_key_added_later_leaves_the_name_at_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "ADDED_LATER", {"train.ema": 0.0})
    with_default = {**CONFIG, "train": {**CONFIG["train"], "ema": 0.0}}
    with_another = {**CONFIG, "train": {**CONFIG["train"], "ema": 0.9}}
    assert trial_id(with_default, 3) == trial_id(CONFIG, 3) != trial_id(with_another, 3)


@pytest.mark.parametrize("key", identity.ADDED_LATER)
def test_the_default_of_a_key_added_later_is_the_one_that_it_has(key: str) -> None:
    group, name = key.split(".")
    holders = [m for m in MODELS_OF[group] if name in m.model_fields]
    assert holders
    for model in holders:
        default = model.model_fields[name].default
        assert repr(default) == repr(identity.ADDED_LATER[key])


MODELS_OF: dict[str, list[type[values.Values]]] = {
    "data": [values.Data],
    "train": [values.Train],
    "model": list(values.TARGETS["model"].values()),
    "init": list(values.NAMES["init"].values()),
}


def test_what_was_asked_is_the_config_less_where_it_runs() -> None:
    assert asked(CONFIG).keys() == {"optim", "model", "data", "train"}
    assert CONFIG.keys() > {"executor", "search"}


@pytest.mark.parametrize(
    "value, text",
    [
        ({"b": 1, "a": [1.0, None, True]}, '{"a":[1.0,null,true],"b":1}'),
        ("Größe", '"Größe"'),
        (1e-3, "0.001"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_canonical_json_is_written_one_way(value: object, text: str) -> None:
    assert canonical(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_canonical_json_refuses_what_is_no_json(value: object) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        canonical(value)


def test_nested_mappings_become_dotted_keys_and_an_empty_one_stays() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [{"f": 1}]}) == {
        "a.b.c": 1, "a.d": {}, "e": [{"f": 1}],
    }  # fmt: skip
