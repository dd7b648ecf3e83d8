"""The tables of a recipe, and the one of all claims."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from sweeper.evidence import mixture
from sweeper.evidence.arms import arms_table
from sweeper.evidence.claims import claims_table, frame
from sweeper.evidence.columns import floats, free, metric_names, objects, plain, whole
from sweeper.evidence.csvfile import write_csv as write_csv
from sweeper.evidence.curves import curves_table, write_curves
from sweeper.evidence.diagnosis import diagnose
from sweeper.evidence.effects import effects_table
from sweeper.evidence.findings import Evidence
from sweeper.evidence.looking import looks_table
from sweeper.evidence.pairs import comparisons_table
from sweeper.evidence.runs import Run
from sweeper.evidence.searches import SEARCH_TABLES, search_tables
from sweeper.evidence.steps import path_table
from sweeper.metric import last
from sweeper.plan import Plan, PlannedArm

BEFORE_METRICS = (
    "recipe", "arm", "seed", "phase", "trial_id", "status", "attempt", "device", "duration_s",
    "epochs", "steps",
)  # fmt: skip
AFTER_METRICS = ("diagnosis", "error")
FURTHER = ("effects", "path", "looks", *SEARCH_TABLES)
NUMBERS = frozenset({"measured", "ci_low", "ci_high", "n"})


@dataclass(frozen=True)
class Tables:
    """What `outputs/<recipe>/` holds, a file each."""

    trials: pd.DataFrame
    arms: pd.DataFrame
    comparisons: pd.DataFrame
    claims: pd.DataFrame
    plan: Plan
    runs: Sequence[Run]  # in the order of the rows
    notices: tuple[str, ...] = ()  # what the reader of these tables must know besides
    warnings: tuple[str, ...] = ()  # of its searches
    # Those of FURTHER that this recipe asks for.
    further: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """As curves.csv, by far the largest: made when it is asked for."""
        return curves_table(self.plan, self.runs)


def build(plan: Plan, runs: Sequence[Run]) -> Tables:
    """Read the runs of a plan into its tables; rows keep the plan's order of arms and seeds."""
    runs = _ordered(plan, runs)
    evidence = Evidence(plan, runs)
    return Tables(
        trials_table(plan, runs),
        arms_table(plan.name, evidence.grid, evidence.families),
        comparisons_table(plan.name, evidence.recipe, evidence.grid, evidence.families),
        _with_mixture(claims_table(evidence), runs),
        plan,
        runs,
        mixture.notices(runs),
        tuple(chain.from_iterable(evidence.warnings.values())),
        _further(evidence),
    )


def _further(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """What only recipes with a factorial, a path, looks or searches have, by name."""
    plan, grid, families = evidence.plan, evidence.grid, evidence.families
    tables = search_tables(plan, evidence.warnings)
    if evidence.recipe.factorial:
        tables["effects"] = effects_table(plan.name, evidence.effects, evidence.effect_families)
    if plan.path:
        tables["path"] = path_table(plan.name, plan.path, grid, families)
    if plan.looks:
        tables["looks"] = looks_table(plan)
    return tables


def _with_mixture(claims: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    return claims.assign(reason=[mixture.reason(reason, runs) for reason in claims["reason"]])


def write(tables: Tables, folder: Path) -> None:
    """Write each table to `<name>.csv` in the folder, which is made if it is not there."""
    for name in ("trials", "arms", "comparisons", "claims"):
        write_csv(getattr(tables, name), folder / f"{name}.csv")
    for name in FURTHER:
        if name in tables.further:
            write_csv(tables.further[name], folder / f"{name}.csv")
        else:  # of what this recipe asked before it was changed
            (folder / f"{name}.csv").unlink(missing_ok=True)
    write_curves(tables.plan, tables.runs, folder / "curves.csv")


def reproduction(claim_frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The claims of several recipes as one table, in the order given.

    A frame may be one that was built, or claims.csv read back as text: the bytes stay the same.
    """
    rows = chain.from_iterable(claims.to_dict("records") for claims in claim_frames)
    return frame([{str(name): _unread(str(name), cell) for name, cell in r.items()} for r in rows])


def _unread(column: str, cell: Any) -> Any:
    """A cell of a CSV file as it was before."""
    if column not in NUMBERS or not isinstance(cell, str):
        return cell
    return float(cell) if cell else None


def _ordered(plan: Plan, runs: Sequence[Run]) -> list[Run]:
    """By arm, the search's runs last, then by seed; arms that the plan has not are left out."""
    arms = {arm.name: i for i, arm in enumerate(plan.arms)}
    seeds: dict[int, int] = {}
    for cell in plan.cells:
        seeds.setdefault(cell.seed, len(seeds))
    known = [run for run in runs if run.arm in arms]
    return sorted(
        known,
        key=lambda r: (arms[r.arm], r.phase == "search", seeds.get(r.seed, len(seeds)), r.seed),
    )


def trials_table(plan: Plan, runs: Sequence[Run]) -> pd.DataFrame:
    """A row per run, in their order, with one column per axis in which arms differ."""
    table: dict[str, Any] = {"recipe": objects([plan.name] * len(runs))}
    for name in ("arm", "seed", "phase", "trial_id", "status", "attempt", "device", "duration_s"):
        table[name] = [getattr(run, name) for run in runs]
    table["attempt"] = pd.array(table["attempt"], dtype="Int64")
    table["duration_s"] = pd.array(floats(table["duration_s"]))
    table["epochs"] = whole([_epochs(run) for run in runs])
    table["steps"] = whole([run.metrics.get("steps") for run in runs])
    for name in metric_names(runs, besides=("epochs", "steps")):
        values = [last(name, run.metrics, run.curve) for run in runs]
        table[free(name, "metric", BEFORE_METRICS + AFTER_METRICS)] = floats(values)
    table["diagnosis"] = objects([diagnose(run) for run in runs])
    table["error"] = objects([run.error for run in runs])
    table |= _axes(plan, runs, tuple(table))
    taken = tuple(table)
    for name, column in mixture.columns(runs).items():
        table[free(name, "ran with", taken)] = objects(column)
    return pd.DataFrame(table)


def _epochs(run: Run) -> float | None:
    """As reported, else the last step of the curve."""
    reported = run.metrics.get("epochs")
    return reported if reported is not None else next(iter(run.curve.get("step", ())[-1:]), None)


def _axes(plan: Plan, runs: Sequence[Run], taken: tuple[str, ...]) -> dict[str, Any]:
    """A column for each axis, in the order first named; a search run has what was proposed."""
    arms: dict[str, PlannedArm] = {arm.name: arm for arm in plan.arms}
    named = [*(arm.axes for arm in plan.arms), *(run.axes for run in runs if run.axes)]
    names = dict.fromkeys(chain.from_iterable(named))
    cells = {arm: _axis_cells(planned.axes) for arm, planned in arms.items()}
    rows = [cells[run.arm] | _axis_cells(run.axes) if run.axes else cells[run.arm] for run in runs]
    return {free(axis, "axis", taken): plain([row.get(axis) for row in rows]) for axis in names}


def _axis_cells(axes: Mapping[str, Any]) -> dict[str, Any]:
    return {axis: _axis_cell(value) for axis, value in axes.items()}


def _axis_cell(value: Any) -> Any:
    """As in the recipe: a text or a number as it is, anything else as compact JSON."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
