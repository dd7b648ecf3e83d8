"""What a run would do, from the plan and what the store already holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sweeper.changes import Changes, changes
from sweeper.compose import Composer
from sweeper.executors.make import slots_of
from sweeper.fingerprint import DataSets
from sweeper.folders import Outputs
from sweeper.planning import Request
from sweeper.records import Reader
from sweeper.trial import FINAL


@dataclass(frozen=True)
class Forecast:
    """A request beside what is known of it; `seconds` is None where no trial like it ever ran."""

    request: Request
    cells: int
    trials: int
    done: int
    shared: int
    slots: int
    seconds: float | None
    undecidable: Sequence[str]
    changed: str = ""  # what is no longer as it was when trials of this request were answered


def forecast(
    requests: Sequence[Request], composer: Composer, outputs: Outputs
) -> Iterator[Forecast]:
    """One forecast a request, in order."""
    from sweeper.evidence.power import cannot_decide

    statuses: dict[str, str] = {}
    durations: dict[str, float] = {}
    elsewhere: dict[str, set[str]] = {}
    found: dict[str, Changes] = {}
    if outputs.store.is_file():
        with Reader(outputs) as reader:
            statuses, durations = reader.statuses(), reader.durations()
            for name in reader.plan_names():
                elsewhere[name] = {cell.trial_id for cell in reader.plan(name).cells}
            data = DataSets(outputs.cache, outputs.root)
            found = {r.plan.name: changes(reader, [r], composer, data) for r in requests}
    elsewhere |= {r.plan.name: set(r.trials) for r in requests}
    for request in requests:
        recipe = request.recipe
        assert recipe is not None
        others = set().union(*(t for n, t in elsewhere.items() if n != request.plan.name), set())
        missing = [t for t in request.trials if statuses.get(t) not in FINAL]
        slots = slots_of(request.executor)
        yield Forecast(
            request=request,
            cells=len(request.plan.arms) * len(recipe.every_seed),
            trials=request.expected,
            done=len(request.trials) - len(missing),
            shared=len(set(request.trials) & others),
            slots=slots,
            seconds=_estimate(request, missing, durations, slots),
            undecidable=cannot_decide(recipe, len(request.plan.arms), len(recipe.every_seed)),
            changed=str(found.get(request.plan.name) or ""),
        )


def _estimate(
    request: Request, missing: Sequence[str], durations: Mapping[str, float], slots: int
) -> float | None:
    """Recorded seconds of each arm's trials, else of the recipe's, over the slots."""
    by_arm: dict[str, list[float]] = {}
    for cell in request.plan.cells:
        if cell.trial_id in durations:
            by_arm.setdefault(cell.arm, []).append(durations[cell.trial_id])
    if not by_arm:
        return None if missing or request.searches else 0.0
    usual = fmean(second for seconds in by_arm.values() for second in seconds)
    arm_of = {cell.trial_id: cell.arm for cell in request.plan.cells}
    return sum(fmean(by_arm.get(arm_of[t], [usual])) for t in missing) / slots
