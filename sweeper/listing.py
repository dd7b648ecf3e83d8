"""What there is to ask: the recipes, and the axes with their choices, defaults and documents."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sweeper import axes as axis_models
from sweeper.design import design, later_arms
from sweeper.errors import RequestError
from sweeper.identity import canonical
from sweeper.recipe import BASELINE, TARGET, Recipe
from sweeper.recipe_file import load_recipe, recipe_names, recipe_order


@dataclass(frozen=True)
class ListedRecipe:
    name: str
    question: str
    arms: int
    trials: int
    claims: int


@dataclass(frozen=True)
class ListedAxis:
    """An axis: where it may be set, what it may be, and which rows of the ledger speak of it."""

    axis: str
    choices: str
    default: str
    about: str
    spoken_of: str


def recipes(folders: list[Path], conf: Sequence[Path] = ()) -> list[ListedRecipe]:
    """Every recipe of these folders, in their order. Raises RequestError on a broken one.

    Arms are counted by what the files of `conf` say, without composing: in a moment.
    """
    files = Files(conf)
    found = [load_recipe(name, folders) for name in recipe_names(folders)]
    listed = []
    for name, recipe in sorted(found, key=lambda one: recipe_order(*one)):
        arms, seeds = files.count_arms(recipe), len(recipe.every_seed)
        lines = sum(1 for claim in recipe.claims for _ in claim.assertions())
        listed.append(ListedRecipe(name, recipe.question, arms, arms * seeds, lines))
    return listed


class Files:
    """What the files of the axes say: which keys a choice has, their defaults and comments."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._found: dict[Path, tuple[dict[str, Any], dict[str, str]]] = {}

    def read(self, file: Path) -> tuple[dict[str, Any], dict[str, str]]:
        """Its keys with their defaults, and their comments; what it takes over stands first."""
        if file not in self._found:
            self._found[file] = {}, {}  # where two take over each other
            own, text = _mapping(file), file.read_text(encoding="utf-8")
            values: dict[str, Any] = {}
            comments: dict[str, str] = {}
            for other in self._taken_over(file, own.get("defaults")):
                taken, said = self.read(other)
                values |= taken
                comments |= said
            values |= {k: v for k, v in own.items() if k != "defaults"}
            self._found[file] = values, comments | _comments(text)
        return self._found[file]

    def _taken_over(self, file: Path, entries: Any) -> Iterator[Path]:
        """What Hydra puts right into the group: `digits` of the same group, `any/axes@_here_`."""
        for entry in entries if isinstance(entries, list) else ():
            name, _, package = str(entry).partition("@")
            if package == "_here_" or not (package or "/" in name):
                path = name[1:] if name.startswith("/") else f"{file.parent.name}/{name}"
                if found := self._find(f"{path}.yaml"):
                    yield found

    def _find(self, name: str) -> Path | None:
        return next((f / name for f in self._folders if (f / name).is_file()), None)

    def count_arms(self, recipe: Recipe) -> int:
        """A generated arm with the values of the baseline, or of one before it, is that arm."""
        arms = design(recipe, lambda values, axis: self._has({**recipe.baseline, **values}, axis))
        named = {axis for arm in arms for axis in arm.values}
        seen = {canonical(self._values(recipe.baseline, named))}
        count, changes = 0, 0
        for arm in arms:
            values = canonical(self._values({**recipe.baseline, **arm.values}, named))
            is_new = not (arm.is_generated and values in seen)
            count += is_new
            changes += is_new and arm.design == "path" and arm.name != TARGET
            if arm.is_generated and arm.compared_with == BASELINE:
                seen.add(values)
        return count + later_arms(changes)

    def _has(self, values: Mapping[str, Any], axis: str) -> bool:
        """Also where nobody can say: of a file that is missing, or of a user's own `_target_`."""
        group, _, key = axis.partition(".")
        known = self._keys(group, values)
        return not known or "_target_" in known or key in known

    def _values(self, values: Mapping[str, Any], named: Iterable[str]) -> dict[str, Any]:
        """What each axis is set to, or has as its default."""
        found = {}
        for axis in sorted(named):
            group, _, key = axis.partition(".")
            default = self._keys(group, values).get(key, self._default(group))
            found[axis] = values.get(axis, default)
        return found

    def _keys(self, group: str, values: Mapping[str, Any]) -> dict[str, Any]:
        choice = values.get(group, self._default(group))
        is_none = choice is None or choice is False  # YAML's null and off
        file = self._find(f"{group}/{'none' if is_none else choice}.yaml")
        return self.read(file)[0] if file else {}

    def _default(self, group: str) -> str:
        return self._defaults.get(group, "none")

    @cached_property
    def _defaults(self) -> dict[str, str]:
        file = self._find("sweeper.yaml")
        return _defaults(_mapping(file)) if file else {}


def axes(folders: list[Path]) -> list[ListedAxis]:
    """Every group with its choices, then every key of each choice, from the comments in conf."""
    text = (folders[-1] / "sweeper.yaml").read_text(encoding="utf-8")
    defaults, comments = _defaults(yaml.safe_load(text)), _comments(text)
    files = Files(folders)
    groups: dict[str, dict[str, Path]] = {}
    for folder in reversed(folders):
        for file in sorted(folder.glob("*/*.yaml")):
            groups.setdefault(file.parent.name, {})[file.stem] = file
    listed = []
    for group in [*defaults, *sorted(set(groups) - set(defaults))]:
        choices = groups.get(group, {})
        said = _documents(comments.get(group, ""))
        listed.append(ListedAxis(group, " | ".join(choices), defaults.get(group, ""), *said))
        listed.extend(_keys(group, choices, files))
    return listed


def _defaults(primary: Mapping[str, Any]) -> dict[str, str]:
    """The choice of each group that stands where none is named."""
    entries = (e for e in primary.get("defaults", ()) if isinstance(e, dict))
    return {str(group): str(choice) for entry in entries for group, choice in entry.items()}


def _keys(group: str, choices: Mapping[str, Path], files: Files) -> list[ListedAxis]:
    """Each key once, with the choices of the group that have it and the defaults it has there."""
    merged: dict[str, list[tuple[str, ListedAxis]]] = {}
    for choice, file in choices.items():
        for axis in _read_keys(group, choice, *files.read(file)):
            merged.setdefault(axis.axis, []).append((choice, axis))
    return [_one(found, len(choices)) for found in merged.values()]


def _one(found: list[tuple[str, ListedAxis]], choices: int) -> ListedAxis:
    first = found[0][1]
    defaults = list(dict.fromkeys(axis.default for _, axis in found))
    having: dict[str, list[str]] = {}
    for choice, axis in found:
        having.setdefault(axis.about, []).append(choice)
    about = first.about
    if len(found) < choices or len(having) > 1:
        about = "; ".join(f"{text} (with {', '.join(which)})" for text, which in having.items())
    return ListedAxis(first.axis, first.choices, " | ".join(defaults), about, first.spoken_of)


def _read_keys(
    group: str, choice: str, values: Mapping[str, Any], comments: Mapping[str, str]
) -> Iterator[ListedAxis]:
    named = str(values.get("_target_", values.get("name", choice)))
    allowed = axis_models.choices(group, named) if group in axis_models.GROUPS else {}
    for key, value in values.items():
        if key in ("_target_", "name"):
            continue
        about, spoken_of = _documents(comments.get(key, ""))
        yield ListedAxis(
            f"{group}.{key}", _allowed(allowed.get(key, "")), _shown(value), about, spoken_of
        )


def _mapping(file: Path) -> dict[str, Any]:
    try:
        values: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"{file}: cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        raise RequestError(f"{file}: a choice is a mapping of keys to values.")
    return values


def _comments(text: str) -> dict[str, str]:
    """The block of comment lines right above each key of the file, or entry of its defaults."""
    found: dict[str, str] = {}
    block: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            block.append(line.strip("# "))
            continue
        if match := re.match(r"(?:  - )?(\w+):", line):
            found[match[1]] = " ".join(block)
        block = []
    return found


def _documents(comment: str) -> tuple[str, str]:
    """A comment without, and the ids within, the brackets at its end."""
    match = re.fullmatch(r"(.*?)\s*\[([\w., \-–]+)\]\.?", comment)
    return (match[1], match[2]) if match else (comment, "")


def _allowed(found: Any) -> str:
    return " | ".join(map(str, found)) if isinstance(found, list | tuple) else str(found)


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
