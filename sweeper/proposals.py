"""What searches proposed, as it is recorded: under which name, as which trials."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sweeper.compose import Composer
from sweeper.errors import RequestError
from sweeper.identity import digest
from sweeper.nuisance import Search
from sweeper.planning import Request, make_trial
from sweeper.recipe import Search as Asked
from sweeper.records import Reader
from sweeper.store import Store
from sweeper.trial import FINAL, RESULTS, Trial
from sweeper.variant import how_asked

FAILED = FINAL - RESULTS - {"pruned", "skipped"}


def study_name(request: Request, search: Search) -> str:
    """What is asked, how, and by which sampler and pruner: another of these is another study."""
    assert request.recipe is not None and request.recipe.search is not None
    config = how_asked(search.config)
    config["search"] = {k: v for k, v in config["search"].items() if k != "importance"}
    asked = digest({"config": config, "space": _space(request.recipe.search)}, 8)
    return f"{request.plan.name}/{search.arm}/{asked}"


def _space(asked: Asked) -> dict[str, Any]:
    """What is searched over, written as it was before there were conditions and several metrics."""
    space = asked.model_dump(mode="json", include={"axes", "seeds", "metric"})
    if asked.metric is not None and len(asked.metric) == 1:
        space["metric"] = asked.metric[0]
    for axis in space["axes"].values():
        if not axis["when"]:
            del axis["when"]
    return space


def proposed(
    reader: Reader, request: Request, search: Search, composer: Composer
) -> Iterator[tuple[int, list[Trial]]]:
    """What a search proposed so far: each number with its trials, without any if none compose."""
    assert request.recipe is not None and request.recipe.search is not None
    for turn in reader.turns(study_name(request, search)):
        if "ask" in turn:
            yield turn["ask"], trials_of(search, turn["values"], request.recipe.search, composer)


def trials_of(
    search: Search, values: Mapping[str, Any], asked: Asked, composer: Composer
) -> list[Trial]:
    """A proposal's trials, one for each of the search's seeds; none where it does not compose."""
    with suppress(RequestError):  # values that are each possible, and not together
        config = search.proposed(values, composer)
        return [make_trial(config, seed) for seed in asked.seeds]
    return []


def forget_failures(store: Store, request: Request, composer: Composer) -> None:
    """Let searches go on from before the first failure that they were told of.

    What follows it was proposed in the light of it: of that, what is proposed again is answered.
    """
    statuses = store.statuses()
    for search in request.searches:
        name = study_name(request, search)
        failed: dict[int, list[str]] = {}
        for number, trials in proposed(store, request, search, composer):
            ids = [t.trial_id for t in trials if statuses.get(t.trial_id) in FAILED]
            failed |= {number: ids} if ids else {}
        store.forget(trial_id for ids in failed.values() for trial_id in ids)
        turns = enumerate(store.turns(name))
        first = next((i for i, turn in turns if turn.get("tell") in failed), None)
        if first is not None:
            store.set_aside(name, kept=first)
