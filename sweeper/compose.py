"""The door to Hydra: choices of groups and values become one resolved, checked configuration."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from sweeper import axes, settings
from sweeper.errors import RequestError, nearest
from sweeper.identity import canonical, flatten
from sweeper.limits import (
    MOST_IN_A_VALUE,
    check_size,
)
from sweeper.masking import masked
from sweeper.recipe_file import explain
from sweeper.resolvers import resolved
from sweeper.targets import OWN

_TARGET = "._target_"
# What comes of a file of the user's that Hydra and YAML cannot make sense of.
_UNREADABLE = (
    HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError, LookupError,
    AttributeError, RecursionError, OSError,
)  # fmt: skip


class _UserFolders(SearchPathPlugin):
    """Puts the user's folders before ours; `hydra.searchpath` would append them."""

    folders: tuple[Path, ...] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in reversed(self.folders):
            search_path.prepend(provider="user", path=f"file://{folder}")


class Composer:
    """Composes configurations from `conf_folders`, the first folder that has a file winning."""

    def __init__(self, conf_folders: Sequence[Path]) -> None:
        *added, self._own = conf_folders
        _check_folders(added)
        self._folders = tuple(conf_folders)
        self._added = tuple(added)
        self._composed: dict[tuple[tuple[str, str], ...], DictConfig] = {}
        self._chosen: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self.groups = self._read_groups()
        # where the user's own may stand instead of ours
        self.sourced = {g for g, choices in self.groups.items() if "custom" in choices}

    def _read_groups(self) -> dict[str, list[str]]:
        """Each group with its choices, sorted."""
        groups: dict[str, set[str]] = {}
        for folder in self._folders:
            for file in folder.glob("*/*.yaml"):
                groups.setdefault(file.parent.name, set()).add(file.stem)
        return {group: sorted(choices) for group, choices in sorted(groups.items())}

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The checked, plain configuration under these choices (bare keys) and values (dotted).

        Raises RequestError for what is unknown, of the wrong type, missing or impossible.
        """
        choices, dotted = self._split(values)
        config, opened = self._opened(choices, dotted)
        config = copy.deepcopy(config)
        for key, value in dotted.items():
            self._set(config, key, value, is_open=key.split(".")[0] in opened)
        return _checked(_plain(config))

    def keys(self, choices: Mapping[str, str]) -> set[str]:
        """The dotted keys that exist under these choices."""
        return set(_dotted(self._compose(choices)))

    def has(self, axis: str, values: Mapping[str, Any]) -> bool:
        """Whether a dotted axis exists under these choices and values."""
        choices, dotted = self._split(values)
        config, opened = self._opened(choices, dotted)
        group, _, key = axis.partition(".")
        return group in opened or (group in config and key in set(config[group]))

    def _split(self, values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        choices = {}
        dotted = {}
        for key, value in values.items():
            if "." in key:
                dotted[key] = value
            else:
                choices[key] = self._choice(key, value)
        return choices, dotted

    def _choice(self, group: str, value: Any) -> str:
        if group not in self.groups:
            raise RequestError(
                f"unknown axis {group!r}. " + nearest(group, self._axes(), what="axes")
            )
        known = self.groups[group]
        if value is False or value is None:
            value = "none"  # YAML reads `off` as False and `null` as None
        if value not in known:
            raise RequestError(
                f"{group}: there is no choice {value!r}. "
                + nearest(str(value), known, what=f"choices of {group}")
            )
        return str(value)

    def _axes(self) -> list[str]:
        return [*self.groups, "seeds", *sorted(self.keys({}))]

    def _compose(self, choices: Mapping[str, str]) -> DictConfig:
        key = tuple(sorted(choices.items()))
        if key not in self._composed:
            # a group of the user's own stands in no defaults list: it is appended
            ours = {file.parent.name for file in self._own.glob("*/*.yaml")}
            self._composed[key] = self._compose_afresh(
                [f"{'' if g in ours else '+'}{g}={c}" for g, c in key]
            )
        return self._composed[key]

    def _compose_afresh(self, overrides: list[str]) -> DictConfig:
        _UserFolders.folders = self._added
        Plugins.instance().register(_UserFolders)
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(self._own), version_base="1.3", job_name="sweeper"):
                return hydra_compose("sweeper", overrides=overrides)
        except _UNREADABLE as error:
            why = str(error) or str(error.__cause__ or type(error).__name__)
            raise RequestError(
                f"the configuration does not compose ({', '.join(overrides) or 'as it is'}): {why}"
            ) from None

    def _opened(
        self, choices: Mapping[str, str], dotted: Mapping[str, Any]
    ) -> tuple[DictConfig, set[str]]:
        """The composed config, and its groups with a user's `_target_`: their keys are the user's.

        A `_target_` set from outside replaces the chosen source: the keys that belonged to that
        source go with it, and the axes that act on any data stay.
        """
        targets = {k.removesuffix(_TARGET): v for k, v in dotted.items() if k.endswith(_TARGET)}
        chosen = self._targets(choices)
        replaced = {
            g for g, target in targets.items() if g in self.sourced and target != chosen.get(g)
        }
        config = self._compose({**choices, **dict.fromkeys(replaced, "custom")})
        foreign = {g for g, target in chosen.items() if target and not target.startswith(OWN)}
        return config, foreign | set(targets)

    def _targets(self, choices: Mapping[str, str]) -> dict[str, str]:
        """The `_target_` of each group under these choices, empty where it has none."""
        key = tuple(sorted(choices.items()))
        if key not in self._chosen:
            config = self._compose(choices)
            plain = OmegaConf.to_container(config)  # not resolved: what it says is not asked yet
            assert isinstance(plain, dict)
            self._chosen[key] = {
                str(g): str(v.get("_target_") or "")
                for g, v in plain.items()
                if isinstance(v, dict)
            }
        return self._chosen[key]

    def _set(self, config: DictConfig, key: str, value: Any, *, is_open: bool) -> None:
        group, _, rest = key.partition(".")
        # A value still to be given (`???`) is not `in` its group, but it is among its keys.
        known = set(config[group]) if group in config else set()
        if group not in config or not (is_open or rest in known):
            whole = f"{group}.{rest.split('.')[0]}"
            hint = nearest(key, _dotted(config), what="axes")
            if rest.split(".")[0] in known:
                hint = f"{whole} takes its value as a whole, as in '{whole}={{9: 3}}'."
            raise RequestError(f"unknown axis {key!r}. {hint}")
        _check_size(key, value)
        try:
            OmegaConf.update(config, key, value, merge=False, force_add=is_open)
        except OmegaConfBaseException as error:
            raise RequestError(f"{key}: {str(error).splitlines()[0]}") from None


def _check_size(key: str, value: Any) -> None:
    try:
        check_size(value, MOST_IN_A_VALUE)
    except RequestError as error:
        raise RequestError(f"{key}: {error}") from None


def _check_folders(added: Sequence[Path]) -> None:
    """What Hydra itself reads is ours alone: the list of defaults, and the group `hydra`."""
    for place in (folder / name for folder in added for name in ("sweeper.yaml", "hydra")):
        if place.exists():
            raise RequestError(
                f"{place} would take the place of what Hydra reads of ours: give it another name."
            )


def _dotted(config: DictConfig) -> list[str]:
    """Every key of every group, as in `optim.lr`."""
    return [f"{group!s}.{key!s}" for group in config for key in config[group]]


def _plain(config: DictConfig) -> dict[str, Any]:
    try:
        plain = resolved(config)
    except OmegaConfBaseException as error:
        key, first = getattr(error, "full_key", None), str(error).splitlines()[0]
        raise RequestError(f"{key or 'the configuration'} does not resolve: {first}") from None
    assert isinstance(plain, dict)
    whole = {str(key): value for key, value in plain.items()}
    for key, value in flatten(whole).items():
        if value == axes.MISSING:
            raise RequestError(f"{key} has no value: give one, as in {key}=…")
    return whole


_MODELS: dict[str, type[BaseModel]] = {
    "executor": settings.Executor,
    "search": settings.Sampler,
    "pruner": settings.Pruner,
}


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    for group in (*axes.GROUPS, *_MODELS):
        if not isinstance(config.get(group), dict):
            raise RequestError(
                f"{group}: the chosen file gives this group nothing: let it hold keys and values, "
                "without a @package of its own."
            )
    checked = axes.normalise(config)
    for group, model in _MODELS.items():
        try:
            checked[group] = model.model_validate(config[group]).model_dump()
        except ValidationError as error:
            raise RequestError(f"{group}." + explain(error)) from None
    _must_be_plain(checked)
    return checked


def _must_be_plain(config: Mapping[str, Any]) -> None:
    """What a user's own group holds is checked by nobody else; a trial is named by its JSON."""
    for group, values in config.items():
        for key, value in values.items():
            _check_size(f"{group}.{key}", value)
            try:
                canonical({key: value}).encode()
            except (TypeError, ValueError):  # of text too: half a character has no UTF-8
                shown = masked({key: value}, group)[key]
                raise RequestError(
                    f"{group}.{key}: {shown!r} cannot be recorded: give finite numbers, texts, "
                    "switches, or lists and mappings (with texts as keys) of these."
                ) from None
