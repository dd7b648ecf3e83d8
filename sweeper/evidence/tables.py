"""The four tables of a recipe, and the one of all claims."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweeper.evidence import mixture
from sweeper.evidence.arms import arms_table
from sweeper.evidence.claims import claims_table, frame
from sweeper.evidence.csvfile import write_csv as write_csv
from sweeper.evidence.diagnosis import diagnose
from sweeper.evidence.findings import Evidence
from sweeper.evidence.runs import Run
from sweeper.metric import last
from sweeper.plan import Plan, PlannedArm

FIRST_METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
BEFORE_METRICS = (
    "recipe", "arm", "seed", "phase", "trial_id", "status", "attempt", "device", "duration_s",
    "epochs", "steps",
)  # fmt: skip
AFTER_METRICS = ("diagnosis", "error")
BEFORE_CURVES = ("recipe", "arm", "seed", "trial_id", "step")
MOST_POINTS = 1000
NUMBERS = frozenset({"measured", "ci_low", "ci_high", "n"})


@dataclass(frozen=True)
class Tables:
    """What `outputs/<recipe>/` holds, a file each."""

    trials: pd.DataFrame
    arms: pd.DataFrame
    claims: pd.DataFrame
    curves: pd.DataFrame
    notices: tuple[str, ...] = ()  # what the reader of these tables must know besides


def build(plan: Plan, runs: Sequence[Run]) -> Tables:
    """Read the runs of a plan into its tables; rows keep the plan's order of arms and seeds."""
    runs = _ordered(plan, runs)
    evidence = Evidence(plan, runs)
    return Tables(
        trials_table(plan, runs),
        arms_table(plan.name, evidence.grid, evidence.families),
        _with_mixture(claims_table(evidence), runs),
        curves_table(plan, runs),
        mixture.notices(runs),
    )


def _with_mixture(claims: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    return claims.assign(reason=[mixture.reason(reason, runs) for reason in claims["reason"]])


def write(tables: Tables, folder: Path) -> None:
    """Write each table to `<name>.csv` in the folder, which is made if it is not there."""
    for name in ("trials", "arms", "claims", "curves"):
        write_csv(getattr(tables, name), folder / f"{name}.csv")


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
    table: dict[str, Any] = {"recipe": _objects([plan.name] * len(runs))}
    for name in ("arm", "seed", "phase", "trial_id", "status", "attempt", "device", "duration_s"):
        table[name] = [getattr(run, name) for run in runs]
    table["attempt"] = pd.array(table["attempt"], dtype="Int64")
    table["duration_s"] = pd.array(_floats(table["duration_s"]))
    table["epochs"] = _whole([_epochs(run) for run in runs])
    table["steps"] = _whole([run.metrics.get("steps") for run in runs])
    for name in _metric_names(runs, besides=("epochs", "steps")):
        values = [last(name, run.metrics, run.curve) for run in runs]
        table[_free(name, "metric", BEFORE_METRICS + AFTER_METRICS)] = _floats(values)
    table["diagnosis"] = _objects([diagnose(run) for run in runs])
    table["error"] = _objects([run.error for run in runs])
    table |= _axes(plan, runs, tuple(table))
    taken = tuple(table)
    for name, column in mixture.columns(runs).items():
        table[_free(name, "ran with", taken)] = _objects(column)
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
    return {_free(axis, "axis", taken): plain([row.get(axis) for row in rows]) for axis in names}


def _axis_cells(axes: Mapping[str, Any]) -> dict[str, Any]:
    return {axis: _axis_cell(value) for axis, value in axes.items()}


def _axis_cell(value: Any) -> Any:
    """As in the recipe: a text or a number as it is, anything else as compact JSON."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def curves_table(plan: Plan, runs: Sequence[Run]) -> pd.DataFrame:
    """A row per run and reported step, at most 1,000 a run: the first, the last, evenly between."""
    names = _metric_names(runs, besides=("step",), of_curves=True)
    kept = [_kept(len(run.curve.get("step", ()))) for run in runs]
    counts = [len(places) for places in kept]
    table: dict[str, Any] = {"recipe": _objects([plan.name] * sum(counts))}
    for column in ("arm", "seed", "trial_id"):
        table[column] = np.repeat(_objects([getattr(run, column) for run in runs]), counts)
    table["seed"] = table["seed"].astype(np.int64)
    for name in ("step", *names):
        columns = (_thinned(run, name, places) for run, places in zip(runs, kept, strict=True))
        values = list(chain.from_iterable(columns))
        column = _free(name, "metric", BEFORE_CURVES) if name != "step" else name
        table[column] = _whole(values) if name == "step" else _floats(values)
    return pd.DataFrame(table)


def _kept(points: int) -> Sequence[int]:
    if points <= MOST_POINTS:
        return range(points)
    return [round(place) for place in np.linspace(0, points - 1, MOST_POINTS).tolist()]


def _thinned(run: Run, name: str, places: Sequence[int]) -> Sequence[float | None]:
    curve = run.curve.get(name)
    if curve is None:
        return [None] * len(places)
    return curve if len(curve) == len(places) else [curve[place] for place in places]


def _metric_names(
    runs: Sequence[Run], besides: tuple[str, ...], *, of_curves: bool = False
) -> list[str]:
    """The four usual ones first, then whatever else was reported, sorted."""
    found: set[str] = set()
    for run in runs:
        found.update(run.curve)
        if not of_curves:
            found.update(run.metrics)
    others = found - {*FIRST_METRICS, *besides, "step"}
    return [*FIRST_METRICS, *sorted(others)]


def _free(name: str, kind: str, taken: tuple[str, ...]) -> str:
    """The name as a column; a user's metric `status` must not hide ours."""
    return f"{name} ({kind})" if name in taken else name


def plain(values: Sequence[Any]) -> Any:
    """A column of one type, which Parquet takes too: switches, numbers, or else texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.array(list(values), dtype="boolean")
    if kinds and kinds <= {int, float}:
        return _whole(values) if kinds == {int} else _floats(values)
    return _objects([None if value is None else _as_text(value) for value in values])


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _objects(values: Sequence[Any]) -> "np.typing.NDArray[np.object_]":
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _floats(values: Sequence[float | None]) -> "np.typing.NDArray[np.float64]":
    return np.array(values, dtype=float)  # None becomes NaN


def _whole(values: Sequence[float | None]) -> Any:
    """Whole numbers where all are, with gaps; floats otherwise."""
    numbers = _floats(values)
    if not np.all(np.isnan(numbers) | (np.abs(numbers) < 2**53) & (numbers == np.floor(numbers))):
        return numbers
    missing = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(missing, 0, numbers).astype(np.int64), missing)
