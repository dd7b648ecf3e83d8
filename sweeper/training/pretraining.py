"""Weights from another task: the classes that `data.drop_classes` leaves out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sweeper.errors import DoesNotApply, RequestError
from sweeper.training import prepare
from sweeper.training.init import weight_layers
from sweeper.training.prepare import Prepared

# Of the `train` axes those that would act beside the weights, or on a run of its own alone.
NOT_BEFORE: dict[str, Any] = {
    "mining": "none",
    "interrupt_after": None,
    "watch_class": None,
    "probes": [],
}


def other_data(config: Mapping[str, Any], data: Prepared, seed: int) -> Prepared:
    """The samples of the classes that were left out, prepared as the others, by themselves.

    They come from the same parts of the split, so no validation sample is trained on.
    Raises DoesNotApply where fewer than two classes were left out, as of the user's own data.
    """
    if len(set(config["data"]["drop_classes"])) < 2:
        raise DoesNotApply(
            "train.pretrain_epochs: the classes to begin with are those that data.drop_classes "
            "leaves out: name two or more."
        )
    axes = {**config["data"], "drop_classes": list(data.classes), "class_samples": {}}
    return prepare.load(axes, seed)


def other_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same training for `train.pretrain_epochs`."""
    train = {**config["train"], **NOT_BEFORE, "epochs": config["train"]["pretrain_epochs"]}
    return {**config, "train": train}


def keep_all_but_the_last_layer(trained: nn.Module, model: nn.Module) -> None:
    """Copy weights and buffers, less those of the last linear or convolutional layer.

    Raises RequestError for a net that has none.
    """
    layers = weight_layers(model)
    if not layers:
        raise RequestError(
            "train.pretrain_epochs: the net has no linear or convolutional layer to begin anew."
        )
    last = next(name for name, module in model.named_modules() if module is layers[-1])
    prefix = f"{last}." if last else ""
    start = model.state_dict()
    found = {
        name: start[name] if name.startswith(prefix) else value
        for name, value in trained.state_dict().items()
    }
    with torch.no_grad():
        model.load_state_dict(found)
