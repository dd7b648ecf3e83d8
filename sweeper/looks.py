"""Seeds added in looks, until every claim of a recipe is decided."""

from dataclasses import replace

from sweeper.planning import Request, with_seeds
from sweeper.records import Reader


class MoreSeeds:
    """Adds seeds to the arms of claims that are still open; each look is kept in the plan."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def next(self, request: Request) -> Request | None:
        """The request after one more look; None where the last one ended it.

        What it asks for follows from what is recorded alone, so that a resumed run looks again at
        the same numbers of seeds.
        """
        from sweeper.evidence.findings import Evidence  # pandas takes a third of a second
        from sweeper.evidence.looking import look
        from sweeper.evidence.rebuild import runs_of

        plan = request.plan
        if plan.looks and plan.looks[-1].stopped:
            return None
        found, needed = look(Evidence(plan, runs_of(plan, self._reader)))
        request = replace(request, plan=replace(plan, looks=(*plan.looks, found)))
        assert request.recipe is not None
        every = request.recipe.every_seed
        more = {arm: every[found.seeds[arm] : target] for arm, target in needed.items()}
        return with_seeds(request, more)
