"""What a variant makes of a recipe: its baseline under what was typed, and its name."""

from collections.abc import Mapping
from typing import Any

from sweeper.axes import OF_ONE_SOURCE
from sweeper.compose import Composer
from sweeper.identity import as_before, digest
from sweeper.nuisance import rechosen
from sweeper.recipe import Recipe


def changed(
    baseline: Mapping[str, Any], values: Mapping[str, Any], composer: Composer
) -> Mapping[str, Any]:
    """A recipe's baseline under values that were typed beside it."""
    asked = changing(values)
    inherited = _own_of_recipe(baseline, asked, composer)
    return rechosen({**inherited, **values}, asked, values, composer)


def changing(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that ask something else, and not only where it runs."""
    return {k: v for k, v in values.items() if k.split(".")[0] != "executor"}


def _own_of_recipe(
    baseline: Mapping[str, Any], asked: Mapping[str, Any], composer: Composer
) -> dict[str, Any]:
    """The recipe's baseline, less what describes a source that the user replaces by their own.

    Under `model._target_=…` the recipe's own `model` keys say nothing of the user's; of `data`
    the axes stay, since they act on any arrays, less those that speak of the recipe's own samples.
    """
    replaced = {key.removesuffix("._target_") for key in asked if key.endswith("._target_")}
    custom = composer.keys(dict.fromkeys(replaced & composer.sourced, "custom"))
    stays = {key for key in custom if key.split(".")[0] in replaced}
    stays -= {f"data.{key}" for key in OF_ONE_SOURCE}
    return {k: v for k, v in baseline.items() if k.split(".")[0] not in replaced or k in stays}


def left_out(recipe: Recipe, baseline: Mapping[str, Any]) -> list[str]:
    """A sentence on what of the recipe's baseline says nothing of the user's data, but might."""
    speaking = {f"data.{key}" for key in OF_ONE_SOURCE} & recipe.baseline.keys()
    left = ", ".join(f"{key}={recipe.baseline[key]}" for key in sorted(speaking - baseline.keys()))
    if not left:
        return []
    return [f"left out, since the recipe says it of its own data: {left}; type what yours need."]


def variant_name(name: str, baseline: Mapping[str, Any]) -> str:
    """Named after what its baseline comes to, so that 1 and 1.0 are one variant."""
    return f"{name}+{digest(how_asked(baseline), 6)}"


def how_asked(config: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and how it is searched for; without a pruner as before there were any."""
    without = {"executor", *(["pruner"] if config["pruner"]["name"] == "none" else [])}
    return as_before({k: v for k, v in config.items() if k not in without})
