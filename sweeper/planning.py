"""From recipe to plan: every arm composed, checked and named before anything is launched."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sweeper.axes import SIZES
from sweeper.compose import Composer, Override
from sweeper.design import DesignedArm, design
from sweeper.errors import RequestError, nearest
from sweeper.identity import asked, digest, flatten, trial_id
from sweeper.limits import MOST_CELLS
from sweeper.masking import is_secret, masked, masked_override
from sweeper.metric import ALONG_AN_AXIS, parse
from sweeper.plan import Cell, Plan, PlannedArm
from sweeper.recipe import BASELINE, Looks, Recipe, read_seeds
from sweeper.recipe_file import read_recipe
from sweeper.trial import Trial


@dataclass(frozen=True)
class Search:
    """A searched arm: its own values, on which each proposal of the sampler is set."""

    arm: str
    values: Mapping[str, Any]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A plan with the trials it needs, ready to run."""

    plan: Plan
    trials: Mapping[str, Trial]
    executor: Mapping[str, Any]
    sampler: Mapping[str, Any]
    searches: Sequence[Search] = ()
    recipe: Recipe | None = field(default=None, repr=False)

    @property
    def expected(self) -> int:
        """How many trials this comes to, those that searches will ask for included."""
        if self.recipe is None or self.recipe.search is None:
            return len(self.trials)
        search = self.recipe.search
        each = search.trials * len(search.seeds) + len(self.recipe.every_seed)
        return len(self.trials) + len(self.searches) * each

    def may_grow(self, arm: str) -> bool:
        """Whether cells of this arm may be asked for beside those that are known beforehand."""
        assert self.recipe is not None
        is_searched = arm in {search.arm for search in self.searches}
        return is_searched or isinstance(self.recipe.seeds, Looks)


def make_request(
    name: str,
    recipe: Recipe,
    composer: Composer,
    overrides: Sequence[Override] = (),
    as_name: str | None = None,
) -> Request:
    """Compose every arm of `recipe` under `overrides`.

    Raises RequestError, naming recipe and arm, for whatever is wrong with any of them.
    """
    try:
        return _make_request(name, recipe, composer, overrides, as_name)
    except RequestError as error:
        raise RequestError(f"recipe {name}: {error}") from None


def _make_request(
    name: str,
    recipe: Recipe,
    composer: Composer,
    overrides: Sequence[Override],
    as_name: str | None,
) -> Request:
    recipe = _with_seeds(recipe, overrides)
    values = {o.key: o.value for o in overrides if o.key != "seeds"}
    changing = {k: v for k, v in values.items() if k.split(".")[0] != "executor"}
    inherited = _own_of_recipe(recipe.baseline, changing, composer)
    baseline = _rechosen({**inherited, **values}, changing, values, composer)
    designed = design(recipe)
    seeds = recipe.every_seed
    if (number := len(designed) * len(seeds)) > MOST_CELLS:
        raise RequestError(
            f"{len(designed)} arms with {len(seeds)} seeds are {number} trials, and at most "
            f"{MOST_CELLS} are possible: ask for fewer arms or seeds."
        )
    configs = {arm.name: _compose_arm(arm, baseline, composer) for arm in designed}
    designed = _without_the_baseline_again(recipe, designed, configs)
    searches = _searches(recipe, designed, configs, baseline, composer)
    for search in searches:
        _check_ranges(recipe, search, composer)
    searched = {s.arm for s in searches}
    arms = _planned(designed, configs, baseline, searched)
    _check_axes_of_metrics(recipe, arms)
    trials, cells = _cells(
        {a: c for a, c in configs.items() if a not in searched}, recipe.every_seed
    )
    plan = Plan(
        name=as_name or (_variant(name, configs[BASELINE]) if changing else name),
        recipe_name=name,
        recipe=_recorded(recipe),
        arms=tuple(arms),
        cells=tuple(cells),
        overrides=tuple(masked_override(o.text) for o in overrides),
    )
    where = configs[BASELINE]
    return Request(plan, trials, where["executor"], where["search"], searches, recipe)


def _recorded(recipe: Recipe) -> dict[str, Any]:
    """The recipe as its plan keeps it: of what holds values of axes, the secrets are masked."""
    raw = recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {k: v if k in ("metrics", "claims", "search") else masked(v) for k, v in raw.items()}


def _with_seeds(recipe: Recipe, overrides: Sequence[Override]) -> Recipe:
    for override in overrides:
        if override.key == "seeds":
            raw = recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            try:
                found = override.value
                raw["seeds"] = found if isinstance(found, dict) else read_seeds(found)
            except ValueError as error:
                raise RequestError(f"{error}.") from None
            recipe = read_recipe(raw, where="under this override")
    return recipe


def _check_axes_of_metrics(recipe: Recipe, arms: Sequence[PlannedArm]) -> None:
    known = {axis for arm in arms for axis in arm.axes}
    known |= recipe.search.axes.keys() if recipe.search else set()
    for text in recipe.metrics:
        expression = parse(text)
        axis = expression.arguments[0]
        if expression.function in ALONG_AN_AXIS and axis not in known:
            raise RequestError(
                f"metric {text!r}: no arms differ in {axis!r}. "
                + nearest(str(axis), known, what="axes in which they do")
            )


def _without_the_baseline_again(
    recipe: Recipe, designed: Sequence[DesignedArm], configs: dict[str, dict[str, Any]]
) -> list[DesignedArm]:
    """The arms less those of a grid or ladder that are the baseline, which stands for them."""
    same = {
        arm.name
        for arm in designed
        if arm.is_generated and asked(configs[arm.name]) == asked(configs[BASELINE])
    }
    for name in same:
        del configs[name]
        for claim in recipe.claims:
            for line, assertion in claim.assertions():
                if name in assertion.arms_named():
                    raise RequestError(
                        f"claim {line}: {name!r} is the baseline: name that instead."
                    )
    return [
        replace(arm, compared_with=BASELINE) if arm.compared_with in same else arm
        for arm in designed
        if arm.name not in same
    ]


def _own_of_recipe(
    baseline: Mapping[str, Any], changing: Mapping[str, Any], composer: Composer
) -> dict[str, Any]:
    """The recipe's baseline, less what describes a source that the user replaces by their own.

    Under `model._target_=…` the recipe's own `model` keys say nothing of the user's; of `data`
    the axes stay, since they act on any arrays, less those that count the recipe's own samples.
    """
    replaced = {key.removesuffix("._target_") for key in changing if key.endswith("._target_")}
    custom = composer.keys(dict.fromkeys(replaced & composer.sourced, "custom"))
    stays = {key for key in custom if key.split(".")[0] in replaced}
    stays -= {f"data.{key}" for key in SIZES}
    return {k: v for k, v in baseline.items() if k.split(".")[0] not in replaced or k in stays}


def _compose_arm(
    arm: DesignedArm, baseline: Mapping[str, Any], composer: Composer
) -> dict[str, Any]:
    try:
        return composer.resolve(_values(arm, baseline, composer))
    except RequestError as error:
        raise RequestError(f"arm {arm.name!r}: {error}") from None


def _values(arm: DesignedArm, baseline: Mapping[str, Any], composer: Composer) -> Mapping[str, Any]:
    return _rechosen({**baseline, **arm.values}, arm.values, arm.changes, composer)


def _rechosen(
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


def _planned(
    designed: Sequence[DesignedArm],
    configs: Mapping[str, Mapping[str, Any]],
    baseline: Mapping[str, Any],
    searched: set[str],
) -> list[PlannedArm]:
    names = list(dict.fromkeys(key for arm in designed for key in arm.values))
    flat = {arm.name: flatten(asked(configs[arm.name])) for arm in designed}
    planned = []
    for arm in designed:
        values = {**baseline, **arm.values}
        axes = {key: _value_of(key, values, configs[arm.name]) for key in names}
        difference = _difference(flat, arm, is_searched=arm.name in searched)
        planned.append(PlannedArm(arm.name, arm.compared_with, masked(axes), masked(difference)))
    return planned


def _value_of(key: str, values: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """The value of an axis in an arm: the choice of a group, or the resolved value of a key."""
    if "." not in key:
        return values.get(
            key, config[key].get("name") or config[key]["_target_"].rpartition(".")[2]
        )
    found: Any = config
    for step in key.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _difference(
    flat: Mapping[str, Mapping[str, Any]], arm: DesignedArm, *, is_searched: bool
) -> dict[str, tuple[Any, Any]]:
    if arm.compared_with is None:
        return {}
    here, there = flat[arm.name], flat[arm.compared_with]
    keys = [k for k in {**there, **here} if here.get(k) != there.get(k)]
    if is_searched:
        return {key: (there.get(key), here.get(key)) for key in keys}
    if not keys:
        raise RequestError(
            f"arm {arm.name!r} changes nothing of {arm.compared_with!r}, with which it is "
            f"compared: {masked(arm.values)} are its values already."
        )
    if here == flat[BASELINE]:
        raise RequestError(f"arm {arm.name!r} equals the baseline: leave it out, or change it.")
    return {key: (there.get(key), here.get(key)) for key in keys}


def _cells(
    configs: Mapping[str, Mapping[str, Any]], seeds: Sequence[int], phase: str = "report"
) -> tuple[dict[str, Trial], list[Cell]]:
    trials: dict[str, Trial] = {}
    cells = []
    for arm, config in configs.items():
        for seed in seeds:
            trial = make_trial(config, seed)
            trials[trial.trial_id] = trial
            cells.append(Cell(arm, seed, trial.trial_id, phase))
    return trials, cells


def make_trial(config: Mapping[str, Any], seed: int) -> Trial:
    """The trial of a configuration at a seed, under its own name."""
    return Trial(trial_id(config, seed), seed, asked(config))


def _searches(
    recipe: Recipe,
    designed: Sequence[DesignedArm],
    configs: Mapping[str, Mapping[str, Any]],
    baseline: Mapping[str, Any],
    composer: Composer,
) -> list[Search]:
    if recipe.search is None:
        return []
    for axis in recipe.search.axes:
        if is_secret(axis):
            raise RequestError(f"search.axes: {axis!r} is named like a secret: give it one value.")
    arms = recipe.search.arms or [arm.name for arm in designed]
    found = []
    for arm in designed:
        if arm.name in arms:
            for axis in set(recipe.search.axes) & set(arm.changes):
                raise RequestError(
                    f"search.axes: {axis!r} is set by the arm {arm.name!r} itself, so it is no "
                    "nuisance axis: take it out of one of the two."
                )
            values = _values(arm, baseline, composer)
            found.append(Search(arm.name, values, configs[arm.name]))
    return found


def _check_ranges(recipe: Recipe, search: Search, composer: Composer) -> None:
    """Both ends of a range, or every choice, compose: a search finds no typo at its tenth trial."""
    assert recipe.search is not None
    for axis, found in recipe.search.axes.items():
        values: list[Any] = found.choices or [found.low, found.high]
        for value in values:
            whole = int(value) if found.integer and isinstance(value, float) else value
            try:
                composer.resolve({**search.values, axis: whole})
            except RequestError as error:
                raise RequestError(f"search.axes, arm {search.arm!r}: {error}") from None


def _variant(name: str, baseline: Mapping[str, Any]) -> str:
    """Named after what its baseline comes to, so that 1 and 1.0 are one variant."""
    return f"{name}+{digest({k: v for k, v in baseline.items() if k != 'executor'}, 6)}"


def with_winner(
    request: Request, arm: str, config: Mapping[str, Any], values: Mapping[str, Any]
) -> Request:
    """The request with a searched arm's winner in place: its reported cells are known now."""
    assert request.recipe is not None
    trials, cells = _cells({arm: config}, request.recipe.first_seeds)
    arms = tuple(
        replace(a, axes={**a.axes, **values}) if a.name == arm else a for a in request.plan.arms
    )
    plan = replace(request.plan, arms=arms, cells=in_order(arms, (*request.plan.cells, *cells)))
    return replace(request, plan=plan, trials={**request.trials, **trials})


def with_seeds(request: Request, seeds: Mapping[str, Sequence[int]]) -> Request:
    """The request with further cells of its arms: these seeds of each."""
    config = {
        cell.arm: request.trials[cell.trial_id].config
        for cell in request.plan.cells
        if cell.phase == "report"
    }
    trials: dict[str, Trial] = {}
    cells: list[Cell] = []
    for arm, more in seeds.items():
        new_trials, new_cells = _cells({arm: config[arm]}, more)
        trials |= new_trials
        cells += new_cells
    plan = replace(request.plan, cells=in_order(request.plan.arms, (*request.plan.cells, *cells)))
    return replace(request, plan=plan, trials={**request.trials, **trials})


def in_order(arms: Sequence[PlannedArm], cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """By arm, what a search tried before what is reported; within these as they come."""
    order = {arm.name: i for i, arm in enumerate(arms)}
    return tuple(sorted(cells, key=lambda c: (order[c.arm], c.phase == "report")))
