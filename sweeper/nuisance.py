"""The nuisance axes of a search: which are there in an arm, and whether they can be tuned so."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweeper.compose import Composer
from sweeper.errors import RequestError, nearest
from sweeper.masking import is_secret
from sweeper.metric import parse
from sweeper.recipe import DURATION, Range, is_among
from sweeper.recipe import Search as Asked


@dataclass(frozen=True)
class Search:
    """A searched arm: its own values, on which each proposal of the sampler is set."""

    arm: str
    values: Mapping[str, Any]
    config: Mapping[str, Any]
    # Those that are there in this arm, parents first; a `when` names other ones of these alone.
    axes: Mapping[str, Range] = field(default_factory=dict)

    def proposed(self, values: Mapping[str, Any], composer: Composer) -> dict[str, Any]:
        """The configuration of a proposal. Raises RequestError where there can be none."""
        return composer.resolve(rechosen({**self.values, **values}, values, values, composer))

    @property
    def when(self) -> dict[str, Mapping[str, Sequence[Any]]]:
        """The conditions of the axes that have any."""
        return {axis: found.when for axis, found in self.axes.items() if found.when}


def rechosen(
    values: Mapping[str, Any],
    choices: Mapping[str, Any],
    own: Mapping[str, Any],
    composer: Composer,
) -> Mapping[str, Any]:
    """A choice leaves behind the inherited values that only the old choice had, but not its own."""
    for group in choices.keys() & composer.groups.keys():
        if choices[group] in composer.groups[group]:
            known = composer.keys({group: str(choices[group])}) | own.keys()
            values = {
                k: v for k, v in values.items() if not k.startswith(f"{group}.") or k in known
            }
    return values


def value_of(key: str, values: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """The value of an axis in an arm: the choice of a group, or the resolved value of a key."""
    if "." not in key:
        return values.get(
            key, config[key].get("name") or config[key]["_target_"].rpartition(".")[2]
        )
    found: Any = config
    for step in key.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def check_axes(axes: Mapping[str, Range], composer: Composer) -> None:
    """Refuse, before any arm is looked at, secrets and conditions that no arm can meet."""
    for axis, found in axes.items():
        if is_secret(axis):
            raise RequestError(f"search.axes: {axis!r} is named like a secret: give it one value.")
        for parent, allowed in found.when.items():
            if "." in parent or parent in axes:
                continue
            if parent not in composer.groups:
                raise RequestError(
                    f"search.axes: {axis!r} is there when {parent!r} has some value, which is no "
                    "axis. " + nearest(parent, [*axes, *composer.groups], what="axes")
                )
            for value in map(_choice, allowed):
                if value not in composer.groups[parent]:
                    raise RequestError(
                        f"search.axes: {axis!r} is there when {parent} is {value!r}, which it "
                        "never is. "
                        + nearest(str(value), composer.groups[parent], what=f"choices of {parent}")
                    )


def _choice(value: Any) -> Any:
    """As the composer reads it: YAML's `off` is the choice `none`."""
    return "none" if value is False or value is None else value


def axes_in(
    axes: Mapping[str, Range], values: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Range]:
    """The axes that are there in an arm, parents first; what the arm itself decides is decided."""
    found: dict[str, Range] = {}
    for axis in _parents_first(axes):
        searched = {p: allowed for p, allowed in axes[axis].when.items() if p in axes}
        decided = {p: allowed for p, allowed in axes[axis].when.items() if p not in axes}
        if searched.keys() <= found.keys() and all(
            is_among(value_of(p, values, config), allowed if "." in p else map(_choice, allowed))
            for p, allowed in decided.items()
        ):
            found[axis] = axes[axis].model_copy(update={"when": searched})
    return found


def _parents_first(axes: Mapping[str, Range]) -> Iterator[str]:
    left = dict(axes)
    while left:  # no circle: the recipe was checked
        for axis in [a for a, found in left.items() if not left.keys() & found.when.keys()]:
            del left[axis]
            yield axis


def check_values(search: Search, composer: Composer) -> None:
    """Both ends of a range, or every choice, compose: a search finds no typo at its tenth trial."""
    for axis, found in search.axes.items():
        for value in _ends(found):
            try:
                search.proposed({**_needed(search.axes, axis), axis: value}, composer)
            except RequestError as error:
                raise RequestError(f"search.axes, arm {search.arm!r}: {error}") from None
    for group in search.axes.keys() & composer.groups.keys():
        for choice in search.axes[group].choices or ():
            _check_choice(search, group, choice, composer)


def _check_choice(search: Search, group: str, choice: Any, composer: Composer) -> None:
    """With one choice of a searched group, all axes that are there then are known to it."""
    values = {**_needed(search.axes, group), group: choice}
    for axis, found in search.axes.items():
        if all(p in values and is_among(values[p], allowed) for p, allowed in found.when.items()):
            values.setdefault(axis, _ends(found)[0])
    try:
        search.proposed(values, composer)
    except RequestError as error:
        raise RequestError(
            f"search.axes, arm {search.arm!r}, with {group}={choice}: {error} An axis that only "
            f"other choices have says so, as in `when: {{{group}: […]}}`."
        ) from None


def _ends(found: Range) -> list[Any]:
    if found.choices is not None:
        return list(found.choices)
    ends = [found.low, found.high]
    return [int(end) if found.integer and end is not None else end for end in ends]


def _needed(axes: Mapping[str, Range], axis: str) -> dict[str, Any]:
    """Values of its parents, and of theirs, under which an axis is there."""
    needed: dict[str, Any] = {}
    for parent, allowed in axes[axis].when.items():
        needed |= {**_needed(axes, parent), parent: allowed[0]}
    return needed


def check_how(
    asked: Asked, search: Search, sampler: Mapping[str, Any], pruner: Mapping[str, Any]
) -> None:
    """Refuse what a sampler or a pruner cannot do, where Optuna would do something else."""
    name = sampler["name"]
    if name in ("qmc", "cmaes"):
        for axis in search.when:
            raise RequestError(
                f"search={name} needs axes that every proposal has, and {axis!r} has a `when`: "
                "choose search=tpe, or leave the axis out."
            )
    if name == "cmaes":
        for axis, found in search.axes.items():
            if found.choices is not None:
                raise RequestError(
                    f"search=cmaes moves along numbers, and {axis!r} has choices: choose "
                    "search=tpe, or leave the axis out."
                )
        if len(asked.metric or ()) > 1:
            raise RequestError("search=cmaes takes one metric: choose search=tpe, or one metric.")
    if pruner["name"] != "none":
        _check_pruner(asked, pruner)


def _check_pruner(asked: Asked, pruner: Mapping[str, Any]) -> None:
    if len(asked.metric or ()) > 1:
        raise RequestError(
            f"pruner={pruner['name']} takes one metric: choose pruner=none, or name one under "
            "search.metric."
        )
    if pruner["name"] == "wilcoxon":
        _check_seeds(asked, pruner)
        return
    for metric in asked.metric or ():
        if metric == DURATION or parse(metric).function == "epochs_to":
            raise RequestError(
                f"pruner={pruner['name']} compares what is reported on the way, and {metric} is "
                "not known before the end: choose pruner=none, or search for another metric."
            )


def _check_seeds(asked: Asked, pruner: Mapping[str, Any]) -> None:
    """The signed-rank test of n differences gives no p below 2⁻ⁿ; the last seed decides nothing."""
    threshold = pruner["p_threshold"]
    least = math.floor(-math.log2(threshold)) + 1 if 0 < threshold < 1 else 2
    needed = max(2, least, pruner["startup_steps"]) + 1
    if not threshold or len(asked.seeds) < needed:
        given = f"search.seeds holds {len(asked.seeds)}"
        mend = f"give at least {needed}" if threshold else "raise pruner.p_threshold"
        raise RequestError(
            f"pruner=wilcoxon compares proposals seed by seed, and {given}, with which it never "
            f"gives one up at p < {threshold:g}: {mend}, or choose pruner=none."
        )
