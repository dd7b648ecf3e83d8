"""The values that the built-in groups take: checked, and written one way only.

YAML reads `off` as False and `1e-3` as text, the command line does not: without this, one arm
would have two identities. Imports neither torch nor Hydra, so that a plan stays cheap.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sweeper.errors import RequestError, nearest
from sweeper.targets import OWN
from sweeper.training.values import (
    DATA,
    FOREIGN,
    MODELS,
    NAMES,
    TARGETS,
    Data,
    Train,
    Values,
)

# What acts on any data, also the user's: not passed on to a data function unless it names it.
DATA_AXES = frozenset(Data.model_fields)
# Those that say something of one data set, not of how any is prepared.
OF_ONE_SOURCE = frozenset(
    {"train_samples", "validation_samples", "class_samples", "drop_classes", "color"}
)
# Those that act on images alone, the models that read nothing else, and the toys with numbers.
IMAGE_AXES = (
    "color", "median_filter", "orientations", "crop_width", "layout", "validation_shift",
    "validation_rotation", "validation_zoom",
)  # fmt: skip
OF_IMAGES = frozenset({"cnn", "reference", "rnn", "fcn"})
TOY_NUMBERS = frozenset({"data.kind=curve", "data.kind=smooth", "data.kind=linear"})
GROUPS = ("data", "model", "init", "optim", "schedule", "loss", "train", "task")

# OmegaConf's mark of a value that is still to be given.
MISSING = "???"


def normalise(config: Mapping[str, Any]) -> dict[str, Any]:
    """The whole configuration with every built-in value checked and written one way.

    `executor` and `search` stay as they are; keys that were left out stand at their defaults.
    Raises RequestError naming every axis at fault, its value and what is allowed.
    """
    problems: list[str] = []
    result = {
        group: _group(group, values, problems) if group in GROUPS else values
        for group, values in config.items()
    }
    if _is_builtin(result):
        own = (*GROUPS, "executor", "search", "pruner")
        problems += [
            f"{g}: unknown. {nearest(g, own, what='axes')}" for g in result if g not in own
        ]
    if not problems and _is_builtin(result):
        problems += _contradictions(result)
    if problems:
        raise RequestError("\n".join(problems))
    return result


def choices(group: str, choice: str | None = None) -> dict[str, list[Any] | str]:
    """Each key of a choice (by `name`, by `_target_` or by its last part) with what it takes.

    A list holds the allowed values, a text describes them. The group `train` has one choice.
    """
    if group == "train":
        model: type[Values] = Train
    else:
        table = NAMES.get(group) or TARGETS[group]
        short = {key.rpartition(".")[2]: value for key, value in table.items()}
        model = table.get(choice or "") or short.get(choice or "") or FOREIGN[group]
    return {k: _allowed(f) for k, f in model.model_fields.items() if k != "name"}


def _is_builtin(config: Mapping[str, Any]) -> bool:
    task = config.get("task")
    return not isinstance(task, Mapping) or task.get("_target_") in list(TARGETS["task"])


def _group(group: str, values: Any, problems: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(f"{group}: {values!r} is not a choice with its parts (a mapping).")
        return values
    given = dict(values)
    target = given.pop("_target_", None) if group in TARGETS else None
    try:
        model = _model(group, given, target)
        checked = model.model_validate(given).model_dump()
    except ValidationError as error:
        problems += [_sentence(group, model, e) for e in error.errors(include_url=False)]
        return values
    except RequestError as error:
        problems.append(str(error))
        return values
    return checked if target is None else {"_target_": target, **checked}


def _model(group: str, given: Mapping[str, Any], target: Any) -> type[Values]:
    if group == "train":
        return Train
    if group in NAMES:
        return _known(f"{group}.name", given.get("name"), NAMES[group])
    if not isinstance(target, str) or target in ("", MISSING):
        raise RequestError(f"{group}._target_: not given. Write {group}._target_=module.function.")
    ours = TARGETS[group]
    if target.startswith(OWN):
        return _known(f"{group}._target_", target, ours)
    return FOREIGN[group]


def _known(axis: str, value: Any, table: Mapping[str, type[Values]]) -> type[Values]:
    if not isinstance(value, str) or value not in table:
        raise RequestError(
            f"{axis}: {value!r} is not one of {', '.join(table)}.{_hint(value, table)}"
        )
    return table[value]


def _hint(value: Any, known: Mapping[str, Any] | list[Any]) -> str:
    hint = nearest(value, map(str, known), what="") if isinstance(value, str) else ""
    return f" {hint}" if hint.startswith("Did") else ""


def _sentence(group: str, model: type[Values], error: ErrorDetails) -> str:
    if error["type"] == "invalid_key":
        return f"{group}: {error['msg']} (got {error['input']!r})."
    key = str(error["loc"][0])
    axis = f"{group}.{key}"
    if error["type"] == "extra_forbidden":
        known = [k for k in model.model_fields if k != "name"]
        return f"{axis}: unknown. {nearest(key, known, what='keys')}"
    allowed = _allowed(model.model_fields[key])
    says = (
        f"one of {', '.join('null' if v is None else str(v) for v in allowed)}"
        if isinstance(allowed, list)
        else allowed
    )
    if error["type"] == "missing" or error["input"] == MISSING:
        return f"{axis}: not given. It takes {says}."
    hint = _hint(error["input"], allowed) if isinstance(allowed, list) else ""
    return f"{axis}: {error['input']!r} is not {says}.{hint}"


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _allowed(field: FieldInfo) -> list[Any] | str:
    parts = [field.annotation, *get_args(field.annotation)]
    for part in parts:
        if get_origin(part) is Literal:
            return [*get_args(part), *([None] if type(None) in parts else [])]
    return field.description or "any value"


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """What cannot work together, as far as it shows before any data is read."""
    data, model = (config.get(g) or {} for g in ("data", "model"))
    if data:
        yield from _within_data(data, model)
        yield from _of_source(data, config)
    if config.get("train"):
        yield from _within_train(config["train"], data)
    if data.get("_target_") == DATA + "captcha":
        yield from _for_captcha(data)
    if data.get("_target_") == DATA + "toy":
        yield from _for_toy(data)
    if model.get("_target_") == MODELS + "cnn":
        yield from _for_cnn(model)


def _within_data(data: Any, model: Any) -> Iterator[str]:
    """Axes that would change nothing, or that need another: an arm must not be one in name only."""
    scaling, statistics, mismatch = (data[k] for k in ("scaling", "statistics", "mismatch"))
    if statistics != "own" and scaling != "standardize_channel":
        yield (
            f"data.statistics: {statistics} needs data.scaling=standardize_channel, and that is "
            f"{scaling}."
        )
    if mismatch in ("unscaled", "own_statistics") and scaling == "none":
        yield f"data.mismatch: {mismatch} needs a scaling, and data.scaling is none."
    if data["squash"] == "clip" and data["squash_at"] is None:
        yield "data.squash_at: data.squash=clip needs its bound, as in data.squash_at=1e6."
    choice = model.get("_target_", "").removeprefix(MODELS)
    if data["dimensions"] is not None and choice in OF_IMAGES:
        yield f"model: {choice} needs images, and data.dimensions leaves vectors: use model=mlp."


def _within_train(train: Any, data: Any) -> Iterator[str]:
    after, epochs = train["interrupt_after"], train["epochs"]
    if after is not None and after >= epochs:
        yield f"train.interrupt_after: {after} leaves none of {epochs} epochs to go on with."
    if train["optimizer_state"] == "dropped" and after is None:
        yield "train.optimizer_state: dropped needs an epoch to stop at, train.interrupt_after."
    if train["augmentation"] == "shift" and train["augmentation_size"] % 1:
        size = train["augmentation_size"]
        yield f"train.augmentation_size: {size:g} is no whole number of pixels to shift by."
    is_ours = data.get("_target_", OWN).startswith(OWN)  # else what lacks classes is skipped
    if train["pretrain_epochs"] and is_ours and len(data.get("drop_classes", ())) < 2:
        yield (
            "train.pretrain_epochs: the classes to begin with are those that data.drop_classes "
            "leaves out: name two or more."
        )
    if train["watch_class"] is not None and train["watch_class"] in data.get("drop_classes", ()):
        yield f"train.watch_class: data.drop_classes leaves {train['watch_class']} out."


def _of_source(data: Any, config: Mapping[str, Any]) -> Iterator[str]:
    source = data.get("_target_", "")
    shown = f"data={source.removeprefix(DATA)}"
    if source == DATA + "toy":
        shown = f"data.kind={data['kind']}"
    if source in (DATA + "diabetes", DATA + "digit_pairs") or shown in TOY_NUMBERS:
        yield from _for_regression(shown, data, config)
    elif source in (DATA + "digits", DATA + "captcha", DATA + "toy"):
        yield from _for_classes(shown, data, config.get("loss") or {})
    if source in (DATA + "diabetes", DATA + "toy"):
        yield from _for_vectors(shown, data, config.get("model") or {})
    elif source in (DATA + "digits", DATA + "captcha", DATA + "digit_pairs"):
        yield from _for_images(shown, data)
    if (source == DATA + "digit_pairs" or shown in TOY_NUMBERS) and data["split"] != "random":
        yield f"data.split: {data['split']} of what {shown} has split already."


def _for_regression(shown: str, data: Any, config: Mapping[str, Any]) -> Iterator[str]:
    model, loss, train = (config.get(g) or {} for g in ("model", "loss", "train"))
    if loss.get("name") in ("cross_entropy", "naive_cross_entropy"):
        name = loss["name"]
        yield f"loss.name: {name} needs classes, and {shown} has numbers: use loss=mse."
    if train.get("evaluation_order") == "by_class":
        yield f"train.evaluation_order: by_class needs classes, and {shown} has numbers."
    if train.get("watch_class") is not None:
        yield f"train.watch_class: {train['watch_class']} needs classes, and {shown} has numbers."
    if model.get("output_activation") == "softmax":
        yield f"model.output_activation: softmax needs classes, and {shown} has numbers."
    for key in ("split", "order"):
        if data[key] == "by_class":
            yield f"data.{key}: by_class needs classes, and {shown} has numbers."
    for key in ("label_noise", "drop_classes", "class_samples"):
        if data[key]:
            yield f"data.{key}: {data[key]} needs classes, and {shown} has numbers."


def _for_classes(shown: str, data: Any, loss: Any) -> Iterator[str]:
    if loss.get("name") == "misapplied_cross_entropy":
        yield f"loss.name: misapplied_cross_entropy needs numbers, and {shown} has classes."
    if data["target_scaling"] != "none":
        value = data["target_scaling"]
        yield f"data.target_scaling: {value} needs numbers as targets, and {shown} has classes."
    if data["outlier_share"] and data["outlier_in"] == "targets":
        yield f"data.outlier_in: targets needs numbers as targets, and {shown} has classes."


def _for_vectors(shown: str, data: Any, model: Any) -> Iterator[str]:
    for key in IMAGE_AXES:
        if data[key] != Data.model_fields[key].default:
            yield f"data.{key}: {data[key]} needs images, and {shown} has none."
    if data["mismatch"] == "transposed":
        yield f"data.mismatch: transposed needs images, and {shown} has none."
    if data["scaling"] == "standardize_channel":
        yield "data.scaling: standardize_channel needs images: use standardize."
    choice = model.get("_target_", "").removeprefix(MODELS)
    if choice in OF_IMAGES:
        yield f"model: {choice} needs images, and {shown} has none: use model=mlp."


def _for_images(shown: str, data: Any) -> Iterator[str]:
    """Where height, width and channels are known."""
    side = data.get("image_size", 8)
    is_narrow = (data["crop_width"] or side) < side
    has_channels = data["color"] == "rgb" or (data["color"] == "native" and "image_size" in data)
    if data["useless_inputs"]:
        count = data["useless_inputs"]
        yield f"data.useless_inputs: {count} needs vectors, and {shown} has images."
    if (data["crop_width"] or 0) > side:
        yield f"data.crop_width: {data['crop_width']} of {side} columns that are there."
    if data["validation_shift"] >= side:
        yield f"data.validation_shift: {data['validation_shift']} of images of {side} pixels."
    if data["layout"] == "reshape" and not has_channels:
        yield "data.layout: reshape changes nothing in images of one channel: use data.color=rgb."
    if data["layout"] == "swap_reshape" and not is_narrow:
        yield (
            "data.layout: swap_reshape changes nothing in square images: let data.crop_width make "
            "them narrower."
        )
    if data["mismatch"] == "transposed" and is_narrow:
        yield "data.mismatch: transposed needs square images: leave data.crop_width out."


def _for_toy(data: Any) -> Iterator[str]:
    validation = data["validation_samples"] or data["samples"] // 5
    asked = (data["train_samples"] or 1) + validation
    if asked > data["samples"]:
        yield (
            f"data.samples: {data['samples']} are fewer than {data['train_samples'] or 1} for "
            f"training and {validation} for validation."
        )


def _for_captcha(data: Any) -> Iterator[str]:
    asked = (data["train_samples"] or 1) + (data["validation_samples"] or 1)
    if asked > data["images"]:
        yield f"data.images: {data['images']} are fewer than the {asked} samples asked for."
    if data["classes"] > data["images"]:
        yield f"data.images: {data['images']} are fewer than data.classes ({data['classes']})."


def _for_cnn(model: Any) -> Iterator[str]:
    if model["dropout"] and not model["hidden_units"] and model["dropout_placement"] != "conv":
        yield (
            f"model.dropout_placement: {model['dropout_placement']} needs a hidden layer, and "
            "model.hidden_units is 0: use conv."
        )
