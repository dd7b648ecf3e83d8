"""What `sweeper compare all` and `sweeper.load` cost over many trials: wall, CPU and memory.

    python benchmarks/compare_scale.py                       1,000, 10,000 and 100,000 trials
    python benchmarks/compare_scale.py 1000 5000 --runs 1    only these, once each

Every recipe has 1,000 trials, half of them as 10 arms × 100 seeds and half as 50 arms × 20, so that
100,000 trials are 100 recipes. Each trial has a curve of 15 epochs and six reported names; some
diverge, some fail; six claims are judged on three metrics, one of them on a log scale. The numbers
are drawn, not trained. The stores are made in a temporary folder (--place DIR chooses where) and
`compare` and `load` run as processes of their own. Prints a table and, unless sizes were given,
writes it with the machine to benchmarks/results/compare_scale.md.
"""

import argparse
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from sweeper.folders import Outputs
from sweeper.identity import trial_id
from sweeper.plan import Cell, Plan, PlannedArm
from sweeper.store import Store
from sweeper.trial import Ending, Trial

HERE = Path(__file__).resolve().parent
SIZES = (1_000, 10_000, 100_000)
OF_A_RECIPE = 1_000
SHAPES = ((10, 100), (50, 20))  # arms, seeds
EPOCHS = 15
NAMES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "grad_norm")
VERSIONS = {"sweeper": "0.1.0", "python": platform.python_version(), "torch": "2.13.0"}


class Measured(NamedTuple):
    """One `compare`: seconds on the wall, seconds of CPU, MiB at its peak."""

    wall_s: float
    cpu_s: float
    memory_mib: float


def config_of(arm: int, recipe: int) -> dict[str, Any]:
    """As long as a resolved configuration of the built-in task."""
    return {
        "data": {"_target_": "sweeper.training.data.digits", "seed": recipe, "split": "random"},
        "loss": {"name": "cross_entropy"},
        "model": {"_target_": "sweeper.training.models.mlp", "depth": 2, "hidden_units": 64},
        "optim": {"lr": 0.001 * 1.2**arm, "momentum": 0.9, "name": "momentum"},
        "task": {"_target_": "sweeper.training.loop.train"},
        "train": {"epochs": EPOCHS, "batch_size": 32} | {f"option_{i}": i for i in range(30)},
    }


def recipe_of(arms: list[str], seeds: int) -> dict[str, Any]:
    one, two, three = arms[1:4]
    assertions = (
        {"kind": "better", "arm": one}, {"kind": "no_effect", "arm": two},
        {"kind": "worse", "arm": three, "metric": "val_accuracy"},
        {"kind": "no_worse", "arm": two, "reference": one, "metric": "tail(train_loss)"},
        {"kind": "reaches", "arm": one, "level": 0.5}, {"kind": "diverges", "arm": arms[-1]},
    )  # fmt: skip
    claims = [
        {"id": f"C{i}", "assertion": {"statement": "A statement.", "documented": "so"} | assertion}
        for i, assertion in enumerate(assertions, 1)
    ]
    metrics = {
        "val_loss": {"smallest_effect": 0.05, "scale": "log"},
        "val_accuracy": {"smallest_effect": 0.02},
        "tail(train_loss)": {"smallest_effect": 0.05},
    }
    return {"question": "How long?", "seeds": seeds, "metrics": metrics, "claims": claims}


def plan_of(number: int) -> tuple[Plan, list[Trial]]:
    arms, seeds = SHAPES[number % len(SHAPES)]
    names = ["baseline", *(f"lr_{i}" for i in range(1, arms))]
    planned = tuple(
        PlannedArm(name, "baseline" if i else None, {"optim.lr": 0.001 * 1.2**i})
        for i, name in enumerate(names)
    )
    cells, trials = [], []
    for i, name in enumerate(names):
        config = config_of(i, number)
        for seed in range(seeds):
            trials.append(Trial(trial_id(config, seed), seed, config))
            cells.append(Cell(name, seed, trials[-1].trial_id))
    name = f"study_{number:03d}"
    return Plan(name, name, recipe_of(names, seeds), planned, tuple(cells)), trials


def ending_of(chance: random.Random, arm: int) -> Ending:
    """One trial in fifty fails; of the highest learning rates every second one diverges."""
    if chance.random() < 0.02:
        error = "Traceback (most recent call last):\n  …\nValueError: a mistake of the user's"
        return Ending("failed", error=error, duration_s=1.0, versions=VERSIONS)
    loss, gain, curve = 2.3, 0.7 + 0.3 * chance.random() - 0.01 * arm, _empty()
    for epoch in range(EPOCHS):
        loss *= gain if epoch else 1.0
        values = (
            loss, 1 - 0.4 * loss, loss * (1 + 0.2 * chance.random()), 1 - 0.45 * loss,
            0.001 * 1.2**arm, chance.random() / (1 + epoch),
        )  # fmt: skip
        curve["step"].append(epoch)
        for name, value in zip(NAMES, values, strict=True):
            curve[name].append(value)
    if arm >= 8 and chance.random() < 0.5:
        curve["train_loss"][-1] = math.nan
        return _ended("diverged", curve, chance)
    return _ended("done", curve, chance)


def _empty() -> dict[str, list[float | None]]:
    return {name: [] for name in ("step", *NAMES)}


def _ended(status: str, curve: dict[str, list[float | None]], chance: random.Random) -> Ending:
    lasts = {name: curve[name][-1] for name in NAMES}
    metrics = {**lasts, "epochs": float(EPOCHS), "steps": EPOCHS * 38.0}
    return Ending(status, metrics, curve, "", 10 * chance.random(), VERSIONS)  # type: ignore[arg-type]


def make(outputs: Outputs, trials: int) -> None:
    """A store of this many trials, as sweeps would have written it: a transaction a plan."""
    chance = random.Random(0)
    with Store(outputs) as store:
        for number in range(-(-trials // OF_A_RECIPE)):
            plan, asked = plan_of(number)
            arms = {arm.name: i for i, arm in enumerate(plan.arms)}
            with store.turn():
                store.save_plan(plan)
                store.add_trials(asked)
                for cell in plan.cells:
                    attempt = store.start(cell.trial_id)
                    ending = ending_of(chance, arms[cell.arm])
                    store.end(cell.trial_id, attempt, "cpu", ending, again=False)


def used(*command: object) -> Measured:
    """What a command took; the kernel says what its process used."""
    started = time.perf_counter()
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if child.returncode:
        sys.exit(f"{command} ended with {child.returncode}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(root: Path) -> Measured:
    return used(Path(sys.executable).parent / "sweeper", "compare", "all", "--outputs", root)


def load(root: Path) -> Measured:
    return used(sys.executable, "-c", f"import sweeper; sweeper.load({str(root)!r})")


def measure(trials: int, runs: int, place: Path | None) -> Iterator[tuple[str, ...]]:
    """A row for each of the two, over a fresh store of this many trials."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        outputs = Outputs(Path(folder))
        make(outputs, trials)
        for what, command in (("compare all", compare), ("sweeper.load", load)):
            yield row(what, trials, [command(outputs.root) for _ in range(runs)])


def row(what: str, trials: int, found: list[Measured]) -> tuple[str, ...]:
    wall, cpu, memory = (statistics.median(column) for column in zip(*found, strict=True))
    singles = ", ".join(f"{one.wall_s:.3g}" for one in found)
    return (
        what, f"{trials:,}", str(-(-trials // OF_A_RECIPE)), f"{wall:.3g} s", singles,
        f"{cpu:.3g} s", f"{cpu / trials * 1e3:.3g} ms", f"{memory:.0f} MiB",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, help="how many trials (thousands)")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured")
    parser.add_argument("--place", type=Path, help="where the stores are made")
    given = parser.parse_args()
    header = ("what", "trials", "recipes", "wall", "single runs", "CPU", "CPU a trial", "memory")
    rows = [header, tuple("---" for _ in header)]
    for trials in given.sizes or SIZES:
        for found in measure(trials, given.runs, given.place):
            rows.append(found)
            print(" | ".join(found), flush=True)
    if not given.sizes:
        _write(rows, given.runs)


def _runs(runs: int) -> str:
    return "a single run" if runs == 1 else f"medians of {runs} runs"


def _write(rows: list[tuple[str, ...]], runs: int) -> None:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pandas", "numpy"))
    lines = [
        "# `sweeper compare` at scale",
        "",
        f"Written by `.venv/bin/python benchmarks/compare_scale.py`: {_runs(runs)} on "
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{libraries}. Aim: 100,000 trials in 100 recipes within 20 s and 1 GiB, at a cost that "
        "grows with the trials alone.",
        "",
        f"Load average over the last 15 minutes: {os.getloadavg()[2]:.1f}. Alone on a machine "
        "it is about 1; above that others compute too, and the wall time is not sweeper's.",
        "",
        *(f"| {' | '.join(cells)} |" for cells in rows),
        "",
    ]
    (HERE / "results" / "compare_scale.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
