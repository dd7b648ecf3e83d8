"""Secrets stay out of records: the value of a key that is named like one is written as ***.

A trial itself receives the true value, and its name (`trial_id`) is the digest of it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

MASK = "***"

# Wherever one of these stands in a key, its value is a secret.
_TELLING = frozenset({
    "secret", "secrets", "password", "passwords", "passwd", "passphrase", "pwd", "credential",
    "credentials", "bearer", "apikey", "secretkey", "accesskey", "privatekey", "authkey",
    "authtoken", "accesstoken", "hftoken",
})  # fmt: skip
# These say so at the end of a key, where its value is named: `hf_token`, not `token_dim`.
_LAST = frozenset({"token", "key", "auth", "authorization", "authentication", "cookie", "private"})
# … and these anywhere in it, or in the plural: `api_key_value`, `access_tokens`.
_PAIRS = frozenset(
    (first, second)
    for first in ("api", "access", "secret", "private", "auth", "refresh", "signing", "ssh")
    for second in ("key", "keys", "token", "tokens")
) | {("client", "secret"), ("private", "pem")}
# Before `token` or `key` these name a part of a model or a column of data.
_HARMLESS = frozenset({
    "attention", "bos", "bucket", "cache", "cls", "class", "column", "data", "decoder", "dict",
    "distill", "distillation", "eos", "end", "feature", "foreign", "group", "image", "img",
    "index", "input", "join", "label", "lookup", "mask", "metric", "monkey", "num", "output",
    "pad", "padding", "partition", "primary", "prompt", "query", "register", "sep", "shard",
    "sort", "special", "start", "target", "text", "unk", "unknown", "value", "x", "y",
})  # fmt: skip


@lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """Whether a key is named like a secret: `model.api_key`, `hfToken`; not `max_tokens`."""
    return any(_tells(_words(part)) for part in key.split("."))


def _words(part: str) -> list[str]:
    """The words of a key: `apiKey`, `API_KEY` and `api-key` are api, key."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", part)
    return [word for word in re.split(r"[\W_]+", parted.lower()) if word]


def _tells(words: list[str]) -> bool:
    if not words:
        return False
    if _TELLING.intersection(words) or _PAIRS.intersection(pairwise(words)):
        return True
    return words[-1] in _LAST and _HARMLESS.isdisjoint(words[-2:-1])


def masked(value: Any, key: str = "") -> Any:
    """A copy in which the texts and whole numbers under keys named like secrets are masked.

    Switches, fractions and null are no secrets: they stay, so that `class_token=true` can be read.
    """
    if isinstance(value, Mapping):
        return {k: masked(v, f"{key}.{k}" if key else str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked(item, key) for item in value)
    is_open = value is None or isinstance(value, bool | float) or not key
    return value if is_open or not is_secret(key) else MASK


def masked_override(text: str) -> str:
    """`key=value` as it was typed, the value masked where the key or one inside it is a secret's.

    The value is not parsed: this is for messages about what cannot be.
    """
    key, equals, value = text.partition("=")
    inside = re.findall(r"(?<![\w.-])[\w.-]++(?=\s*[:=])", value)
    return key + equals + MASK if equals and any(map(is_secret, [key, *inside])) else text
