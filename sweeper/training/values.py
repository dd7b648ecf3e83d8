"""What each choice of the built-in groups holds: its keys, their bounds and their defaults.

Imports neither torch nor NumPy, since every plan reads it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# What may be read of a run besides its losses.
PROBES = ("cost", "noise", "preactivations", "weights", "steps", "gap", "errors")


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


def _side_of_a_filter(value: int) -> int:
    if value == 1:
        raise ValueError("changes nothing")
    return _odd(value) if value else 0


def _label(value: Any) -> str:
    """A class by its name: `9` and `"9"` are one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("not the name of a class")
    return str(value)


def _label_or_null(value: Any) -> Any:
    return None if value is None or value == "none" else _label(value)


def _probes(value: Any) -> Any:
    """Each probe once, in the order in which they are named here."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not set(map(str, given)) <= set(PROBES):
        raise ValueError("not known")
    return [name for name in PROBES if name in given]


def _labels(value: Any) -> Any:
    return sorted({_label(v) for v in value}) if isinstance(value, list | tuple) else value


def _names(value: Any) -> Any:
    """Sorted, each once; a name by itself is a list of one."""
    listed = [value] if isinstance(value, str) else value
    is_list = isinstance(listed, list | tuple) and all(isinstance(v, str) for v in listed)
    return sorted(set(listed)) if is_list else value


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
MaybeLabel = Annotated[
    str | None, BeforeValidator(_label_or_null), _says("the name of a class, or null")
]
Probes = Annotated[
    list[str], BeforeValidator(_probes), _says(f"a list of some of {', '.join(PROBES)}")
]
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
Scaling = Annotated[
    Literal[
        "none", "unit", "standardize", "standardize_channel", "standardize_by_variance"
    ],
    _NONE,
]  # fmt: skip
TargetScaling = Annotated[Literal["none", "standardize", "center", "unit"], _NONE]
Samples = Annotated[int, _NUMBER, _says("a whole number from 10 up", ge=10)]
Folds = Annotated[int, _NUMBER, _says("a whole number from 2 up", ge=2)]
Decades = Annotated[float, _NUMBER, _real("a number from 0 to 30", ge=0, le=30)]
Multiple = Annotated[float, _NUMBER, _real("a number above 0 and at most a million", gt=0, le=1e6)]
FilterSide = Annotated[
    int,
    _NUMBER,
    AfterValidator(_side_of_a_filter),
    _says("0, or an odd whole number from 3 up", ge=0),
]
# What `task=checks` can look at, by the names that claims of `kind: exact` give.
CheckName = Literal[
    "updates_per_epoch",
    "same_seed_same_result",
    "weights_reload",
    "fits_a_tiny_set",
    "fresh_order_every_epoch",
    "dropout_off_in_evaluation",
    "norm_off_in_evaluation",
    "words_decode",
    "inputs_can_be_seen",
    "exponent_overflows",
    "batch_update_is_the_mean",
    "decay_is_an_l2_penalty",
    "gradients_by_hand",
    "losses_agree",
    "printed_code_fails",
    "stacking",
    "every_sample_validated_once",
    "linear_net_collapses",
    "eval_without_norm_or_dropout",
    "gaussian_likelihood_is_mse",
]
CheckNames = Annotated[
    list[CheckName], BeforeValidator(_names), _says("a list of checks", min_length=1)
]


class Values(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Data(Values):
    """What acts on any data, also the user's own."""

    seed: CountOrZero = 0
    train_samples: MaybeCount = None
    validation_samples: MaybeCount = None
    split: Literal["random", "by_position", "by_class", "k_fold"] = "random"
    folds: Folds = 5
    order: Literal["as_drawn", "by_class"] = "as_drawn"
    color: Literal["native", "grey", "rgb"] = "native"
    scaling: Scaling = "standardize"
    statistics: Literal["own", "mnist", "imagenet"] = "own"
    target_scaling: TargetScaling = "none"
    drop_classes: Labels = []
    class_samples: LabelCounts = {}
    label_noise: Share = 0.0
    label_shift: CountOrZero = 0
    blank_share: Share = 0.0
    outlier_share: Share = 0.0
    outlier_in: Literal["inputs", "targets"] = "inputs"
    outlier_size: Multiple = 30.0
    clean_beyond: MaybePositive = None
    median_filter: FilterSide = 0
    orientations: Annotated[Literal[1, 2, 4], _NUMBER] = 1
    crop_width: MaybeCount = None
    layout: Literal["transpose", "reshape", "swap_transpose", "swap_reshape"] = "transpose"
    decades: Decades = 0.0
    squash: Annotated[Literal["none", "tanh", "tanh_scaled", "log", "clip"], _NONE] = "none"
    squash_at: MaybePositive = None
    useless_inputs: CountOrZero = 0
    mismatch: Annotated[Literal["none", "unscaled", "own_statistics", "transposed"], _NONE] = "none"
    validation_shift: CountOrZero = 0
    validation_rotation: Degrees = 0.0
    validation_zoom: BelowOne = 0.0
    dimensions: MaybeCount = None


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


class Toy(Data):
    train_samples: MaybeCount = 300
    kind: Literal["moons", "spirals", "curve", "smooth", "linear"] = "moons"
    samples: Samples = 2000
    errors: Annotated[Literal["none", "gaussian", "laplace"], _NONE] = "gaussian"
    spread: NotNegative = 0.1
    turns: Positive = 1.5


class DigitPairs(Data):
    scaling: Scaling = "none"
    decades: Decades = 8.15
    samples: Annotated[int, _NUMBER, _says("a whole number from 1 to 898", ge=1, le=898)] = 4
    noise: NotNegative = 5.0


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
    cuts_gradient: Switch = False


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
    cuts_gradient: Switch = False


class Reference(Values):
    channels: Count = 64
    kernel_size: Count = 3
    pool: Count = 4
    activation: Activation = "none"


class Rnn(Values):
    hidden_units: Count = 64
    shares_weights: Switch = True
    activation: Activation = "relu"
    steps: MaybeCount = None


class Fcn(Values):
    depth: Count = 16
    channels: Count = 16
    kernel_size: OddCount = 3
    activation: Activation = "relu"
    norm: Norm = "none"
    norm_momentum: Factor = 0.1
    bias: Switch = True


class Anything(Values):
    model_config = ConfigDict(extra="allow")


class Plain(Values):
    """A choice by name without parts of its own."""

    name: str


class Drawn(Plain):
    """Starting weights that are drawn anew, and the biases beside them."""

    bias_value: Number = 0.0
    bias_std: NotNegative = 0.0


class VarianceScaling(Drawn):
    scale: Positive = 2.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["normal", "truncated_normal", "uniform"] = "truncated_normal"


class Spread(Drawn):
    std: Positive = 0.1


class ConstantInit(Drawn):
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
    shuffle: Literal["every_epoch", "once", "never"] = "every_epoch"
    clears_gradients: Switch = True
    l1: NotNegative = 0.0
    augmentation: Annotated[Literal["none", "shift", "flip", "rotate"], _NONE] = "none"
    augmentation_size: Positive = 1.0
    input_noise: NotNegative = 0.0
    mining: Annotated[Literal["none", "hard", "random"], _NONE] = "none"
    mining_every: Count = 10
    mining_share: Factor = 0.1
    interrupt_after: MaybeCount = None
    optimizer_state: Literal["restored", "dropped"] = "restored"
    pretrain_epochs: CountOrZero = 0
    watch_class: MaybeLabel = None
    probes: Probes = []


class Builtin(Values):
    pass


class Checks(Values):
    checks: CheckNames


class Surface(Values):
    surface: Literal["double_well", "saddle"] = "double_well"
    starts: Count = 1000
    steps: Count = 400
    noise: NotNegative = 3.0


class Adversarial(Values):
    mode: Literal["adversarial", "alone"] = "adversarial"
    part: Literal["discriminator", "generator"] = "discriminator"
    steps: Count = 600


TRAINING = "sweeper.training."
DATA, MODELS, LOOP = (f"{TRAINING}{module}." for module in ("data", "models", "loop"))
CHECKS = TRAINING + "checks.run"

# Group → its choices, by `_target_` or by `name`.
TARGETS: dict[str, dict[str, type[Values]]] = {
    "data": {
        DATA + "digits": Digits,
        DATA + "diabetes": Diabetes,
        DATA + "captcha": Captcha,
        DATA + "toy": Toy,
        DATA + "digit_pairs": DigitPairs,
        DATA + "folder": Folder,
        DATA + "arrays": Arrays,
    },
    "model": {
        MODELS + "mlp": Mlp,
        MODELS + "cnn": Cnn,
        MODELS + "reference": Reference,
        MODELS + "rnn": Rnn,
        MODELS + "fcn": Fcn,
    },
    "task": {
        LOOP + "train": Builtin,
        CHECKS: Checks,
        TRAINING + "surface.descend": Surface,
        TRAINING + "adversarial.train": Adversarial,
    },
}
FOREIGN: dict[str, type[Values]] = {"data": CustomData, "model": Anything, "task": Anything}
NAMES: dict[str, dict[str, type[Values]]] = {
    "init": {
        "default": Plain,
        **dict.fromkeys(("he", "xavier", "lecun"), Drawn),
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
    "loss": dict.fromkeys(
        ("cross_entropy", "naive_cross_entropy", "misapplied_cross_entropy", "mse", "mae"), Plain
    ),
}
