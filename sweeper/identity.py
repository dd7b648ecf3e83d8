"""What a trial is called: the same question gets the same name, on any machine, in any recipe."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Where and how a trial runs is no part of what was asked.
NOT_ASKED = frozenset({"executor", "search", "pruner"})

# Keys that a later version added, with the default under which older trials ran: left out at that
# default, so that those trials keep their names. Dotted, as in {"train.ema": 0.0}.
ADDED_LATER: Mapping[str, Any] = {
    "data.folds": 5,
    "data.order": "as_drawn",
    "data.statistics": "own",
    "data.label_noise": 0.0,
    "data.label_shift": 0,
    "data.blank_share": 0.0,
    "data.outlier_share": 0.0,
    "data.outlier_in": "inputs",
    "data.outlier_size": 30.0,
    "data.clean_beyond": None,
    "data.median_filter": 0,
    "data.orientations": 1,
    "data.crop_width": None,
    "data.layout": "transpose",
    "data.decades": 0.0,
    "data.squash": "none",
    "data.squash_at": None,
    "data.useless_inputs": 0,
    "data.mismatch": "none",
    "data.validation_shift": 0,
    "data.validation_rotation": 0.0,
    "data.validation_zoom": 0.0,
    "data.dimensions": None,
    "model.cuts_gradient": False,
    "init.bias_value": 0.0,
    "init.bias_std": 0.0,
    "train.shuffle": "every_epoch",
    "train.clears_gradients": True,
    "train.l1": 0.0,
    "train.augmentation": "none",
    "train.augmentation_size": 1.0,
    "train.input_noise": 0.0,
    "train.mining": "none",
    "train.mining_every": 10,
    "train.mining_share": 0.1,
    "train.interrupt_after": None,
    "train.optimizer_state": "restored",
    "train.pretrain_epochs": 0,
    "train.watch_class": None,
    "train.probes": [],
}
_NO_DEFAULT = object()


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def trial_id(config: Mapping[str, Any], seed: int) -> str:
    """16 hex digits of SHA-256 over the seed and the resolved config, less where it runs."""
    return digest({"seed": seed, "config": as_before(asked(config))}, 16)


def digest(value: Any, digits: int) -> str:
    """The first hex digits of SHA-256 over the canonical JSON of a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:digits]


def asked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that says what was asked."""
    return {group: values for group, values in config.items() if group not in NOT_ASKED}


def as_before(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the later keys that are at their defaults: what names are made of."""
    return {group: _as_before(group, values) for group, values in config.items()}


def _as_before(group: str, values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {k: v for k, v in values.items() if ADDED_LATER.get(f"{group}.{k}", _NO_DEFAULT) != v}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; an empty mapping stays a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
