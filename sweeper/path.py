"""Goes on with a path: takes the best change of a round, and asks for the next on top of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sweeper.compose import Composer
from sweeper.design import DesignedArm, path_arm, step_name
from sweeper.evidence.measures import Grid, comparable, measure
from sweeper.evidence.rebuild import runs_of
from sweeper.plan import Step
from sweeper.planning import Request, compose_arm, in_order, make_cells, planned_arms
from sweeper.recipe import BASELINE, TARGET
from sweeper.records import Reader


class NextRound:
    """Greedy forward ablation along a path (Fawcett and Hoos 2016; Biedenkapp and others 2017).

    What was taken stands in the plan; the last round alone is judged, on what is recorded. So a
    sweep that was stopped comes to the same path.
    """

    def __init__(self, reader: Reader, composer: Composer) -> None:
        self._reader, self._composer = reader, composer

    def next(self, request: Request) -> Request | None:
        """The request with its next round; None where the path has ended or nothing was measured.

        Raises RequestError where three changes or more do not compose together.
        """
        path = request.plan.path
        tried = [step for step in path if step.round == path[-1].round]
        if not tried or any(step.is_taken for step in tried):
            return None
        best = self._best(request, tried)
        if best is None:
            return None
        taken = replace(best, is_taken=True)
        path = tuple(taken if step is best else step for step in path)
        request = replace(request, plan=replace(request.plan, path=path))
        left = [step.change for step in tried if step is not best]
        if len(left) == 1:
            last = Step(taken.round + 1, left[0], TARGET, taken.arm, is_taken=True)
            return replace(request, plan=replace(request.plan, path=(*path, last)))
        return self._with_round(request, taken, left)

    def _best(self, request: Request, tried: Sequence[Step]) -> Step | None:
        """By the mean; a diverged run is infinitely bad, and between such arms the median decides.

        Of equals the recipe's first. An arm in which nothing was measured is not taken.
        """
        recipe, plan = request.recipe, request.plan
        assert recipe is not None
        metric = next(iter(recipe.metrics))
        grid = Grid.of(plan, runs_of(plan, self._reader))
        is_log = recipe.metrics[metric].scale == "log"
        found = comparable(measure(metric, recipe, grid), log=is_log).values
        sign = 1 if recipe.goal(metric) == "down" else -1
        ranked = []
        for order, step in enumerate(tried):
            row = sign * found[grid.index[step.arm]]
            if len(values := row[~np.isnan(row)]):
                ranked.append((float(np.mean(values)), float(np.median(values)), order))
        return tried[min(ranked)[-1]] if ranked else None

    def _with_round(self, request: Request, taken: Step, left: Sequence[str]) -> Request:
        """The request with an arm for each change that is left, on top of those taken."""
        plan, recipe = request.plan, request.recipe
        assert recipe is not None
        number = taken.round + 1
        done = [step.change for step in plan.path if step.is_taken]
        steps = tuple(Step(number, c, step_name(number, c), taken.arm) for c in left)
        new = [path_arm(s.arm, [*done, s.change], recipe, s.before) for s in steps]
        known = [DesignedArm(BASELINE, {}, None), path_arm(taken.arm, done, recipe, BASELINE)]
        configs = {
            arm.name: compose_arm(arm, request.baseline, self._composer) for arm in (*known, *new)
        }
        names = list(plan.arms[0].axes)
        arms = planned_arms([*known, *new], configs, request.baseline, axes=names)[len(known) :]
        trials, cells = make_cells({arm.name: configs[arm.name] for arm in new}, recipe.first_seeds)
        end = next(i for i, arm in enumerate(plan.arms) if arm.name == TARGET)
        every = (*plan.arms[:end], *arms, *plan.arms[end:])
        plan = replace(
            plan,
            arms=every,
            cells=in_order(every, (*plan.cells, *cells)),
            path=(*plan.path, *steps),
        )
        return replace(request, plan=plan, trials={**request.trials, **trials})
