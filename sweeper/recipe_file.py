"""A recipe on disk: finding it, reading it, explaining its mistakes, its JSON Schema."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sweeper.arm import Arm, Factorial
from sweeper.claim import Claim, Comparison, Diagnosed, Diverges, Exact, Order, Reaches
from sweeper.errors import RequestError, nearest
from sweeper.limits import MOST_OF_A_FILE, MOST_VALUES, check_size
from sweeper.masking import masked
from sweeper.recipe import Looks, Metric, Range, Recipe, Search, is_name_of_a_plan


def load_recipe(name: str, folders: list[Path]) -> tuple[str, Recipe]:
    """The recipe of that name in the first folder that has it, or the file at that path.

    Returns its name (the file's stem) and the recipe; raises RequestError naming file and place.
    """
    path = _find(name, folders)
    raw = _read(path)
    if not isinstance(raw, dict):
        raise RequestError(f"{path}: a recipe is a mapping with a question, a baseline and arms.")
    if not is_name_of_a_plan(path.stem):
        raise RequestError(
            f"{path}: name the file with letters, digits and _ alone, as in my_study.yaml."
        )
    return path.stem, read_recipe(raw, where=str(path))


def _read(path: Path) -> Any:
    """What the YAML says, if it can be walked through."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_OF_A_FILE + 1)
        if len(text) > MOST_OF_A_FILE:
            raise RequestError(f"{path}: is larger than any recipe (256 KiB): is it another file?")
        raw = yaml.load(text.decode(), Loader=_UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RequestError(f"{path}: cannot be read as YAML: {error}") from None
    except RecursionError:
        raise RequestError(f"{path}: is nested too deeply: write it flatter.") from None
    try:
        check_size(raw, MOST_VALUES)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None
    return raw


def read_recipe(raw: Mapping[str, Any], *, where: str) -> Recipe:
    """Check a recipe's mapping; `where` names the file in messages."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RequestError(f"{where}: " + explain(error)) from None


def explain(error: ValidationError) -> str:
    """The first mistakes of a pydantic error, each with its place and the nearest real key."""
    lines = []
    for detail in error.errors()[:5]:
        place = [p for p in detail["loc"] if p not in _UNION_TAGS]
        where = ".".join(map(str, place))
        if detail["type"] == "extra_forbidden":
            lines.append(
                f"unknown key {where!r}. "
                + nearest(str(place[-1]), _keys(detail["loc"]), what="keys")
            )
        elif detail["type"] == "missing":
            lines.append(f"the key {where!r} is missing.")
        elif detail["type"].startswith("union_tag"):
            given = detail["input"].get("kind") if isinstance(detail["input"], Mapping) else None
            kinds = sorted(_KINDS)
            lines.append(
                f"{where}: there is no kind {given!r}. " + nearest(str(given), kinds, what="kinds")
                if given is not None
                else f"{where}: the key 'kind' is missing: one of {', '.join(kinds)}."
            )
        else:
            lines.append(_in_words(where, detail))
    return "\n  ".join(lines)


def _in_words(where: str, detail: ErrorDetails) -> str:
    """A mistake in a value: our own sentence as it stands, pydantic's with what was given."""
    message, given, place = detail["msg"], detail["input"], f"{where}: " if where else ""
    if detail["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        place = "" if message.startswith(f"{where} ") else place
    elif detail["type"] == "string_pattern_mismatch":
        message = f"{given!r} is no name: use letters, digits and _ . + = , - alone"
    else:
        message = message.replace("valid dictionary", "mapping").replace("valid list", "list")
        if isinstance(given, str | int | float | bool):
            message += f" (got {masked(given, where)!r})"
    return f"{place}{message}" + ("" if message.endswith("?") else ".")


_KINDS = {
    "better",
    "worse",
    "no_effect",
    "no_worse",
    "reaches",
    "diverges",
    "diagnosed",
    "order",
    "exact",
}
_UNION_TAGS = {*_KINDS, "assertion", "looks", "list", "one", "union", "[key]"}
_MODELS: dict[str, type[BaseModel]] = {
    "sequence": Arm, "arms": Arm, "factorial": Factorial, "metrics": Metric, "search": Search,
    "axes": Range, "seeds": Looks,
    "better": Comparison, "worse": Comparison, "no_effect": Comparison, "no_worse": Comparison,
    "reaches": Reaches,
    "diverges": Diverges, "diagnosed": Diagnosed, "order": Order, "exact": Exact, "claims": Claim,
}  # fmt: skip


def _keys(place: tuple[Any, ...]) -> list[str]:
    """The keys that are known where the misspelt one stands."""
    for step in reversed(place[:-1]):
        if step in _MODELS:
            fields = _MODELS[step].model_fields
            return [field.alias or name for name, field in fields.items()]
    return list(Recipe.model_fields)


def _find(name: str, folders: list[Path]) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not _is_file(path):
            raise RequestError(f"there is no recipe file {name!r}.")
        return path
    for folder in folders:
        if _is_file(folder / f"{name}.yaml"):
            return folder / f"{name}.yaml"
    known = recipe_names(folders)
    raise RequestError(f"unknown recipe {name!r}. " + nearest(name, known, what="recipes"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any
        return False


def recipe_names(folders: list[Path]) -> list[str]:
    """The names of all recipes in these folders, sorted, each once."""
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def every(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Each name once; `all` stands for all that are known, and hides no other beside it."""
    named = (known if name == "all" else [name] for name in names)
    return list(dict.fromkeys(name for some in named for name in some))


def recipe_order(name: str, recipe: Recipe) -> tuple[list[str | int], str]:
    """Sorts recipes by the id of their first claim (T2 before T10), those without one last."""
    first = recipe.claims[0].id if recipe.claims else "~"
    parts: list[str | int] = [
        int(part) if part.isdigit() else part for part in re.split(r"(\d+)", first)
    ]
    return parts, name


def recipe_as_yaml(raw: Mapping[str, Any]) -> str:
    """A recipe's mapping as a file that `load_recipe` reads back the same, made to be read."""
    how: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "default_flow_style": False}
    return str(yaml.dump(raw, Dumper=_Writer, width=100, **how))


def json_schema() -> dict[str, Any]:
    """The recipe's JSON Schema (draft 2020-12), as editors read it."""
    schema = Recipe.model_json_schema(by_alias=True)
    _lay_assertions_flat(schema)
    schema["properties"]["seeds"] = {
        "anyOf": [{"type": "integer", "minimum": 1}, schema["properties"]["seeds"]]
    }
    schema["properties"]["metrics"] = {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, schema["properties"]["metrics"]]
    }
    return schema


def _lay_assertions_flat(schema: dict[str, Any]) -> None:
    """In the file an assertion's keys stand beside `id` and `source`: say so to the editor."""
    definitions = schema["$defs"]
    claim = definitions.pop("Claim")["properties"]
    own = {key: claim[key] for key in ("id", "source")}
    kinds = ["Comparison", "Reaches", "Diverges", "Diagnosed", "Order", "Exact"]
    variants = []
    for kind in kinds:
        flat = {**definitions[kind], "properties": {**own, **definitions[kind]["properties"]}}
        flat["required"] = ["id", *definitions[kind]["required"]]
        variants.append(flat)
    compound = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**own, "statement": claim["statement"], "parts": claim["parts"]},
        "required": ["id", "parts"],
    }
    definitions["Claim"] = {"anyOf": [*variants, compound]}


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice and reads 1e-3 as a number, as Hydra does."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # 2020-13-45, !!int x
            what = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"this is no {what}: {error}", node.start_mark
            ) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {MOST_VALUES} keys are merged", node.start_mark
            )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)  # which says so
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or mapping cannot be a key", key.start_mark
                )
        seen = Counter(
            self.construct_object(key, deep=True) for key, _ in node.value if key.value != "<<"
        )
        doubled = [key for key, count in seen.items() if count > 1]
        if doubled:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {doubled[0]!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


class _Writer(yaml.SafeDumper):
    """Lists of plain values on a line, and no aliases."""

    def represent_sequence(self, tag: str, sequence: Any, *_: Any) -> yaml.SequenceNode:
        is_flat = not any(isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=is_flat)

    def ignore_aliases(self, _: Any) -> bool:
        return True


_FLOAT = re.compile(
    r"^[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+$|^[-+]?(?:\d[\d_]*\.[\d_]*)(?:[eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$"
)
for _kind in (_UniqueKeys, _Writer):  # so that the text "1e-3" is written with its quotes
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
