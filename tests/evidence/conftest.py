"""Studies made of numbers: a plan and its runs without a training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import pytest

from sweeper.evidence.claims import claims_table
from sweeper.evidence.findings import Evidence
from sweeper.evidence.runs import Run
from sweeper.metric import parse
from sweeper.plan import Cell, Plan, PlannedArm

Study = tuple[Plan, list[Run]]


def run_of(entry: Any, arm: str, seed: int, metric: str) -> Run:
    """A number is a done run that reports it; a text is a status; a mapping says it all."""
    own: dict[str, Any] = {"status": "done", "metrics": {}, "loss": "cross_entropy"}
    if isinstance(entry, str):
        own["status"] = entry
    elif isinstance(entry, Mapping):
        own |= entry
    else:
        own["metrics"] = {metric: entry}
    return Run(arm, seed, "report", f"{arm}-{seed}", **own)


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """make_study({arm: entries by seed}, claims=…): the first arm is what the others start from."""

    def make(
        values: Mapping[str, Sequence[Any]],
        metrics: Mapping[str, Any] | None = None,
        claims: Sequence[Mapping[str, Any]] = (),
        compared: Mapping[str, str] | None = None,
        axes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Study:
        metrics = metrics or {"train_loss": {"smallest_effect": 0.1}}
        first = next(iter(values))
        seeds = range(max(map(len, values.values())))
        arms = tuple(
            PlannedArm(
                name, None if name == first else (compared or {}).get(name, first),
                (axes or {}).get(name, {}),
            )
            for name in values
        )  # fmt: skip
        recipe = {
            "question": "?", "source": "notes", "seeds": len(seeds),
            "metrics": metrics, "claims": list(claims),
        }  # fmt: skip
        cells = tuple(Cell(a.name, seed, f"{a.name}-{seed}") for a in arms for seed in seeds)
        runs = [
            run_of(entry, arm, seed, parse(next(iter(metrics))).name)
            for arm, entries in values.items()
            for seed, entry in enumerate(entries)
        ]
        return Plan("study", "study", recipe, arms, cells), runs

    return make


@pytest.fixture
def judge(make_study: Callable[..., Study]) -> Callable[..., pd.Series]:
    """judge(values, kind=…, …): the claims row of one claim on such a study."""

    def one(
        values: Mapping[str, Sequence[Any]],
        metrics: Mapping[str, Any] | None = None,
        compared: Mapping[str, str] | None = None,
        **claim: Any,
    ) -> pd.Series:
        claim = {"id": "T1", "statement": "as documented", **claim}
        table = claims_table(Evidence(*make_study(values, metrics, [claim], compared)))
        assert len(table) == 1
        return table.iloc[0]

    return one
