"""Interpolations of a configuration (`${optim.lr}`, `${oc.env:HOME}`), resolved without code.

Only OmegaConf's own resolvers are known, whatever else has been registered in this process.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.base import Container
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import InterpolationResolutionError
from omegaconf.resolvers import oc

from sweeper.errors import RequestError
from sweeper.identity import flatten
from sweeper.limits import MOST_INTERPOLATIONS, MOST_LEVELS
from sweeper.masking import is_secret, masked

_ENVIRONMENT = "oc.env"
_ABSENT = object()


def resolved(config: DictConfig) -> Any:
    """The configuration as plain values.

    Raises RequestError where a secret, of the environment or of another key, would go into a key
    that does not say so, since only keys are masked in records; OmegaConf's own errors for what
    does not resolve.
    """
    plain, asked = _resolved(config, {})
    variables = {name: _another(os.environ.get(name)) for name in asked if is_secret(name)}
    keys = [key for key, value in flatten(plain).items() if masked({key: value}) != {key: value}]
    if variables or keys:
        # What changes with a secret has something of it, by whatever way it came there.
        other, _ = _resolved(_with_others(config, keys), variables)
        after = flatten(other)
        for key, value in flatten(plain).items():
            if after.get(key, _ABSENT) != value and not is_secret(key):
                raise RequestError(
                    f"{key} is made of a secret ({', '.join([*variables, *keys])}), and would "
                    "stand in every record: give it to a key named like one, as in "
                    f"{key.split('.')[0]}.api_token."
                )
    return plain


def _another(value: Any) -> str:
    return "this" if value != "this" else "that"


def _with_others(config: DictConfig, keys: list[str]) -> DictConfig:
    """The configuration with another value under these keys, but for what only refers."""
    changed = copy.deepcopy(config)
    before = flatten(OmegaConf.to_container(config))  # type: ignore[arg-type]
    for key in keys:
        value = before.get(key)
        if key in before and "${" not in str(value):
            OmegaConf.update(changed, key, _another(value), merge=False)
    return changed


def _resolved(config: DictConfig, instead: dict[str, str]) -> tuple[Any, set[str]]:
    """The plain values, and the names of the variables that were asked for."""
    asked: set[str] = set()

    def environment(name: str, *default: Any) -> Any:
        asked.add(name)
        return instead[name] if name in instead else oc.env(name, *default)

    with _only_of_omegaconf(), _counted():
        OmegaConf.register_new_resolver(_ENVIRONMENT, environment, replace=True)
        return OmegaConf.to_container(config, resolve=True), asked


@contextmanager
def _counted() -> Iterator[None]:
    """An interpolation is resolved each time it is met: ten that name ten that … have no end."""
    resolve, left, depth = Container._resolve_interpolation_from_parse_tree, MOST_INTERPOLATIONS, 0

    def counting(self: Container, *given: Any, **named: Any) -> Any:
        nonlocal left, depth
        depth += 1
        try:
            if depth > MOST_LEVELS:
                raise InterpolationResolutionError(
                    f"it leads through more than {MOST_LEVELS} interpolations"
                )
            found = resolve(self, *given, **named)
        finally:
            depth -= 1
        left -= 1 + (len(found) // 10 if isinstance(found, BaseContainer) else 0)
        if left < 0:
            raise InterpolationResolutionError(
                f"the configuration has more than {MOST_INTERPOLATIONS} interpolations to resolve"
            )
        return found

    Container._resolve_interpolation_from_parse_tree = counting  # type: ignore[method-assign]
    try:
        yield
    finally:
        Container._resolve_interpolation_from_parse_tree = resolve  # type: ignore[method-assign]


@contextmanager
def _only_of_omegaconf() -> Iterator[None]:
    """Hide Hydra's resolvers (`now`, `hydra`) and the user's: a name is asked for, not code run.

    A look at the text would not do: `oc.decode` reads one from a value, and `${${a}:b}` names one.
    """
    before = BaseContainer._resolvers
    BaseContainer._resolvers = {k: v for k, v in before.items() if k.startswith("oc.")}
    try:
        yield
    finally:
        BaseContainer._resolvers = before
