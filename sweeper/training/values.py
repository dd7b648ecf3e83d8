"""What each choice of the built-in groups holds: its keys, their bounds and their defaults.

Imports neither torch nor NumPy, since every plan reads it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _plain(value: Any) -> Any:
    """Refuse what pydantic would quietly read as a number, and write minus zero as zero."""
    if isinstance(value, bool):
        raise ValueError("a switch, not a number")
    return 0.0 if isinstance(value, float) and value == 0 else value


def _or_null(value: Any) -> Any:
    return None if value is None or value is False or value == "none" else _plain(value)


def _or_none(value: Any) -> Any:
    """Off, in the words of YAML (False, null) and of the command line (`off`, `no`, `null`)."""
    return "none" if value in (None, False, "off", "no") else value


def _switch(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("a number, not a switch")
    return value


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("even")
    return value


def _label(value: Any) -> str:
    """A class by its name: `9` and `"9"` are one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("not the name of a class")
    return str(value)


def _labels(value: Any) -> Any:
    return sorted({_label(v) for v in value}) if isinstance(value, list | tuple) else value


def _label_counts(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return dict(sorted((_label(label), _plain(count)) for label, count in value.items()))


def _plain_list(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _ascending(value: list[int]) -> list[int]:
    if value != sorted(set(value)):
        raise ValueError("not ascending")
    return value


_NUMBER, _NULL, _NONE = (
    BeforeValidator(_plain),
    BeforeValidator(_or_null),
    BeforeValidator(_or_none),
)


def _says(what: str, **bounds: Any) -> Any:
    """A field's bounds, and the words that name them in messages and in lists."""
    return Field(description=what, **bounds)


def _real(what: str, **bounds: Any) -> Any:
    return _says(what, allow_inf_nan=False, **bounds)


Positive = Annotated[float, _NUMBER, _real("a number above zero", gt=0)]
NotNegative = Annotated[float, _NUMBER, _real("a number from zero up", ge=0)]
BelowOne = Annotated[float, _NUMBER, _real("a number from 0 to below 1", ge=0, lt=1)]
Share = Annotated[float, _NUMBER, _real("a number from 0 to 1", ge=0, le=1)]
Factor = Annotated[float, _NUMBER, _real("a number above 0 and at most 1", gt=0, le=1)]
Number = Annotated[float, _NUMBER, _real("a number")]
Degrees = Annotated[float, _NUMBER, _real("a number of degrees from 0 to 180", ge=0, le=180)]
MaybePositive = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    _NULL,
    _says("a number above zero, or null"),
]
Count = Annotated[int, _NUMBER, _says("a whole number from 1 up", ge=1)]
CountOrZero = Annotated[int, _NUMBER, _says("a whole number from 0 up", ge=0)]
MaybeCount = Annotated[
    Annotated[int, Field(ge=1)] | None, _NULL, _says("a whole number from 1 up, or null")
]
Side = Annotated[int, _NUMBER, _says("a whole number from 4 to 1024", ge=4, le=1024)]
Classes = Annotated[int, _NUMBER, _says("a whole number from 2 to 36", ge=2, le=36)]
OddCount = Annotated[
    int, _NUMBER, AfterValidator(_odd), _says("an odd whole number from 1 up", ge=1)
]
Switch = Annotated[bool, BeforeValidator(_switch), _says("true or false")]
Text = Annotated[str, _says("a text", min_length=1)]
Betas = Annotated[
    list[Annotated[float, Field(ge=0, lt=1)]],
    BeforeValidator(_plain_list),
    _says("a list of two numbers from 0 to below 1", min_length=2, max_length=2),
]
Milestones = Annotated[
    list[Annotated[int, Field(ge=1)]],
    BeforeValidator(_plain_list),
    AfterValidator(_ascending),
    _says("a list of whole numbers from 1 up, each above the one before"),
]
Labels = Annotated[list[str], BeforeValidator(_labels), _says("a list of classes")]
LabelCounts = Annotated[
    dict[str, Annotated[int, Field(ge=1)]],
    BeforeValidator(_label_counts),
    _says("a class and its whole number from 1 up, as {'9': 2}"),
]
Activation = Annotated[
    Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "elu", "none"], _NONE
]
OutputActivation = Annotated[Literal["none", "relu", "sigmoid", "tanh", "softmax"], _NONE]
Norm = Annotated[Literal["none", "batch"], _NONE]
Scaling = Annotated[Literal["none", "unit", "standardize", "standardize_channel"], _NONE]
TargetScaling = Annotated[Literal["none", "standardize"], _NONE]


class Values(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Data(Values):
    """What acts on any data, also the user's own."""

    seed: CountOrZero = 0
    train_samples: MaybeCount = None
    validation_samples: MaybeCount = None
    split: Literal["random"] = "random"
    color: Literal["native", "grey", "rgb"] = "native"
    scaling: Scaling = "standardize"
    target_scaling: TargetScaling = "none"
    drop_classes: Labels = []
    class_samples: LabelCounts = {}


class CustomData(Data):
    model_config = ConfigDict(extra="allow")


class Digits(Data):
    validation_samples: MaybeCount = 597


class Diabetes(Data):
    validation_samples: MaybeCount = 142
    target_scaling: TargetScaling = "standardize"


class Captcha(Data):
    validation_samples: MaybeCount = 1000
    scaling: Scaling = "unit"
    image_size: Side = 16
    classes: Classes = 10
    images: Count = 6000
    colors: Literal["any_pair", "dark_on_light"] = "any_pair"
    background: Literal["plain", "gradient"] = "plain"
    dots: CountOrZero = 4
    dot_size: Positive = 2.0
    lines: CountOrZero = 0
    rotation: Degrees = 15.0
    size_jitter: BelowOne = 0.1
    noise: NotNegative = 0.0


class Folder(Data):
    path: Text
    image_size: Side = 32
    scaling: Scaling = "unit"


class Arrays(Data):
    path: Text


class Mlp(Values):
    depth: CountOrZero = 2
    hidden_units: Count = 64
    activation: Activation = "relu"
    norm: Norm = "none"
    norm_momentum: Factor = 0.1
    dropout: BelowOne = 0.0
    bias: Switch = True
    output_activation: OutputActivation = "none"


class Cnn(Values):
    depth: Count = 2
    channels: Count = 12
    kernel_size: OddCount = 3
    pooling: Annotated[Literal["max", "average", "stride", "none"], _NONE] = "max"
    pool_every: Count = 1
    hidden_units: CountOrZero = 48
    activation: Activation = "relu"
    norm: Norm = "none"
    norm_momentum: Factor = 0.1
    dropout: BelowOne = 0.0
    dropout_placement: Literal["hidden", "conv", "both"] = "hidden"
    bias: Switch = True
    output_activation: OutputActivation = "none"


class Anything(Values):
    model_config = ConfigDict(extra="allow")


class Plain(Values):
    """A choice by name without parts of its own."""

    name: str


class VarianceScaling(Plain):
    scale: Positive = 2.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["normal", "truncated_normal", "uniform"] = "truncated_normal"


class Spread(Plain):
    std: Positive = 0.1


class ConstantInit(Plain):
    value: Number = 0.01


class Sgd(Plain):
    lr: Positive = 0.01
    weight_decay: NotNegative = 0.0


class Momentum(Sgd):
    momentum: BelowOne = 0.9


class Adam(Sgd):
    lr: Positive = 0.001
    betas: Betas = [0.9, 0.999]
    eps: Positive = 1e-8


class RmsProp(Sgd):
    lr: Positive = 0.001
    alpha: BelowOne = 0.99
    momentum: BelowOne = 0.0
    eps: Positive = 1e-8


class Step(Plain):
    every_epochs: Count = 10
    factor: Factor = 0.1


class MultiStep(Plain):
    milestones: Milestones = [5, 8]
    factor: Factor = 0.1


class Exponential(Plain):
    factor: Factor = 0.9995


class Cosine(Plain):
    final_lr_share: Share = 0.0


class Plateau(Plain):
    watch: Literal["running_loss", "val_loss"] = "running_loss"
    factor: Factor = 0.1
    patience: Count = 3
    threshold: BelowOne = 0.02


class OneCycle(Plain):
    peak_share: BelowOne = 0.3
    start_share: Factor = 0.04
    final_lr_share: Share = 0.0


class Warmup(Plain):
    steps: Count = 100


class Train(Values):
    epochs: Count = 10
    batch_size: Count = 32
    clip_norm: MaybePositive = None
    clip_value: MaybePositive = None
    evaluation_mode: Literal["eval", "train"] = "eval"
    accuracy_mode: Annotated[Literal["eval", "train"] | None, _NULL] = None
    evaluation_order: Literal["as_drawn", "by_class"] = "as_drawn"
    evaluation_batch_size: Count = 256
    validation_loss: Literal["mean", "divided_by_batch"] = "mean"
    stop_when_diverged: Switch = True
    evaluate_every: Count = 1


class Builtin(Values):
    pass


DATA, MODELS, LOOP = (f"sweeper.training.{module}." for module in ("data", "models", "loop"))

# Group → its choices, by `_target_` or by `name`.
TARGETS: dict[str, dict[str, type[Values]]] = {
    "data": {
        DATA + "digits": Digits,
        DATA + "diabetes": Diabetes,
        DATA + "captcha": Captcha,
        DATA + "folder": Folder,
        DATA + "arrays": Arrays,
    },
    "model": {MODELS + "mlp": Mlp, MODELS + "cnn": Cnn},
    "task": {LOOP + "train": Builtin},
}
FOREIGN: dict[str, type[Values]] = {"data": CustomData, "model": Anything, "task": Anything}
NAMES: dict[str, dict[str, type[Values]]] = {
    "init": {
        **dict.fromkeys(("default", "he", "xavier", "lecun"), Plain),
        "variance_scaling": VarianceScaling,
        "normal": Spread,
        "truncated_normal": Spread,
        "constant": ConstantInit,
    },
    "optim": {
        "sgd": Sgd,
        "momentum": Momentum,
        "nesterov": Momentum,
        "adam": Adam,
        "adamw": Adam,
        "rmsprop": RmsProp,
    },
    "schedule": {
        "constant": Plain,
        "step": Step,
        "multi_step": MultiStep,
        "exponential": Exponential,
        "cosine": Cosine,
        "plateau": Plateau,
        "one_cycle": OneCycle,
        "warmup": Warmup,
    },
    "loss": dict.fromkeys(("cross_entropy", "naive_cross_entropy", "mse", "mae"), Plain),
}
