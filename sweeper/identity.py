"""What a trial is called: the same question gets the same name, on any machine, in any recipe."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Where and how a trial runs is no part of what was asked.
NOT_ASKED = frozenset({"executor", "search", "pruner"})

# Keys that a later version added, with the default under which older trials ran: left out at that
# default, so that those trials keep their names. Dotted, as in {"train.ema": 0.0}.
ADDED_LATER: Mapping[str, Any] = {}


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def trial_id(config: Mapping[str, Any], seed: int) -> str:
    """16 hex digits of SHA-256 over the seed and the resolved config, less where it runs."""
    return digest({"seed": seed, "config": asked(config)}, 16)


def digest(value: Any, digits: int) -> str:
    """The first hex digits of SHA-256 over the canonical JSON of a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:digits]


def asked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that says what was asked."""
    kept = {k: v for k, v in config.items() if k not in NOT_ASKED}
    for key, default in ADDED_LATER.items():
        group, _, name = key.partition(".")
        if kept.get(group, {}).get(name, default) == default:
            kept[group] = {k: v for k, v in kept[group].items() if k != name}
    return kept


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; an empty mapping stays a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
