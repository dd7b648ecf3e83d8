"""Values are checked and written one way; whatever is wrong is named with what is allowed."""

import subprocess
import sys
import timeit
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeper import axes
from sweeper.errors import RequestError

CONF = Path(__file__).parents[1] / "conf"
MLP = "sweeper.training.models.mlp"
CNN = "sweeper.training.models.cnn"
DATA = "sweeper.training.data."
BUILTIN = {"_target_": "sweeper.training.loop.train"}
OURS = ("data", "model", "init", "optim", "schedule", "loss", "train", "task")
FILES = [f for group in OURS for f in sorted((CONF / group).glob("*.yaml"))]


def values_of(group: str, values: dict[str, Any]) -> dict[str, Any]:
    result = axes.normalise({group: values, "task": BUILTIN})[group]
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize(
    ("group", "one", "other"),
    [
        ("optim", {"name": "sgd", "lr": "1e-3"}, {"name": "sgd", "lr": 0.001}),
        ("optim", {"name": "sgd", "lr": 1}, {"name": "sgd", "lr": 1.0}),
        ("optim", {"name": "sgd", "weight_decay": -0.0}, {"name": "sgd"}),
        ("optim", {"name": "adam", "betas": (0.9, "0.999")}, {"name": "adam"}),
        ("model", {"_target_": MLP, "norm": False}, {"_target_": MLP, "norm": "none"}),
        ("model", {"_target_": MLP, "norm": None}, {"_target_": MLP}),
        ("model", {"_target_": MLP, "bias": "no"}, {"_target_": MLP, "bias": False}),
        ("train", {"epochs": "10", "batch_size": 32.0}, {}),
        ("train", {"clip_norm": "none", "clip_value": False, "accuracy_mode": "none"}, {}),
        (
            "data",
            {"_target_": DATA + "digits", "drop_classes": [9, "8"], "class_samples": {3: "2"}},
            {"_target_": DATA + "digits", "drop_classes": ["8", 9], "class_samples": {"3": 2}},
        ),
    ],
)
def test_equal_meaning_gives_equal_values(
    group: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert repr(values_of(group, one)) == repr(values_of(group, other))


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        ("optim", {"name": "sgd", "lr": "fast"}, "optim.lr: 'fast' is not a number above zero."),
        ("optim", {"name": "sgd", "lr": 0}, "optim.lr: 0 is not a number above zero."),
        ("optim", {"name": "sgd", "lr": True}, "optim.lr: True is not a number above zero."),
        (
            "optim",
            {"name": "sgd", "lr": float("nan")},
            "optim.lr: nan is not a number above zero.",
        ),
        (
            "optim",
            {"name": "sgd", "lr": float("inf")},
            "optim.lr: inf is not a number above zero.",
        ),
        (
            "optim",
            {"name": "sgd", "lr": "???"},
            "optim.lr: not given. It takes a number above zero.",
        ),
        (
            "optim",
            {"name": "adma"},
            "optim.name: 'adma' is not one of sgd, momentum, nesterov, adam, adamw, rmsprop. "
            "Did you mean 'adam' or 'adamw'?",
        ),
        (
            "optim",
            {"name": "sgd", "momentun": 0.9},
            "optim.momentun: unknown. The keys are: lr, weight_decay.",
        ),
        (
            "model",
            {"_target_": MLP, "norm": "bath"},
            "model.norm: 'bath' is not one of none, batch. Did you mean 'batch'?",
        ),
        (
            "model",
            {"_target_": MLP, "hiden_units": 3},
            "model.hiden_units: unknown. Did you mean 'hidden_units'?",
        ),
        (
            "model",
            {"_target_": MLP, "activation": True},
            "model.activation: True is not one of relu, leaky_relu, tanh, sigmoid, gelu, elu, ",
        ),
        (
            "model",
            {"_target_": MLP, "dropout": 1},
            "model.dropout: 1 is not a number from 0 to below 1.",
        ),
        (
            "model",
            {"_target_": CNN, "kernel_size": 4},
            "model.kernel_size: 4 is not an odd whole number from 1 up.",
        ),
        (
            "model",
            {"_target_": CNN, "dropout": 0.5, "hidden_units": 0},
            "model.dropout_placement: hidden needs a hidden layer, and model.hidden_units is 0: "
            "use conv.",
        ),
        ("train", {"epochs": 0}, "train.epochs: 0 is not a whole number from 1 up."),
        ("train", {"epochs": 2.5}, "train.epochs: 2.5 is not a whole number from 1 up."),
        (
            "data",
            {"_target_": DATA + "digits", "color": False},
            "data.color: False is not one of native, grey, rgb.",
        ),
        ("data", {"_target_": DATA + "folder"}, "data.path: not given. It takes a text."),
        (
            "data",
            {"_target_": DATA + "captcha", "images": 500},
            "data.images: 500 are fewer than the 1001 samples asked for.",
        ),
        (
            "schedule",
            {"name": "multi_step", "milestones": [3, 2]},
            "schedule.milestones: [3, 2] is not a list of whole numbers from 1 up, each above the "
            "one before.",
        ),
        ("mode", {}, "mode: unknown. Did you mean 'model'?"),
        ("model", {"_target_": "???"}, "model._target_: not given. Write model._target_=module."),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    group: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        values_of(group, values)
    assert str(raised.value).startswith(message)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RequestError) as raised:
        axes.normalise({"train": {"epochs": 0, "batch_size": 0}, "init": {"name": "hee"}})
    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == [
        "train.epochs", "train.batch_size", "init.name",
    ]  # fmt: skip


def test_numbers_as_targets_contradict_a_loss_for_classes_and_a_net_for_images() -> None:
    config = {
        "data": {"_target_": DATA + "diabetes"},
        "model": {"_target_": CNN},
        "loss": {"name": "cross_entropy"},
        "task": BUILTIN,
    }
    with pytest.raises(RequestError) as raised:
        axes.normalise(config)
    assert str(raised.value).splitlines() == [
        "loss.name: cross_entropy needs classes, and data=diabetes has numbers: use loss=mse.",
        "model: cnn needs images, and data=diabetes has none: use model=mlp.",
    ]


def test_a_users_own_choices_keep_their_keys_and_data_axes_are_still_checked() -> None:
    own = {"_target_": "mine.net", "widht": "3"}
    assert values_of("model", own) == own
    data = values_of("data", {"_target_": "mine.data", "shift": 3, "scaling": False})
    assert (data["shift"], data["scaling"], data["color"]) == (3, "none", "native")
    with pytest.raises(RequestError, match=r"data\.color: 'gray' is not one of native, grey, rgb"):
        values_of("data", {"_target_": "mine.data", "color": "gray"})


def test_a_users_own_task_may_have_groups_of_its_own() -> None:
    config = {"task": {"_target_": "mine.train"}, "my": {"alpha": 1}}
    assert axes.normalise(config) == config


def test_executor_and_search_stay_as_they_are() -> None:
    config = {"executor": {"slots": "off"}, "search": None}
    assert axes.normalise(config) == config


def test_normalising_twice_changes_nothing() -> None:
    once = axes.normalise({g: load(CONF / g / f"{c}.yaml") for g, c in DEFAULTS.items()})
    assert axes.normalise(once) == once


DEFAULTS = {
    "data": "digits", "model": "mlp", "init": "default", "optim": "momentum",
    "schedule": "constant", "loss": "cross_entropy", "train": "default", "task": "builtin",
}  # fmt: skip


def load(file: Path) -> dict[str, Any]:
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_file_of_a_group_holds_all_its_keys_at_their_defaults(file: Path) -> None:
    given = {k: v for k, v in load(file).items() if v != "???"}
    group = file.parent.name
    full = {**given, **({"path": "here"} if file.stem in ("folder", "arrays") else {})}
    if file.stem == "custom":
        full["_target_"] = "mine.function"
    shortest = {k: v for k, v in full.items() if k in ("_target_", "name", "path")}
    for values in (full, shortest):
        assert axes.normalise({group: values})[group] == full


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_key_of_a_file_has_a_comment_above_it(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[1] == ""
    for above, line in pairwise(lines):
        if line and not line.startswith("#"):
            assert above.startswith("# "), line


def test_the_keys_common_to_all_data_are_commented_alike() -> None:
    def comment(file: Path, key: str) -> str:
        above = file.read_text(encoding="utf-8").split(f"\n{key}: ")[0]
        return above.rsplit("\n\n", 1)[-1]

    files = [f for f in FILES if f.parent.name == "data"]
    for key in axes.DATA_AXES:
        assert len({comment(file, key) for file in files}) == 1, key


def test_choices_list_what_each_key_takes() -> None:
    assert axes.choices("model", "cnn")["pooling"] == ["max", "average", "stride", "none"]
    assert axes.choices("optim", "adam")["lr"] == "a number above zero"
    assert axes.choices("train")["accuracy_mode"] == ["eval", "train", None]
    assert set(axes.choices("data", DATA + "digits")) == axes.DATA_AXES


def test_a_grid_of_a_thousand_arms_is_checked_within_a_second() -> None:
    config = {g: load(CONF / g / f"{c}.yaml") for g, c in DEFAULTS.items()}
    assert min(timeit.repeat(lambda: axes.normalise(config), number=100, repeat=3)) < 0.1


def test_checking_axes_imports_neither_torch_nor_hydra_nor_numpy() -> None:
    code = (
        "import sys, sweeper.axes; "
        "print({'torch', 'hydra', 'numpy', 'omegaconf'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
