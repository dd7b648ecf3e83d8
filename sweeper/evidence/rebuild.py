"""From the store to the files a user opens."""

import json
from collections.abc import Iterable, Mapping

import pandas as pd

from sweeper.evidence import claims, tables
from sweeper.evidence.csvfile import read_csv
from sweeper.evidence.mixture import VERSIONS
from sweeper.evidence.runs import Run
from sweeper.folders import Outputs
from sweeper.plan import Plan
from sweeper.recipe_file import recipe_order
from sweeper.records import Reader
from sweeper.targets import OWN


def runs_of(plan: Plan, reader: Reader) -> list[Run]:
    """A run for every cell of the plan, with its trial's answer where there is one."""
    statuses = reader.statuses()  # first: a trial that ends meanwhile is not done without answer
    answers = {a.trial_id: a for a in reader.answers(cell.trial_id for cell in plan.cells)}
    losses = {arm: _loss(reader, trial_id) for arm, trial_id in _one_of_each_arm(plan).items()}
    ran_with = _ran_with(reader)
    runs = []
    for cell in plan.cells:
        base = (cell.arm, cell.seed, cell.phase, cell.trial_id)
        found = answers.get(cell.trial_id)
        if found is None:
            runs.append(Run(*base, statuses.get(cell.trial_id, "waiting")))
            continue
        end = found.ending
        runs.append(
            Run(
                *base, end.status, found.attempt, found.device, end.duration_s, end.metrics,
                end.curve, end.error, axes=dict(cell.axes), loss=losses[cell.arm],
                ran_with=ran_with.get(cell.trial_id, {}),
            )
        )  # fmt: skip
    return runs


def _ran_with(reader: Reader) -> dict[str, Mapping[str, str]]:
    """What the answer of each trial ran with; one mapping for all that ran with the same."""
    states: dict[tuple[str | None, str], dict[str, str]] = {}
    found: dict[str, Mapping[str, str]] = {}
    for p in reader.provenances():
        state = (p.fingerprint, p.versions)
        if state not in states:
            files = reader.content(p.fingerprint) if p.fingerprint else {}
            versions = {k: v for k, v in json.loads(p.versions).items() if k in VERSIONS}
            states[state] = {**files.get("sources", {}), **files.get("data", {}), **versions}
        found[p.trial_id] = states[state]
    return found


def _one_of_each_arm(plan: Plan) -> dict[str, str]:
    return {cell.arm: cell.trial_id for cell in plan.cells}


def _loss(reader: Reader, trial_id: str) -> str:
    """What a trial minimises; of a user's own task nobody knows."""
    config = reader.trial(trial_id)[0].config
    is_own = config["task"]["_target_"].startswith(OWN)
    return str(config["loss"]["name"]) if is_own else ""


def rebuild(outputs: Outputs, names: Iterable[str]) -> dict[str, tables.Tables]:
    """Write the tables of these plans, and reproduction.csv; returns the tables by name."""
    built = {}
    with Reader(outputs) as reader:
        for name in names:
            plan = reader.plan(name)
            built[name] = tables.build(plan, runs_of(plan, reader))
            tables.write(built[name], outputs.recipe(name))
        every = [reader.plan(name) for name in reader.plan_names()]
    own = [(plan.name, plan.read_recipe()) for plan in every if not plan.is_variant]
    own.sort(key=lambda found: recipe_order(*found))
    found = [_claims_of(outputs, name) for name, _ in own]
    tables.write_csv(tables.reproduction([c for c in found if c is not None]), outputs.reproduction)
    return built


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
        plans = [reader.plan(name) for name in reader.plan_names()]
        frames = [tables.trials_table(plan, runs_of(plan, reader)) for plan in plans]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    for name in [name for name in table if table[name].dtype == object]:
        # an axis may be a number in one plan and a text in another
        values = table[name].tolist()
        table[name] = tables.plain([None if v is pd.NA or v != v else v for v in values])
    return table
