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
from sweeper.identity import ADDED_LATER
from sweeper.listing import Files
from sweeper.training.values import Data

CONF = Path(__file__).parents[1] / "conf"
MLP = "sweeper.training.models.mlp"
CNN = "sweeper.training.models.cnn"
DATA = "sweeper.training.data."
BUILTIN = {"_target_": "sweeper.training.loop.train"}
OURS = ("data", "model", "init", "optim", "schedule", "loss", "train", "task")
FILES = [f for group in OURS for f in sorted((CONF / group).glob("*.yaml"))]


def values_of(group: str, values: dict[str, Any]) -> dict[str, Any]:
    result = axes.normalise({"task": BUILTIN, group: values})[group]
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
        (
            "task",
            {"_target_": "sweeper.training.checks.run", "checks": "stacking"},
            {"_target_": "sweeper.training.checks.run", "checks": ["stacking", "stacking"]},
        ),
        (
            "train",
            {"probes": ("steps", "cost"), "watch_class": 8},
            {"probes": ["cost", "steps", "cost"], "watch_class": "8"},
        ),
        ("train", {"probes": "cost", "watch_class": "none"}, {"probes": ["cost"]}),
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
        (
            "train",
            {"shuffle": "always"},
            "train.shuffle: 'always' is not one of every_epoch, once, never.",
        ),
        (
            "train",
            {"clears_gradients": 0.5},
            "train.clears_gradients: 0.5 is not true or false.",
        ),
        ("train", {"l1": -1}, "train.l1: -1 is not a number from zero up."),
        (
            "train",
            {"augmentation": "shfit"},
            "train.augmentation: 'shfit' is not one of none, shift, flip, rotate. "
            "Did you mean 'shift'?",
        ),
        (
            "train",
            {"augmentation": "shift", "augmentation_size": 1.5},
            "train.augmentation_size: 1.5 is no whole number of pixels to shift by.",
        ),
        ("train", {"input_noise": True}, "train.input_noise: True is not a number from zero up."),
        ("train", {"mining": "easy"}, "train.mining: 'easy' is not one of none, hard, random."),
        ("train", {"mining_every": 0}, "train.mining_every: 0 is not a whole number from 1 up."),
        (
            "train",
            {"mining_share": 1.5},
            "train.mining_share: 1.5 is not a number above 0 and at most 1.",
        ),
        (
            "train",
            {"interrupt_after": 10},
            "train.interrupt_after: 10 leaves none of 10 epochs to go on with.",
        ),
        (
            "train",
            {"optimizer_state": "dropped"},
            "train.optimizer_state: dropped needs an epoch to stop at, train.interrupt_after.",
        ),
        (
            "train",
            {"pretrain_epochs": 3},
            "train.pretrain_epochs: the classes to begin with are those that data.drop_classes "
            "leaves out: name two or more.",
        ),
        (
            "train",
            {"watch_class": 2.5},
            "train.watch_class: 2.5 is not the name of a class, or null.",
        ),
        (
            "train",
            {"probes": ["costs"]},
            "train.probes: ['costs'] is not a list of some of cost, noise, preactivations, "
            "weights, steps, gap, errors.",
        ),
        ("init", {"name": "default", "bias_std": 1}, "init.bias_std: unknown."),
        (
            "init",
            {"name": "he", "bias_std": -1},
            "init.bias_std: -1 is not a number from zero up.",
        ),
        (
            "model",
            {"_target_": MLP, "cuts_gradient": 2.0},
            "model.cuts_gradient: 2.0 is not true or false.",
        ),
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
        (
            "task",
            {"_target_": "sweeper.training.checks.run", "checks": ["staking"]},
            "task.checks: 'staking' is not one of updates_per_epoch, same_seed_same_result, ",
        ),
        (
            "task",
            {"_target_": "sweeper.training.checks.run", "checks": []},
            "task.checks: [] is not one of updates_per_epoch, ",
        ),
        (
            "task",
            {"_target_": "sweeper.training.surface.descend", "surface": "sadle"},
            "task.surface: 'sadle' is not one of double_well, saddle. Did you mean 'saddle'?",
        ),
        (
            "task",
            {"_target_": "sweeper.training.adversarial.train", "steps": 0},
            "task.steps: 0 is not a whole number from 1 up.",
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


def test_classes_contradict_the_fault_of_a_cross_entropy_on_numbers() -> None:
    config = {
        "data": {"_target_": DATA + "digits"},
        "loss": {"name": "misapplied_cross_entropy"},
        "task": BUILTIN,
    }
    with pytest.raises(RequestError) as raised:
        axes.normalise(config)
    assert str(raised.value) == (
        "loss.name: misapplied_cross_entropy needs numbers, and data=digits has classes."
    )


@pytest.mark.parametrize(
    ("source", "values", "message"),
    [
        ("digits", {"split": "kfold"}, "data.split: 'kfold' is not one of random, by_position, "),
        ("digits", {"folds": 1}, "data.folds: 1 is not a whole number from 2 up."),
        ("digits", {"label_noise": 1.2}, "data.label_noise: 1.2 is not a number from 0 to 1."),
        ("digits", {"median_filter": 4}, "data.median_filter: 4 is not 0, or an odd whole number"),
        ("digits", {"median_filter": 1}, "data.median_filter: 1 is not 0, or an odd whole number"),
        ("digits", {"orientations": 3}, "data.orientations: 3 is not one of 1, 2, 4."),
        ("digits", {"orientations": True}, "data.orientations: True is not one of 1, 2, 4."),
        ("digits", {"decades": 40}, "data.decades: 40 is not a number from 0 to 30."),
        ("digits", {"outlier_size": 1e9}, "data.outlier_size: 1000000000.0 is not a number above"),
        (
            "toy",
            {"kind": "moon"},
            "data.kind: 'moon' is not one of moons, spirals, curve, smooth, ",
        ),
        ("digit_pairs", {"samples": 899}, "data.samples: 899 is not a whole number from 1 to 898."),
        (
            "digits",
            {"statistics": "mnist"},
            "data.statistics: mnist needs data.scaling=standardize_channel, and that is "
            "standardize.",
        ),
        (
            "captcha",
            {"mismatch": "unscaled", "scaling": "none"},
            "data.mismatch: unscaled needs a scaling, and data.scaling is none.",
        ),
        (
            "digits",
            {"squash": "clip"},
            "data.squash_at: data.squash=clip needs its bound, as in data.squash_at=1e6.",
        ),
        (
            "digits",
            {"outlier_share": 0.1, "outlier_in": "targets"},
            "data.outlier_in: targets needs numbers as targets, and data=digits has classes.",
        ),
        (
            "digits",
            {"target_scaling": "unit"},
            "data.target_scaling: unit needs numbers as targets, and data=digits has classes.",
        ),
        (
            "captcha",
            {"useless_inputs": 3},
            "data.useless_inputs: 3 needs vectors, and data=captcha has images.",
        ),
        ("digits", {"crop_width": 9}, "data.crop_width: 9 of 8 columns that are there."),
        ("captcha", {"validation_shift": 16}, "data.validation_shift: 16 of images of 16 pixels."),
        (
            "digits",
            {"layout": "reshape"},
            "data.layout: reshape changes nothing in images of one channel: use data.color=rgb.",
        ),
        (
            "digits",
            {"layout": "swap_reshape"},
            "data.layout: swap_reshape changes nothing in square images: let data.crop_width make ",
        ),
        (
            "digits",
            {"mismatch": "transposed", "crop_width": 6},
            "data.mismatch: transposed needs square images: leave data.crop_width out.",
        ),
        (
            "diabetes",
            {"layout": "reshape"},
            "data.layout: reshape needs images, and data=diabetes has none.",
        ),
        (
            "toy",
            {"validation_shift": 1},
            "data.validation_shift: 1 needs images, and data.kind=moons has none.",
        ),
        (
            "diabetes",
            {"label_noise": 0.1},
            "data.label_noise: 0.1 needs classes, and data=diabetes has numbers.",
        ),
        (
            "toy",
            {"kind": "curve", "order": "by_class"},
            "data.order: by_class needs classes, and data.kind=curve has numbers.",
        ),
        (
            "digit_pairs",
            {"split": "by_position"},
            "data.split: by_position of what data=digit_pairs has split already.",
        ),
        (
            "toy",
            {"samples": 350},
            "data.samples: 350 are fewer than 300 for training and 70 for validation.",
        ),
    ],
)
def test_a_data_axis_that_cannot_be_is_named_before_any_data_is_read(
    source: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        values_of("data", {"_target_": DATA + source, **values})
    assert str(raised.value).startswith(message)


def test_reduced_inputs_contradict_a_net_for_images() -> None:
    config = {"data": {"_target_": DATA + "digits", "dimensions": 3}, "model": {"_target_": CNN}}
    with pytest.raises(RequestError) as raised:
        axes.normalise(config)
    assert str(raised.value) == (
        "model: cnn needs images, and data.dimensions leaves vectors: use model=mlp."
    )


def test_an_older_trial_keeps_its_name_since_a_later_data_axis_is_left_out_at_its_default() -> None:
    later = {k for k in axes.DATA_AXES if f"data.{k}" in ADDED_LATER}
    assert {k: ADDED_LATER[f"data.{k}"] for k in later} == {
        k: v for k, v in Data().model_dump().items() if k in later
    }
    assert axes.DATA_AXES - later == {
        "seed", "train_samples", "validation_samples", "split", "color", "scaling",
        "target_scaling", "drop_classes", "class_samples",
    }  # fmt: skip


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
    return Files([CONF]).read(file)[0]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_file_of_a_group_holds_all_its_keys_at_their_defaults(file: Path) -> None:
    given = {k: v for k, v in load(file).items() if v != "???"}
    group = file.parent.name
    full = {**given, **({"path": "here"} if file.stem in ("folder", "arrays") else {})}
    full |= {"checks": ["stacking"]} if file.stem == "checks" else {}
    if file.stem == "custom":
        full["_target_"] = "mine.function"
    shortest = {k: v for k, v in full.items() if k in ("_target_", "name", "path", "checks")}
    for values in (full, shortest):
        assert axes.normalise({group: values})[group] == full


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_key_of_a_file_has_a_comment_above_it(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[1] == ""
    for above, line in pairwise(lines):
        if line and not line.startswith(("#", " ")):
            assert above.startswith("# "), line


def test_the_keys_common_to_all_data_are_commented_alike() -> None:
    files = Files([CONF])
    comments = [files.read(f)[1] for f in FILES if f.parent.name == "data"]
    for key in axes.DATA_AXES:
        assert len({said[key] for said in comments}) == 1, key


def test_what_acts_on_any_data_stands_in_one_file() -> None:
    values, comments = Files([CONF]).read(CONF / "data/any/axes.yaml")
    assert values == Data().model_dump()
    assert [key for key, said in comments.items() if not said] == []
    for file in (f for f in FILES if f.parent.name == "data"):
        own = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert own["defaults"] == ["any/axes@_here_", "_self_"]
        same = {k for k in axes.DATA_AXES & set(own) if own[k] == values[k]}
        assert not same, f"{file.name} repeats {same}"


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
