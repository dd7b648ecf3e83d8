"""What a table mixes: trials that other versions, other code or other data answered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.evidence.runs import Run

# Another Python changes no result that its libraries do not change.
VERSIONS = ("torch", "sweeper")


def mixed(runs: Sequence[Run]) -> list[str]:
    """The versions, then the files, that are not one for all runs that ran with them at all."""
    states = {id(run.ran_with): run.ran_with for run in runs}.values()  # few, shared by many
    values: dict[str, set[str]] = {}
    for state in states:
        for name, value in state.items():
            values.setdefault(name, set()).add(value)
    names = [*VERSIONS, *sorted(values.keys() - set(VERSIONS))]
    return [name for name in names if len(values.get(name, ())) > 1]


def columns(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """What each run ran with of what is mixed, a column each."""
    return {name: [run.ran_with.get(name) for run in runs] for name in mixed(runs)}


def notices(runs: Sequence[Run]) -> tuple[str, ...]:
    """A sentence for each version and file that is mixed."""
    answered = list({run.trial_id: run for run in runs if run.ran_with}.values())
    return tuple(
        _notice(name, Counter(filter(None, column)), len(answered))
        for name, column in columns(answered).items()
    )


def _notice(name: str, counts: Mapping[str, int], trials: int) -> str:
    (first, count), *rest = sorted(counts.items())
    others = "".join(f", {count} with {value}" for value, count in rest)
    return (
        f"{count} of {trials} trials ran with {name} {first}{others}: `sweeper run … --rerun` runs "
        "again what is not of today."
    )


def reason(found: str, runs: Sequence[Run]) -> str:
    """The reason of a verdict, with what is mixed behind it."""
    names = mixed(runs)
    if not names:
        return found
    said = f"not all trials ran with the same {', '.join(names)}"
    return f"{found}; {said}" if found else said
