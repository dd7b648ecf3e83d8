"""What each choice of the built-in groups holds: its keys, their bounds and their defaults.

Imports neither torch nor NumPy, since every plan reads it.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from sweeper.training.kinds import (
    NONE,
    NULL,
    NUMBER,
    Activation,
    BelowOne,
    Betas,
    CheckNames,
    Classes,
    Count,
    CountOrZero,
    Decades,
    Degrees,
    Factor,
    FilterSide,
    Folds,
    LabelCounts,
    Labels,
    MaybeCount,
    MaybeLabel,
    MaybePositive,
    Milestones,
    Multiple,
    Norm,
    NotNegative,
    Number,
    OddCount,
    OutputActivation,
    Positive,
    Probes,
    Samples,
    Scaling,
    Share,
    Side,
    Switch,
    TargetScaling,
    Text,
    says,
)


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
    orientations: Annotated[Literal[1, 2, 4], NUMBER] = 1
    crop_width: MaybeCount = None
    layout: Literal["transpose", "reshape", "swap_transpose", "swap_reshape"] = "transpose"
    decades: Decades = 0.0
    squash: Annotated[Literal["none", "tanh", "tanh_scaled", "log", "clip"], NONE] = "none"
    squash_at: MaybePositive = None
    useless_inputs: CountOrZero = 0
    mismatch: Annotated[Literal["none", "unscaled", "own_statistics", "transposed"], NONE] = "none"
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
    errors: Annotated[Literal["none", "gaussian", "laplace"], NONE] = "gaussian"
    spread: NotNegative = 0.1
    turns: Positive = 1.5


class DigitPairs(Data):
    scaling: Scaling = "none"
    decades: Decades = 8.15
    samples: Annotated[int, NUMBER, says("a whole number from 1 to 898", ge=1, le=898)] = 4
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
    pooling: Annotated[Literal["max", "average", "stride", "none"], NONE] = "max"
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
    accuracy_mode: Annotated[Literal["eval", "train"] | None, NULL] = None
    evaluation_order: Literal["as_drawn", "by_class"] = "as_drawn"
    evaluation_batch_size: Count = 256
    validation_loss: Literal["mean", "divided_by_batch"] = "mean"
    stop_when_diverged: Switch = True
    evaluate_every: Count = 1
    shuffle: Literal["every_epoch", "once", "never"] = "every_epoch"
    clears_gradients: Switch = True
    l1: NotNegative = 0.0
    augmentation: Annotated[Literal["none", "shift", "flip", "rotate"], NONE] = "none"
    augmentation_size: Positive = 1.0
    input_noise: NotNegative = 0.0
    mining: Annotated[Literal["none", "hard", "random"], NONE] = "none"
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
