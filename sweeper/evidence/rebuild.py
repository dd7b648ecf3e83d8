"""From the store to the files a user opens."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from sweeper.evidence import claims, skipped, tables
from sweeper.evidence.columns import plain
from sweeper.evidence.csvfile import read_csv
from sweeper.evidence.mixture import VERSIONS
from sweeper.evidence.runs import Run
from sweeper.folders import Outputs
from sweeper.plan import Plan
from sweeper.recipe_file import recipe_order
from sweeper.records import Attempt, Read, Reader
from sweeper.targets import OWN


def runs_of(plan: Plan, reader: Reader) -> list[Run]:
    """A run for every cell of the plan, with its trial's answer where there is one."""
    asked = {cell.trial_id for cell in plan.cells}
    statuses = reader.statuses(asked)  # first: what ends meanwhile is not done without answer
    answers = {answer.trial_id: answer for answer in reader.answers(asked)}
    losses, read = _of_tasks(reader, plan)
    ran_with = _RanWith(reader)
    runs = []
    for cell in plan.cells:
        base = (cell.arm, cell.seed, cell.phase, cell.trial_id)
        found = answers.get(cell.trial_id)
        if found is None:
            runs.append(Run(*base, statuses.get(cell.trial_id, "waiting")))
            continue
        end = found.ending
        told = read.get(cell.trial_id)
        runs.append(
            Run(
                *base, end.status, found.attempt, found.device, end.duration_s, end.metrics,
                end.curve, end.error, axes=dict(cell.axes), loss=losses[cell.arm],
                ran_with=ran_with.of(found), read=told.keys if told else None,
                read_all_told=told is not None and told.is_whole,
            )
        )  # fmt: skip
    return skipped.marked(plan, runs)


class _RanWith:
    """What an answer ran with; one mapping for all that ran with the same."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._states: dict[tuple[str | None, ...], dict[str, str]] = {}

    def of(self, answer: Attempt) -> Mapping[str, str]:
        versions = answer.ending.versions
        state = (answer.fingerprint, *map(versions.get, VERSIONS))
        if state not in self._states:
            files = self._reader.content(answer.fingerprint) if answer.fingerprint else {}
            known = {name: versions[name] for name in versions if name in VERSIONS}
            self._states[state] = {**files.get("sources", {}), **files.get("data", {}), **known}
        return self._states[state]


def _one_of_each_arm(plan: Plan) -> dict[str, str]:
    return {cell.arm: cell.trial_id for cell in plan.cells}


def _of_tasks(reader: Reader, plan: Plan) -> tuple[dict[str, str], dict[str, Read]]:
    """What the trials of each arm minimise; of a user's own task, instead, what it read."""
    losses, theirs = {}, set()
    for arm, trial_id in _one_of_each_arm(plan).items():
        config = reader.trial(trial_id)[0].config
        is_own = config["task"]["_target_"].startswith(OWN)
        losses[arm] = str(config["loss"]["name"]) if is_own else ""
        theirs |= set() if is_own else {arm}
    asked = {cell.trial_id for cell in plan.cells if cell.arm in theirs}
    return losses, reader.read_keys(asked) if asked else {}


def rebuild(outputs: Outputs, names: Iterable[str]) -> Iterator[tuple[str, tables.Tables]]:
    """Write the tables of these plans one by one, giving each on, and then reproduction.csv.

    Whoever lets go of a plan's tables before asking for the next needs room for those of one.
    """
    with Reader(outputs) as reader:
        for name in dict.fromkeys(names):
            built = _build(reader, name)
            tables.write(built, outputs.recipe(name))
            yield name, built
            del built
        every = reader.planned()
    own = [(plan.name, plan.read_recipe()) for plan in every if not plan.is_variant]
    own.sort(key=lambda found: recipe_order(*found))
    found = [_claims_of(outputs, name) for name, _ in own]
    tables.write_csv(tables.reproduction([c for c in found if c is not None]), outputs.reproduction)


def _build(reader: Reader, name: str) -> tables.Tables:
    plan = reader.plan(name)
    return tables.build(plan, runs_of(plan, reader))


def _claims_of(outputs: Outputs, name: str) -> pd.DataFrame | None:
    """The claims as last written. Text stays text, so that rewriting gives the same bytes."""
    path = outputs.recipe(name) / "claims.csv"
    try:
        found = read_csv(path)
    except (FileNotFoundError, pd.errors.EmptyDataError, pd.errors.ParserError):
        return None  # its next `compare` writes it anew
    return found if tuple(found.columns) == claims.COLUMNS else None


def load(outputs: Outputs) -> pd.DataFrame:
    """The trials of every plan in the store, one row a trial and plan."""
    with Reader(outputs) as reader:
        frames = [_trials_of(reader, name) for name in reader.plan_names()]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    for name in [name for name in table if table[name].dtype == object]:
        # an axis may be a number in one plan and a text in another
        values = table[name].tolist()
        table[name] = plain([None if v is pd.NA or v != v else v for v in values])
    return table


def _trials_of(reader: Reader, name: str) -> pd.DataFrame:
    plan = reader.plan(name)
    return tables.trials_table(plan, runs_of(plan, reader))
