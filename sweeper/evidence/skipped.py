"""Which arms do not apply: to this model or data, or to a task that reads nothing they change."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sweeper.evidence.runs import Run
from sweeper.plan import Plan, PlannedArm
from sweeper.recipe import BASELINE
from sweeper.trial import RESULTS


def marked(plan: Plan, runs: Sequence[Run]) -> list[Run]:
    """The runs; those of an arm that changes nothing, or nothing that was read, as `skipped`.

    Such a trial did run and stays done in the store, but it says nothing of the arm: compared, it
    would pass for a change without effect.
    """
    of_arm = _reported(runs)
    why = {arm.name: _why(plan, arm, of_arm.get(arm.name, ())) for arm in plan.arms}
    return [
        replace(run, status="skipped", error=why[run.arm])
        if run.status in RESULTS and run.phase == "report" and why.get(run.arm)
        else run
        for run in runs
    ]


def skipped(runs: Iterable[Run]) -> dict[str, str]:
    """The arms of which every reported run is skipped, each with the first one's reason.

    Of an arm without any, since its search found no winner, those of the search count.
    """
    found = {}
    runs = list(runs)
    reported = _reported(runs)
    searched: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.arm not in reported:
            searched[run.arm].append(run)
    for arm, own in {**reported, **searched}.items():
        if all(run.status == "skipped" for run in own):
            found[arm] = next(iter(own[0].error.splitlines()), "").rstrip(".")
    return found


def _reported(runs: Iterable[Run]) -> dict[str, list[Run]]:
    of_arm: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.phase == "report":
            of_arm[run.arm].append(run)
    return of_arm


def _why(plan: Plan, arm: PlannedArm, runs: Sequence[Run]) -> str:
    """Why an arm does not apply although it ran; empty where it does, or nobody can tell.

    A key that is read at some seeds alone is read. What was killed did not tell: at least one run
    has to have told all.
    """
    if arm.same_as:
        return f"{_the(arm.same_as)} has it already"
    changes = dict(arm.difference)
    searched = (search for search in plan.searches if search.arm == arm.name)
    changes |= {axis: (None, None) for search in searched for axis in search.axes}
    told = [run for run in runs if run.read is not None]
    if not changes or not any(run.read_all_told and run.status in RESULTS for run in told):
        return ""
    read = frozenset().union(*(run.read or () for run in told))
    if any(_is_read(key, values, read) for key, values in changes.items()):
        return ""
    return f"the task read none of: {', '.join(changes)}"


def _the(arm: str) -> str:
    return f"the {arm}" if arm == BASELINE else f"the arm {arm!r}"


def _is_read(key: str, values: tuple[object, object], read: frozenset[str]) -> bool:
    """Whether a changed key was read: its value, whether it is there, or what lies below it."""
    parts = key.split(".")
    above = {".".join(parts[:n]) for n in range(len(parts) + 1)}
    if above & read or any(name.startswith(f"{key}.") for name in read):
        return True
    names = {f"{group}.*" if group else "*" for group in above}
    return None in values and bool(names & read)  # it may be there on one side alone
