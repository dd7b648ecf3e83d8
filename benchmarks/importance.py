"""How often an axis that does not matter rises above its noise floor, and one that does is found.

    python benchmarks/importance.py                     some minutes
    python benchmarks/importance.py --searches 50       a quicker look, not written

Each search has the axes of a real one: a learning rate on a log scale, a share, a choice of three.
What a proposal is told is made up: pure chance, or the squared distance of the learning rate to its
best on the log scale, with some chance. The last column but one is the error: the share of searches
in which any axis that does not matter lies above its floor. Prints a table and, unless a number of
searches was given, writes it to benchmarks/results/importance.md.
"""

import argparse
import math
import os
import platform
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sweeper.importance import importances
from sweeper.plan import Proposal
from sweeper.recipe import Range
from sweeper.study import Study, make_sampler, search_space

HERE = Path(__file__).resolve().parent
AXES: Mapping[str, Mapping[str, Any]] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "norm": {"choices": ["none", "batch", "layer"]},
}
SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "random": {"name": "random", "seed": 0},
    "tpe": {
        "name": "tpe", "seed": 0, "startup_trials": 10, "multivariate": True, "constant_liar": True,
    },
}  # fmt: skip
CASES = (("random", 20), ("tpe", 20), ("tpe", 40), ("tpe", 80))
NOISE = 0.3  # its standard deviation, beside a signal from 0 to 4


class Counted(NamedTuple):
    """Of a number of searches: in how many lr rose above its floor, in how many another axis."""

    sampler: str
    proposals: int
    matters: bool
    searches: int
    found: int
    wrong: int
    seconds: float  # of the importances of one search, in the mean


def told(values: Mapping[str, Any], chance: np.random.Generator, *, matters: bool) -> float:
    """What a proposal comes to."""
    if not matters:
        return float(chance.normal())
    return float((math.log10(values["lr"]) + 2) ** 2 + NOISE * chance.normal())


def search(number: int, sampler: str, proposals: int, *, matters: bool) -> list[Proposal]:
    """One search, proposals asked one by one."""
    space = search_space({axis: Range.model_validate(given) for axis, given in AXES.items()})
    study = Study(space, "down", make_sampler(SAMPLERS[sampler], f"search {number}"))
    chance = np.random.default_rng(number)
    found = []
    for _ in range(proposals):
        asked = study.ask()
        value = told(asked.values, chance, matters=matters)
        study.tell(asked.number, "done", value)
        found.append(Proposal(asked.number, asked.values, "done", (value,), ()))
    return found


def above(number: int, sampler: str, proposals: int, *, matters: bool) -> tuple[set[str], float]:
    """The axes above their floor, and how long that took to tell."""
    found = search(number, sampler, proposals, matters=matters)
    began = time.perf_counter()
    scores = importances(AXES, found, "down", SAMPLERS[sampler])
    return {axis for axis, (share, floor) in scores.items() if share > floor}, (
        time.perf_counter() - began
    )


def count(
    pool: ProcessPoolExecutor, sampler: str, proposals: int, searches: int, *, matters: bool
) -> Counted:
    """One row of the table."""
    one = partial(above, sampler=sampler, proposals=proposals, matters=matters)
    answers = list(pool.map(one, range(searches), chunksize=5))
    others = AXES.keys() - ({"lr"} if matters else set())
    return Counted(
        sampler, proposals, matters, searches,
        sum("lr" in axes for axes, _ in answers), sum(bool(axes & others) for axes, _ in answers),
        sum(seconds for _, seconds in answers) / searches,
    )  # fmt: skip


def table(rows: list[Counted]) -> str:
    """Markdown."""
    lines = [
        "| sampler | proposals | what matters | searches | lr above its floor "
        "| an axis that does not matter above its floor | seconds a search |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        found = f"{r.found / r.searches:.1%}" if r.matters else ""
        lines.append(
            f"| {r.sampler} | {r.proposals} | {'lr' if r.matters else 'nothing'} | {r.searches} | "
            f"{found} | {r.wrong / r.searches:.1%} | {r.seconds:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--searches", type=int)
    searches = parser.parse_args().searches
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(2) as pool:
        rows = [count(pool, *case, searches or 150, matters=False) for case in CASES]
        rows += [count(pool, *case, searches or 50, matters=True) for case in CASES]
    print(table(rows))
    if searches is None:
        where = f"{platform.machine()}, Python {platform.python_version()}"
        head = (
            "# Importance and its noise floor\n\nWritten by `python benchmarks/importance.py` on "
            f"{where}, Optuna {version('optuna')}.\n\n"
        )
        (HERE / "results" / "importance.md").write_text(head + table(rows) + "\n")


if __name__ == "__main__":
    main()
