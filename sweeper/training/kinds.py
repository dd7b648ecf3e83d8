"""The kinds of values that axes take: normalised, with their bounds and the words for them.

Imports neither torch nor NumPy, since every plan reads it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

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


NUMBER, NULL, NONE = (
    BeforeValidator(_plain),
    BeforeValidator(_or_null),
    BeforeValidator(_or_none),
)


def says(what: str, **bounds: Any) -> Any:
    """A field's bounds, and the words that name them in messages and in lists."""
    return Field(description=what, **bounds)


def real(what: str, **bounds: Any) -> Any:
    return says(what, allow_inf_nan=False, **bounds)


Positive = Annotated[float, NUMBER, real("a number above zero", gt=0)]
NotNegative = Annotated[float, NUMBER, real("a number from zero up", ge=0)]
BelowOne = Annotated[float, NUMBER, real("a number from 0 to below 1", ge=0, lt=1)]
Share = Annotated[float, NUMBER, real("a number from 0 to 1", ge=0, le=1)]
Factor = Annotated[float, NUMBER, real("a number above 0 and at most 1", gt=0, le=1)]
Number = Annotated[float, NUMBER, real("a number")]
Degrees = Annotated[float, NUMBER, real("a number of degrees from 0 to 180", ge=0, le=180)]
MaybePositive = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    NULL,
    says("a number above zero, or null"),
]
Count = Annotated[int, NUMBER, says("a whole number from 1 up", ge=1)]
CountOrZero = Annotated[int, NUMBER, says("a whole number from 0 up", ge=0)]
MaybeCount = Annotated[
    Annotated[int, Field(ge=1)] | None, NULL, says("a whole number from 1 up, or null")
]
Side = Annotated[int, NUMBER, says("a whole number from 4 to 1024", ge=4, le=1024)]
Classes = Annotated[int, NUMBER, says("a whole number from 2 to 36", ge=2, le=36)]
OddCount = Annotated[int, NUMBER, AfterValidator(_odd), says("an odd whole number from 1 up", ge=1)]
Switch = Annotated[bool, BeforeValidator(_switch), says("true or false")]
Text = Annotated[str, says("a text", min_length=1)]
Betas = Annotated[
    list[Annotated[float, Field(ge=0, lt=1)]],
    BeforeValidator(_plain_list),
    says("a list of two numbers from 0 to below 1", min_length=2, max_length=2),
]
Milestones = Annotated[
    list[Annotated[int, Field(ge=1)]],
    BeforeValidator(_plain_list),
    AfterValidator(_ascending),
    says("a list of whole numbers from 1 up, each above the one before"),
]
Labels = Annotated[list[str], BeforeValidator(_labels), says("a list of classes")]
MaybeLabel = Annotated[
    str | None, BeforeValidator(_label_or_null), says("the name of a class, or null")
]
Probes = Annotated[
    list[str], BeforeValidator(_probes), says(f"a list of some of {', '.join(PROBES)}")
]
LabelCounts = Annotated[
    dict[str, Annotated[int, Field(ge=1)]],
    BeforeValidator(_label_counts),
    says("a class and its whole number from 1 up, as {'9': 2}"),
]
Activation = Annotated[
    Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "elu", "none"], NONE
]
OutputActivation = Annotated[Literal["none", "relu", "sigmoid", "tanh", "softmax"], NONE]
Norm = Annotated[Literal["none", "batch"], NONE]
Scaling = Annotated[
    Literal[
        "none", "unit", "standardize", "standardize_channel", "standardize_by_variance"
    ],
    NONE,
]  # fmt: skip
TargetScaling = Annotated[Literal["none", "standardize", "center", "unit"], NONE]
Samples = Annotated[int, NUMBER, says("a whole number from 10 up", ge=10)]
Folds = Annotated[int, NUMBER, says("a whole number from 2 up", ge=2)]
Decades = Annotated[float, NUMBER, real("a number from 0 to 30", ge=0, le=30)]
Multiple = Annotated[float, NUMBER, real("a number above 0 and at most a million", gt=0, le=1e6)]
FilterSide = Annotated[
    int,
    NUMBER,
    AfterValidator(_side_of_a_filter),
    says("0, or an odd whole number from 3 up", ge=0),
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
    list[CheckName], BeforeValidator(_names), says("a list of checks", min_length=1)
]
