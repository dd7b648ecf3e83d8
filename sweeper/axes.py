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
SIZES = frozenset({"train_samples", "validation_samples", "class_samples", "drop_classes"})
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
    data, model, loss = (config.get(g) or {} for g in ("data", "model", "loss"))
    if data.get("_target_") == DATA + "diabetes":
        yield from _for_regression(model, loss, config.get("train") or {})
        yield from _for_vectors(data, model)
    if data.get("_target_") == DATA + "captcha":
        yield from _for_captcha(data)
    if model.get("_target_") == MODELS + "cnn":
        yield from _for_cnn(model)


def _for_regression(model: Any, loss: Any, train: Any) -> Iterator[str]:
    if "cross_entropy" in loss.get("name", ""):
        name = loss["name"]
        yield f"loss.name: {name} needs classes, and data=diabetes has numbers: use loss=mse."
    if train.get("evaluation_order") == "by_class":
        yield "train.evaluation_order: by_class needs classes, and data=diabetes has numbers."
    if model.get("output_activation") == "softmax":
        yield "model.output_activation: softmax needs classes, and data=diabetes has numbers."


def _for_vectors(data: Any, model: Any) -> Iterator[str]:
    if data["color"] != "native":
        yield f"data.color: {data['color']} needs images, and data=diabetes has none."
    if data["scaling"] == "standardize_channel":
        yield "data.scaling: standardize_channel needs images: use standardize."
    if model.get("_target_") == MODELS + "cnn":
        yield "model: cnn needs images, and data=diabetes has none: use model=mlp."


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
