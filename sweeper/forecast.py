"""What a run would do, from the plan and what the store already holds."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sweeper.changes import Changes, changes
from sweeper.compose import Composer
from sweeper.executors.make import slots_of
from sweeper.fingerprint import DataSets
from sweeper.folders import Outputs
from sweeper.ongoing import followers_of
from sweeper.plan import Cell, Span
from sweeper.planning import Request, with_seeds
from sweeper.recipe import Looks
from sweeper.records import Reader
from sweeper.trial import FINAL


@dataclass(frozen=True)
class Forecast:
    """A request beside what is known of it; `seconds` is None where no trial like it ever ran.

    `request` has come as far as what is recorded takes it: a path its rounds, looks their seeds.
    """

    request: Request
    arms: int  # those of a path's later rounds included
    seeds: Span
    trials: Span
    done: int
    shared: int
    slots: int
    seconds: Span | None
    undecidable: Sequence[str]
    changed: str = ""  # what is no longer as it was when trials of this request were answered


@dataclass(frozen=True)
class _Known:
    """What the store holds of any request."""

    statuses: Mapping[str, str]
    durations: Mapping[str, float]
    cells: Mapping[str, Sequence[Cell]]  # by plan

    def is_done(self, trial_id: str) -> bool:
        return self.statuses.get(trial_id) in FINAL


def forecast(
    requests: Sequence[Request], composer: Composer, outputs: Outputs
) -> Iterator[Forecast]:
    """One forecast a request, in order."""
    known = _Known({}, {}, {})
    found: dict[str, Changes] = {}
    if outputs.store.is_file():
        with Reader(outputs) as reader:
            cells = {name: reader.plan(name).cells for name in reader.plan_names()}
            known = _Known(reader.statuses(), reader.durations(), cells)
            data = DataSets(outputs.cache, outputs.root)
            found = {r.plan.name: changes(reader, [r], composer, data) for r in requests}
            requests = [_followed(request, reader, composer, known) for request in requests]
    trials = {name: {cell.trial_id for cell in cells} for name, cells in known.cells.items()}
    trials |= {r.plan.name: set(r.trials) for r in requests}
    for request in requests:
        others = set().union(*(t for n, t in trials.items() if n != request.plan.name), set())
        changed = str(found.get(request.plan.name) or "")
        yield _of_one(request, known, len(set(request.trials) & others), changed)


def _followed(request: Request, reader: Reader, composer: Composer, known: _Known) -> Request:
    """The request as a run would find it: with what follows from the cells that are answered."""
    if request.searches:  # whose winners are known to those who replay them
        return request
    followers = followers_of(request, reader, composer)
    while all(known.is_done(cell.trial_id) for cell in request.begun_cells):
        grown = next(filter(None, (follower.next(request) for follower in followers)), None)
        if grown is None:
            break
        request = grown
    return request


def _of_one(request: Request, known: _Known, shared: int, changed: str) -> Forecast:
    from sweeper.evidence.undecidable import cannot_decide

    recipe = request.recipe
    assert recipe is not None
    first, every = len(recipe.first_seeds), len(recipe.every_seed)
    whole = _with_every_seed(request)
    arms = len(request.plan.arms) + request.plan.arms_to_come
    # Of arms that are not composed yet only their number is known.
    later = len(request.searches) + request.plan.arms_to_come
    spared = len(whole.trials) - len(request.trials) + later * (every - first)
    tried = _tried(request, known)
    slots = slots_of(request.executor)
    return Forecast(
        request=request,
        arms=arms,
        seeds=_seeds(request),
        trials=Span(whole.expected - spared, whole.expected),
        done=sum(map(known.is_done, {*whole.trials, *(cell.trial_id for cell in tried)})),
        shared=shared,
        slots=slots,
        seconds=_seconds((request, whole), tried, known, spared, slots),
        undecidable=cannot_decide(recipe, request.plan.arms, every, request.plan.arms_to_come),
        changed=changed,
    )


def _seeds(request: Request) -> Span:
    """Of an arm; where looks have ended, as many as they came to."""
    recipe, looks = request.recipe, request.plan.looks
    assert recipe is not None
    if looks and looks[-1].stopped:
        return Span(min(looks[-1].seeds.values()), max(looks[-1].seeds.values()))
    return Span(len(recipe.first_seeds), len(recipe.every_seed))


def _with_every_seed(request: Request) -> Request:
    """All that looks may come to ask for; the request itself where they have ended."""
    recipe, looks = request.recipe, request.plan.looks
    assert recipe is not None
    if not isinstance(recipe.seeds, Looks) or (looks and looks[-1].stopped):
        return request
    asked = defaultdict(set)
    for cell in request.plan.cells:
        if cell.phase == "report":
            asked[cell.arm].add(cell.seed)
    every = recipe.every_seed
    return with_seeds(
        request, {arm: [s for s in every if s not in seeds] for arm, seeds in asked.items()}
    )


def _tried(request: Request, known: _Known) -> list[Cell]:
    """What the searches of the request asked for last time, winners included."""
    arms = {search.arm for search in request.searches}
    return [cell for cell in known.cells.get(request.plan.name, ()) if cell.arm in arms]


def _seconds(
    spanned: tuple[Request, Request],
    tried: Sequence[Cell],
    known: _Known,
    spared: int,
    slots: int,
) -> Span | None:
    """Recorded seconds of each arm's trials, else of the recipe's, over the slots."""
    request, whole = spanned
    durations = _durations([*whole.plan.cells, *tried], known)
    beyond = (
        whole.expected
        - len(whole.trials)
        - len({c.trial_id for c in tried if known.is_done(c.trial_id)})
    )
    missing = [cell for cell in _by_trial(whole.plan.cells) if not known.is_done(cell.trial_id)]
    if not durations:
        return None if missing or beyond > 0 else Span(0.0, 0.0)
    usual = fmean(second for seconds in durations.values() for second in seconds)
    seconds = {c.trial_id: fmean(durations.get(c.arm, [usual])) for c in missing}
    most = sum(seconds.values()) + max(0, beyond) * usual
    at_once = sum(s for trial_id, s in seconds.items() if trial_id in request.trials)
    unasked = len(whole.trials) - len(request.trials)
    least = at_once + max(0, beyond - (spared - unasked)) * usual
    return Span(least / slots, most / slots)


def _by_trial(cells: Iterable[Cell]) -> list[Cell]:
    """A cell for each trial: two arms may ask for one."""
    return list({cell.trial_id: cell for cell in cells}.values())


def _durations(cells: Iterable[Cell], known: _Known) -> dict[str, list[float]]:
    """What the trials of each arm took, as far as they were recorded."""
    found: dict[str, list[float]] = defaultdict(list)
    for cell in _by_trial(cells):
        if cell.trial_id in known.durations:
            found[cell.arm].append(known.durations[cell.trial_id])
    return found
