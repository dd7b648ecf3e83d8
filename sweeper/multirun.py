"""A sweep without a recipe file: lists of values on the command line become a recipe of its own."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.compose import Composer
from sweeper.errors import RequestError, legible, nearest
from sweeper.identity import NOT_ASKED, digest
from sweeper.masking import masked
from sweeper.metric import ALONG_AN_AXIS, parse
from sweeper.overrides import Override, typed_targets
from sweeper.recipe import Looks, Recipe, goal_of
from sweeper.recipe_file import read_recipe, recipe_as_yaml
from sweeper.variant import changed

# What each list becomes: all of its values, or the second of two.
_OF_LISTS = ("grid", "one_at_a_time", "ladder", "factorial")
_OF_PAIRS = ("leave_one_out", "add_one_in", "path")
DESIGNS = (*_OF_LISTS, *_OF_PAIRS)
_SEEDS = 5
_METRICS = ("val_loss", "train_loss")


@dataclass(frozen=True)
class Multirun:
    """What becomes of lists of values, and what is compared: as typed beside them.

    A metric may say which way is better, as in `reward=up`. `smallest_effect` is the first one's.
    """

    design: str = "grid"
    metrics: Sequence[str] = ()
    smallest_effect: float | None = None


@dataclass(frozen=True)
class Sweep:
    """The recipe that was meant, as a file too, and what its user must know of it."""

    name: str
    recipe: Recipe
    overrides: Sequence[Override]  # what no recipe says: where the trials run
    file: str
    notes: Sequence[str]


def make_sweep(
    asked: Multirun,
    overrides: Sequence[Override],
    composer: Composer,
    as_name: str | None,
    start: tuple[str, Recipe] | None,
    root: Path,
) -> Sweep:
    """The recipe of a sweep: on the baseline of `start`, else on the defaults.

    The first value of each list is the baseline's. `root` is the folder of results. Raises
    RequestError for whatever is wrong with lists, design or metrics.
    """
    name, recipe = start or ("", None)
    lists = _lists(overrides)
    _check_design(asked.design, lists)
    if not start and not as_name:
        raise RequestError(
            "-m without a recipe needs a name for its results: add --as NAME, as in --as norms."
        )
    if start and not lists:
        raise RequestError(
            f"-m replaces the arms of {name} by lists of values, and there is none: list some, as "
            "in optim.lr=0.1,0.01, or leave -m out."
        )
    kept, notes = _kept(recipe, lists, asked.design) if recipe else ({}, [])
    own = [o for o in overrides if o.key != "seeds" and o.key.split(".")[0] != "executor"]
    raw = {
        "question": _question(asked, lists, kept, name),
        "baseline": _baseline(recipe, own, lists, composer),
        **_designed(asked.design, lists),
        **({"search": kept["search"]} if "search" in kept else {}),
        "seeds": _seeds(overrides, recipe),
        "metrics": _metrics(asked, kept.get("metrics", {})),
    }
    name = as_name or f"{name}+{digest(recipe_as_yaml(raw), 6)}"
    text = _header(asked, overrides, start, root / name, raw) + recipe_as_yaml(_shown(raw))
    where = tuple(o for o in overrides if o.key.split(".")[0] == "executor")
    return Sweep(name, read_recipe(raw, where="-m"), where, text, notes)


def _lists(overrides: Sequence[Override]) -> dict[str, list[Any]]:
    """The values of each axis that has several. Raises RequestError for what is no axis."""
    lists: dict[str, list[Any]] = {}
    for override in overrides:
        key = override.key
        if sum(other.key == key for other in overrides) > 1:
            raise RequestError(f"{key} is given twice beside -m: put all its values into one list.")
        if override.listed and key.split(".")[0] in NOT_ASKED:
            raise RequestError(
                f"{key} says how trials are run or searched, which is no axis to compare: give it "
                "one value."
            )
        if override.listed and masked({key: override.listed}) != {key: override.listed}:
            raise RequestError(
                f"{key} is named like a secret, and its values would name the arms: give it one."
            )
        if override.listed and key != "seeds":
            lists[key] = list(override.listed)
    return lists


def _check_design(design: str, lists: Mapping[str, Sequence[Any]]) -> None:
    if design not in DESIGNS:
        raise RequestError(
            f"--design {design!r} is not known. " + nearest(design, DESIGNS, what="designs")
        )
    if design == "ladder" and len(lists) > 1:
        raise RequestError(
            f"--design ladder takes one list of values, and here are {len(lists)} "
            f"({', '.join(lists)}): give the others one value, or take --design one_at_a_time."
        )
    if design in (*_OF_PAIRS, "factorial"):
        for axis, values in lists.items():
            if len(values) != 2:
                raise RequestError(
                    f"--design {design} takes two values of each axis, the baseline's first, and "
                    f"{axis} has {len(values)}: leave some out, or take --design one_at_a_time."
                )


def _designed(design: str, lists: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The key of the recipe that makes arms of the lists."""
    if not lists:
        return {}
    if design == "factorial":
        return {design: {"axes": dict(lists)}}
    if design in _OF_LISTS:
        return {design: dict(lists)}
    others = {axis: values[1] for axis, values in lists.items()}
    if design != "path":  # a mapping is a component of several axes there
        others = {a: {a: v} if isinstance(v, dict) else v for a, v in others.items()}
    return {design: others}


def _baseline(
    recipe: Recipe | None,
    overrides: Sequence[Override],
    lists: Mapping[str, Any],
    composer: Composer,
) -> dict[str, Any]:
    """An axis that the baseline's choices have not, but others in the list do, is left to those."""
    values = {o.key: o.value for o in overrides}
    choices = {key: value for key, value in values.items() if "." not in key}
    for key in lists:
        if key.partition(".")[0] in lists and "." in key and not composer.has(key, choices):
            del values[key]
    return dict(changed(recipe.baseline if recipe else {}, values, composer))


def _kept(
    recipe: Recipe, lists: Mapping[str, Any], design: str
) -> tuple[dict[str, Any], list[str]]:
    """What of a recipe also holds for other arms, and sentences on what does not."""
    raw = recipe.model_dump(by_alias=True, exclude_defaults=True)
    kept, notes = {"metrics": {m: raw["metrics"][m] for m in recipe.metrics}}, []
    if recipe.claims:
        notes.append(f"Its {len(recipe.claims)} claims speak of the recipe's own arms: left out.")
    if recipe.search is not None:
        search = {k: v for k, v in raw["search"].items() if k != "arms"}
        search["axes"] = {axis: v for axis, v in search["axes"].items() if axis not in lists}
        if search["axes"]:
            kept["search"] = search
        gone = [axis for axis in recipe.search.axes if axis in lists]
        notes += [f"{', '.join(gone)} is listed, so it is not searched."] if gone else []
    known = {*lists, *kept.get("search", {}).get("axes", {})}
    for metric in list(kept["metrics"]):
        expression = parse(metric)
        if expression.function in ALONG_AN_AXIS and expression.arguments[0] not in known:
            del kept["metrics"][metric]
            notes.append(f"No arms differ in {expression.arguments[0]}: {metric} is left out.")
    return kept, [f"A {design} takes the place of the recipe's arms.", *notes]


def _metrics(asked: Multirun, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were asked for, then those of the recipe; the first is what is compared."""
    named: dict[str, Any] = {}
    for text in asked.metrics:
        metric, _, goal = text.partition("=")
        _check_goal(metric, goal, kept)
        named[metric] = {**kept.get(metric, {}), **({"goal": goal} if goal else {})}
    metrics = {**named, **{m: v for m, v in kept.items() if m not in named}}
    metrics = metrics or {metric: {} for metric in _METRICS}
    if asked.smallest_effect is not None:
        first = next(iter(metrics))
        metrics[first] = {**metrics[first], "smallest_effect": asked.smallest_effect}
    return metrics


def _check_goal(metric: str, goal: str, kept: Mapping[str, Any]) -> None:
    is_told = metric in kept or goal_of(parse(metric)) is not None
    if goal not in ("up", "down") if goal else not is_told:
        raise RequestError(
            f"--metric {metric!r}: "
            + (f"{goal!r} is no goal" if goal else "its name says neither loss nor accuracy")
            + f": say which way is better, as in --metric {metric}=up (or down)."
        )


def _seeds(overrides: Sequence[Override], recipe: Recipe | None) -> Any:
    """As typed, `0,1,2` being the list [0, 1, 2]; else the recipe's."""
    for override in overrides:
        if override.key == "seeds":
            return list(override.listed) if override.listed else override.value
    if recipe is None:
        return _SEEDS
    if isinstance(recipe.seeds, Looks):
        return recipe.seeds.model_dump(exclude_defaults=True)
    count = len(recipe.seeds)
    return count if recipe.seeds == list(range(count)) else recipe.seeds


def _question(asked: Multirun, lists: Mapping[str, Any], kept: Mapping[str, Any], name: str) -> str:
    metric = next(iter(_metrics(asked, kept.get("metrics", {}))))
    *first, last = lists or [""]
    axes = f"{', '.join(first)} and {last}" if first else last
    on = f" on the baseline of {name}" if name else ""
    if not lists:
        return f"What does this configuration reach in {metric}?"
    return f"How {'do' if first else 'does'} {axes} change {metric}{on}?"


def _shown(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Without the values of keys that are named like secrets: they are for no file."""
    baseline = raw["baseline"]
    open_values = masked(baseline)
    return {**raw, "baseline": {k: v for k, v in baseline.items() if open_values[k] == v}}


def _header(
    asked: Multirun,
    overrides: Sequence[Override],
    start: tuple[str, Recipe] | None,
    folder: Path,
    raw: Mapping[str, Any],
) -> str:
    """Comments: the schema for editors, the command that wrote the file, and what it needs."""
    from sweeper.folders import own

    words = ["-m", *([start[0]] if start else []), "--as", folder.name, "--design", asked.design]
    words += [word for metric in asked.metrics for word in ("--metric", metric)]
    if asked.smallest_effect is not None:
        words += ["--smallest-effect", str(asked.smallest_effect)]
    words += [override.text for override in overrides]
    schema = os.path.relpath(own("recipes") / "schema.json", folder.absolute())
    lines = [
        f"yaml-language-server: $schema={schema}",
        f"Written by: sweeper run {shlex.join(words)}",
        "The next sweep under this name writes it anew: copy it before you change it.",
    ]
    if targets := [t for t in typed_targets(overrides) if not t.startswith("sweeper.")]:
        modules = dict.fromkeys(t.partition(".")[0] for t in targets)
        lines.append(f"To run it add {' '.join(f'--allow {m}' for m in modules)}: it names code.")
    if secrets := [key for key in raw["baseline"] if key not in _shown(raw)["baseline"]]:
        lines.append(f"To run it add {' '.join(f'{k}=…' for k in secrets)}: kept out of this file.")
    return "".join(f"# {legible(line)}\n" for line in lines)
