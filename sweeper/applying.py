"""Goes on from the last step that applied, leaving out what a skipped one would have changed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweeper.compose import Composer
from sweeper.design import DesignedArm, design
from sweeper.evidence.rebuild import runs_of
from sweeper.evidence.skipped import skipped
from sweeper.plan import Cell, PlannedArm
from sweeper.planning import (
    Request,
    Search,
    arm_values,
    compose_arm,
    existence,
    in_order,
    make_cells,
    planned_arms,
)
from sweeper.recipe import BASELINE
from sweeper.records import Reader


class LastThatApplied:
    """Lets arms begin once the arms that they start from are answered.

    Which of those apply follows from what is recorded alone, so that a resumed run comes to the
    same plan.
    """

    def __init__(self, reader: Reader, composer: Composer) -> None:
        self._reader, self._composer = reader, composer

    def next(self, request: Request) -> Request | None:
        """The request with those arms begun; None where none waits."""
        if not request.held:
            return None
        start = {arm.name: arm.compared_with or "" for arm in request.plan.arms}
        ready = [arm for arm in start if arm in request.held and start[arm] not in request.held]
        why = skipped(runs_of(request.plan, self._reader))
        repeats = {arm.name for arm in request.plan.arms if arm.same_as}
        found = {arm: reason for arm, reason in why.items() if arm not in repeats}
        found = {} if BASELINE in found else found  # then nothing applies
        if not any(start[arm] in found for arm in ready):
            return replace(request, held=request.held.difference(ready))
        planned = self._without(request, found)
        begins = {arm.name: arm.compared_with for arm in planned.plan.arms}
        notes = [
            f"{request.plan.name}: {start[arm]} is skipped ({found[start[arm]]}), so {arm} starts "
            f"from {'the ' * (begins[arm] == BASELINE)}{begins[arm]}."
            for arm in ready
            if start[arm] in found
        ]
        return replace(planned, held=request.held.difference(ready), notes=(*request.notes, *notes))

    def _without(self, request: Request, found: Collection[str]) -> Request:
        """The request with the arms that wait planned anew, without what skipped arms change."""
        plan, recipe, baseline = request.plan, request.recipe, request.baseline
        assert recipe is not None
        exists = existence(baseline, self._composer)
        every = design(recipe, exists, found)
        others = _otherwise(every, design(recipe, exists))
        designed = _with_their_starts(every, request.held)
        configs = {arm.name: compose_arm(arm, baseline, self._composer) for arm in designed}
        searched = {search.arm for search in request.searches}
        fixed = {arm: configs[arm] for arm in configs if arm in request.held - searched}
        trials, cells = make_cells(fixed, recipe.first_seeds)
        kept = [cell for cell in plan.cells if cell.arm not in request.held]
        known = {cell.trial_id for cell in kept}
        trials |= {name: trial for name, trial in request.trials.items() if name in known}
        planned = planned_arms(
            designed, configs, baseline, searched, list(plan.arms[0].axes), may_be_in_place=True
        )
        anew = {arm.name: arm for arm in planned if arm.name in request.held}
        arms = [anew.get(arm.name, arm) for arm in plan.arms]
        arms = _marked(arms, others & anew.keys(), [*kept, *cells])
        searches = [
            self._searched(search, every, configs, baseline) if search.arm in anew else search
            for search in request.searches
        ]
        plan = replace(plan, arms=tuple(arms), cells=in_order(arms, (*kept, *cells)))
        return replace(request, plan=plan, trials=trials, searches=searches)

    def _searched(
        self,
        search: Search,
        every: Sequence[DesignedArm],
        configs: Mapping[str, Mapping[str, Any]],
        baseline: Mapping[str, Any],
    ) -> Search:
        arm = next(arm for arm in every if arm.name == search.arm)
        values = arm_values(arm, baseline, self._composer)
        return replace(search, values=values, config=configs[search.arm])


def _marked(
    arms: Sequence[PlannedArm], others: Collection[str], cells: Sequence[Cell]
) -> list[PlannedArm]:
    """Those of `others` that, less what does not apply, have come to be what another arm is.

    What starts from such an arm keeps its values, and is compared with that other one.
    """
    first = {cell.arm: cell.trial_id for cell in reversed(cells) if cell.phase == "report"}
    has_it = {first[arm.name]: arm.name for arm in reversed(arms) if arm.name in first}
    has_it |= {first[arm.name]: arm.name for arm in arms if arm.name in first.keys() - others}
    own = {arm.name: has_it.get(first.get(arm.name, ""), arm.name) for arm in arms}
    repeats = {name: other for name, other in own.items() if name in others and other != name}
    repeats |= {arm.name: arm.same_as for arm in arms if arm.same_as}
    return [
        replace(
            arm,
            same_as=repeats.get(arm.name, ""),
            compared_with=repeats.get(arm.compared_with or "", arm.compared_with),
        )
        for arm in arms
    ]


def _otherwise(every: Sequence[DesignedArm], asked: Sequence[DesignedArm]) -> set[str]:
    """The arms whose values are not those that were asked for."""
    values = {arm.name: arm.values for arm in asked}
    return {arm.name for arm in every if arm.values != values[arm.name]}


def _with_their_starts(every: Sequence[DesignedArm], held: Collection[str]) -> list[DesignedArm]:
    """These arms and all that they start from, in the order of the design."""
    start: Mapping[str, str | None] = {arm.name: arm.compared_with for arm in every}
    needed = {BASELINE}
    for name in held:
        arm: str | None = name
        while arm is not None:
            needed.add(arm)
            arm = start[arm]
    return [arm for arm in every if arm.name in needed]
