"""From recipe to plan: every arm composed, checked and named before anything is launched."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sweeper import equal_arms
from sweeper.compose import Composer
from sweeper.design import DesignedArm, Exists, design, later_arms
from sweeper.errors import RequestError, nearest
from sweeper.fingerprint import calls_user_code
from sweeper.identity import asked, flatten, trial_id
from sweeper.limits import MOST_CELLS
from sweeper.masking import masked, masked_override
from sweeper.metric import ALONG_AN_AXIS, parse
from sweeper.named_checks import check_named
from sweeper.nuisance import Search as Search
from sweeper.nuisance import axes_in, check_axes, check_how, check_values, rechosen, value_of
from sweeper.overrides import Override
from sweeper.plan import Cell, Plan, PlannedArm
from sweeper.recipe import BASELINE, Looks, Recipe, read_seeds
from sweeper.recipe_file import read_recipe
from sweeper.steps import first_steps
from sweeper.trial import Trial
from sweeper.variant import changed, changing, left_out, variant_name


@dataclass(frozen=True)
class Request:
    """A plan with the trials it needs, ready to run."""

    plan: Plan
    trials: Mapping[str, Trial]
    executor: Mapping[str, Any]
    sampler: Mapping[str, Any]
    searches: Sequence[Search] = ()
    recipe: Recipe | None = field(default=None, repr=False)
    baseline: Mapping[str, Any] = field(default_factory=dict)  # what all arms start from, as given
    notes: Sequence[str] = ()  # what its user must know of how it came to be
    file: str = ""  # the recipe as YAML, where it was not read from a file
    pruner: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    # Arms that wait until it is known whether the arms they start from apply to the user's code.
    held: frozenset[str] = frozenset()

    @property
    def begun_cells(self) -> list[Cell]:
        """Those of arms that wait for no other."""
        return [cell for cell in self.plan.cells if cell.arm not in self.held]

    @property
    def begun_searches(self) -> list[Search]:
        return [search for search in self.searches if search.arm not in self.held]

    @property
    def configs(self) -> Iterator[Mapping[str, Any]]:
        """Of the trials that are known and of the arms that are searched, the baseline's first."""
        yield from (asked(s.config) for s in self.searches if s.arm == BASELINE)
        yield from (trial.config for trial in self.trials.values())
        yield from (asked(s.config) for s in self.searches if s.arm != BASELINE)

    @property
    def expected(self) -> int:
        """How many trials this comes to, those that searches and a path will ask for included."""
        if self.recipe is None:
            return len(self.trials)
        seeds = len(self.recipe.every_seed)
        known = len(self.trials) + self.plan.arms_to_come * seeds
        if self.recipe.search is None:
            return known
        search = self.recipe.search
        each = search.trials * len(search.seeds) + seeds
        return known + len(self.searches) * each

    def may_grow(self, arm: str) -> bool:
        """Whether cells of this arm may be asked for beside those that are known beforehand."""
        assert self.recipe is not None
        is_searched = arm in self.held or arm in {search.arm for search in self.searches}
        is_further = bool(self.plan.path) and arm not in {a.name for a in self.plan.arms}
        return is_searched or is_further or isinstance(self.recipe.seeds, Looks)


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
    baseline = changed(recipe.baseline, values, composer)
    designed = design(recipe, existence(baseline, composer))
    _check_number(recipe, designed)
    configs = {arm.name: compose_arm(arm, baseline, composer) for arm in designed}
    check_named(recipe, configs, values)
    is_variant = bool(changing(values))
    standing_for = equal_arms.standing_for(recipe, designed, configs, is_variant=is_variant)
    designed = equal_arms.without(standing_for, designed, configs)
    path, notes = first_steps(
        recipe, standing_for, lambda arm: compose_arm(arm, baseline, composer)
    )
    searches = _searches(recipe, designed, configs, baseline, composer)
    _check_searches(recipe, searches, configs[BASELINE], composer)
    searched = {s.arm for s in searches}
    arms = planned_arms(designed, configs, baseline, searched, may_be_in_place=is_variant)
    _check_axes_of_metrics(recipe, arms)
    trials, cells = make_cells(
        {a: c for a, c in configs.items() if a not in searched}, recipe.first_seeds
    )
    plan = Plan(
        name=as_name or (variant_name(name, configs[BASELINE]) if is_variant else name),
        recipe_name=name,
        recipe=_recorded(recipe),
        arms=tuple(arms),
        cells=tuple(cells),
        overrides=tuple(masked_override(o.text) for o in overrides),
        factorial=equal_arms.of_factorial(recipe, standing_for),
        path=path,
    )
    where = configs[BASELINE]
    return Request(
        plan, trials, where["executor"], where["search"], searches, recipe, baseline,
        [*notes, *left_out(recipe, baseline)],
        pruner=where["pruner"], held=_held(designed, configs),
    )  # fmt: skip


def _held(
    designed: Sequence[DesignedArm], configs: Mapping[str, Mapping[str, Any]]
) -> frozenset[str]:
    """The arms that inherit something of an arm that may turn out not to apply."""
    known = {arm.name: arm for arm in designed}
    held: set[str] = set()
    for arm in designed:
        start = known.get(arm.compared_with or "")
        if start is None or start.values.keys() <= arm.changes.keys():
            continue
        if start.name in held or calls_user_code(configs[start.name]):
            held.add(arm.name)
    return frozenset(held)


def _check_number(recipe: Recipe, designed: Sequence[DesignedArm]) -> None:
    """Of a path the later rounds count too."""
    arms, seeds = len(designed) + later_arms(len(recipe.path)), len(recipe.every_seed)
    if (number := arms * seeds) > MOST_CELLS:
        raise RequestError(
            f"{arms} arms with {seeds} seeds are {number} trials, and at most {MOST_CELLS} are "
            "possible: ask for fewer arms or seeds."
        )


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


def existence(baseline: Mapping[str, Any], composer: Composer) -> Exists:
    """Whether an axis exists in an arm that sets these values; asked once for each choice."""
    known: dict[tuple[str, ...], bool] = {}

    def exists(values: Mapping[str, Any], axis: str) -> bool:
        choices = sorted(f"{key}={value}" for key, value in values.items() if "." not in key)
        if (which := (axis, *choices)) not in known:
            arm = rechosen({**baseline, **values}, values, values, composer)
            known[which] = composer.has(axis, arm)
        return known[which]

    return exists


def compose_arm(
    arm: DesignedArm, baseline: Mapping[str, Any], composer: Composer
) -> dict[str, Any]:
    try:
        return composer.resolve(arm_values(arm, baseline, composer))
    except RequestError as error:
        raise RequestError(f"arm {arm.name!r}: {error}") from None


def arm_values(
    arm: DesignedArm, baseline: Mapping[str, Any], composer: Composer
) -> Mapping[str, Any]:
    return rechosen({**baseline, **arm.values}, arm.values, arm.changes, composer)


def planned_arms(
    designed: Sequence[DesignedArm],
    configs: Mapping[str, Mapping[str, Any]],
    baseline: Mapping[str, Any],
    searched: Collection[str] = (),
    axes: Sequence[str] = (),
    *,
    may_be_in_place: bool = False,
) -> list[PlannedArm]:
    """Each arm with its value of every axis: of those given, else of all that any arm sets.

    An arm that changes nothing is refused, or where it `may_be_in_place` marked as such; what
    starts from it is compared with what has it already.
    """
    names = axes or list(dict.fromkeys(key for arm in designed for key in arm.values))
    flat = {arm.name: flatten(asked(configs[arm.name])) for arm in designed}
    planned = []
    has_it: dict[str, str] = {}  # by an arm that is in place, the arm that has its values
    for arm in designed:
        values = {**baseline, **arm.values}
        own = {key: value_of(key, values, configs[arm.name]) for key in names}
        start = has_it.get(arm.compared_with or "", arm.compared_with)
        difference = _difference(flat, arm.name, start)
        if start is not None and arm.name not in searched:
            if not may_be_in_place:
                _check_changes(flat, arm, difference)
            elif not difference:
                has_it[arm.name] = start
        same_as = has_it.get(arm.name, "")
        planned.append(PlannedArm(arm.name, start, masked(own), masked(difference), same_as))
    return planned


def _difference(
    flat: Mapping[str, Mapping[str, Any]], arm: str, start: str | None
) -> dict[str, tuple[Any, Any]]:
    if start is None:
        return {}
    here, there = flat[arm], flat[start]
    keys = [k for k in {**there, **here} if here.get(k) != there.get(k)]
    return {key: (there.get(key), here.get(key)) for key in keys}


def _check_changes(
    flat: Mapping[str, Mapping[str, Any]], arm: DesignedArm, difference: Mapping[str, Any]
) -> None:
    if not difference:
        raise RequestError(
            f"arm {arm.name!r} changes nothing of {arm.compared_with!r}, with which it is "
            f"compared: {masked(arm.values)} are its values already."
        )
    if flat[arm.name] == flat[BASELINE]:
        raise RequestError(f"arm {arm.name!r} equals the baseline: leave it out, or change it.")


def make_cells(
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
    check_axes(recipe.search.axes, composer)
    arms = recipe.search.arms or [arm.name for arm in designed]
    found = []
    for arm in designed:
        if arm.name not in arms:
            continue
        values = arm_values(arm, baseline, composer)
        axes = axes_in(recipe.search.axes, values, configs[arm.name])
        for axis in axes.keys() & set(arm.changes):
            raise RequestError(
                f"search.axes: {axis!r} is set by the arm {arm.name!r} itself, so it is no "
                "nuisance axis: take it out of one of the two."
            )
        if axes:  # else the arm has nothing to tune, and runs as it is
            found.append(Search(arm.name, values, configs[arm.name], axes))
    used = {axis for search in found for axis in search.axes}
    for axis in recipe.search.axes:
        if axis not in used:
            raise RequestError(
                f"search.axes: {axis!r} is there in no searched arm, since its `when` holds in "
                "none: mend that, or take the axis out."
            )
    return found


def _check_searches(
    recipe: Recipe,
    searches: Sequence[Search],
    config: Mapping[str, Any],
    composer: Composer,
) -> None:
    if recipe.search is None:
        return
    number = len(searches) * recipe.search.trials * len(recipe.search.seeds)
    if number > MOST_CELLS:
        raise RequestError(
            f"{len(searches)} searched arms with {recipe.search.trials} proposals on "
            f"{len(recipe.search.seeds)} seeds are {number} trials, and at most {MOST_CELLS} are "
            "possible: ask for fewer."
        )
    metric = recipe.search.metric or [next(iter(recipe.metrics))]
    told = recipe.search.model_copy(update={"metric": metric})
    for search in searches:
        check_how(told, search, config["search"], config["pruner"])
        check_values(search, composer)


def with_winner(
    request: Request, arm: str, config: Mapping[str, Any], values: Mapping[str, Any]
) -> Request:
    """The request with a searched arm's winner in place: its reported cells are known now."""
    assert request.recipe is not None
    trials, cells = make_cells({arm: config}, request.recipe.first_seeds)
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
        new_trials, new_cells = make_cells({arm: config[arm]}, more)
        trials |= new_trials
        cells += new_cells
    plan = replace(request.plan, cells=in_order(request.plan.arms, (*request.plan.cells, *cells)))
    return replace(request, plan=plan, trials={**request.trials, **trials})


def in_order(arms: Sequence[PlannedArm], cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """By arm, what a search tried before what is reported; within these as they come."""
    order = {arm.name: i for i, arm in enumerate(arms)}
    return tuple(sorted(cells, key=lambda c: (order[c.arm], c.phase == "report")))
