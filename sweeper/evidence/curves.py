"""The curves of a recipe: a table of every reported step, and the same as a file."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from sweeper.evidence.columns import floats, free, metric_names, objects, whole
from sweeper.evidence.csvfile import as_csv, cell, cells, write_text
from sweeper.evidence.runs import Run
from sweeper.plan import Plan
from sweeper.records import WrittenCurve

BEFORE_METRICS = ("recipe", "arm", "seed", "trial_id", "step")
MOST_POINTS = 1000


def curves_table(plan: Plan, runs: Sequence[Run]) -> pd.DataFrame:
    """A row per run and reported step, at most 1,000 a run: the first, the last, evenly between."""
    kept = [_kept(len(run.curve.get("step", ()))) for run in runs]
    counts = [len(places) for places in kept]
    table: dict[str, Any] = {"recipe": objects([plan.name] * sum(counts))}
    for column in ("arm", "seed", "trial_id"):
        table[column] = np.repeat(objects([getattr(run, column) for run in runs]), counts)
    table["seed"] = table["seed"].astype(np.int64)
    for name, column in _named(runs).items():
        columns = (_thinned(run, name, places) for run, places in zip(runs, kept, strict=True))
        values = list(chain.from_iterable(columns))
        table[column] = whole(values) if name == "step" else floats(values)
    return pd.DataFrame(table)


def write_curves(plan: Plan, runs: Sequence[Run], path: Path) -> None:
    """Write the bytes of that table; curves that are kept as text are not read for it."""
    if all(isinstance(run.curve, WrittenCurve) for run in runs if run.curve):
        write_text(_lines(plan, runs), path)
    else:
        write_text([as_csv(curves_table(plan, runs))], path)


def _lines(plan: Plan, runs: Sequence[Run]) -> Iterator[str]:
    """The lines of one run at a time."""
    named, kept = _named(runs), [run for run in runs if isinstance(run.curve, WrittenCurve)]
    yield ",".join(map(cell, (*BEFORE_METRICS[:-1], *named.values()))) + "\n"
    of_runs = [[getattr(run, name) for run in kept] for name in ("arm", "seed", "trial_id")]
    before = zip(*map(cells, ([plan.name] * len(kept), *of_runs)), strict=True)
    for run, beginning in zip(kept, map(",".join, before), strict=True):
        rows = _rows(cast(WrittenCurve, run.curve), list(named))
        yield "".join([f"{beginning},{row}\n" for row in rows])


def _rows(curve: WrittenCurve, names: list[str]) -> Iterator[str]:
    """What each kept point says, empty where a name was not reported."""
    points = len(curve.texts("step"))
    places = _kept(points)
    columns = [curve.texts(name) if name in curve else [""] * points for name in names]
    if len(places) < points:
        columns = [[column[place] for place in places] for column in columns]
    return map(",".join, zip(*columns, strict=True))


def _named(runs: Sequence[Run]) -> dict[str, str]:
    """The step, then each reported name, with its column."""
    names = metric_names(runs, besides=("step",), of_curves=True)
    return {"step": "step"} | {name: free(name, "metric", BEFORE_METRICS) for name in names}


def _kept(points: int) -> Sequence[int]:
    if points <= MOST_POINTS:
        return range(points)
    return [round(place) for place in np.linspace(0, points - 1, MOST_POINTS).tolist()]


def _thinned(run: Run, name: str, places: Sequence[int]) -> Sequence[float | None]:
    curve = run.curve.get(name)
    if curve is None:
        return [None] * len(places)
    return curve if len(curve) == len(places) else [curve[place] for place in places]
