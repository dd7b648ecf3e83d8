"""How busy 32 trials of uneven length keep 8 slots: sweeper beside Hydra's Optuna sweeper.

    python benchmarks/uneven.py                            everything, about three minutes
    python benchmarks/uneven.py --rounds 1 --median-s 0.1  a look that it works; writes nothing

A round draws 32 lognormal durations from its seed and gives the same to both, in the same order,
one tool after the other. Every trial sleeps, so two cores do, and notes when it started and ended;
busy is the time inside trials over the time of all slots, from the first start to the last end.
Writes benchmarks/results/uneven.md and uneven.json.
"""

import argparse
import heapq
import json
import os
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROUNDS, MEDIAN_S, SIGMA = 7, 1.0, 0.5
TRIALS, SLOTS = 32, 8
AIM = 0.76
# The released Optuna sweeper needs Optuna 2, which sweeper itself is far beyond. SQLAlchemy and
# alembic are those that Optuna 2 was written for; the others are as in constraints.txt.
PINS = (
    "hydra-core==1.3.8", "hydra-optuna-sweeper==1.2.0", "hydra-joblib-launcher==1.2.0",
    "optuna==2.10.1", "sqlalchemy==1.4.54", "alembic==1.13.3", "cmaes==0.13.1",
    "joblib==1.6.0", "numpy==2.4.6", "scipy==1.17.1",
)  # fmt: skip

Figures = dict[str, float]


def durations(seed: int, median_s: float) -> list[float]:
    draw = random.Random(seed)
    return [median_s * draw.lognormvariate(0, SIGMA) for _ in range(TRIALS)]


def in_order(lengths: Sequence[float]) -> float:
    """Seconds when each slot that falls free takes the next trial at once."""
    free = [0.0] * SLOTS
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def longest_first(lengths: Sequence[float]) -> float:
    """Seconds of the LPT schedule, which has to know every length beforehand."""
    return in_order(sorted(lengths, reverse=True))


def in_batches(lengths: Sequence[float]) -> float:
    """Seconds when every batch waits for the longest trial of the one before."""
    return sum(max(lengths[i : i + SLOTS]) for i in range(0, TRIALS, SLOTS))


def hydra_python() -> Path | None:
    """The Python of an environment with the PINS, made once; None if it cannot be made."""
    folder = HERE.parent / "build" / "hydra-optuna"
    ready, python = folder / "pins.txt", folder / "bin" / "python"
    if ready.exists() and ready.read_text().split() == list(PINS):
        return python
    print(f"Making {folder.relative_to(HERE.parent)} for Hydra's Optuna sweeper …", flush=True)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS)
    try:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, *pip], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        print(f"Hydra's Optuna sweeper could not be installed, so sweeper runs alone: {said[-1]}")
        return None
    ready.write_text("\n".join(PINS))
    return python


def run(*command: object, folder: Path) -> Figures:
    """Run a tool's command in its folder; what its trials noted there, in figures."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(c) for c in command], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    command_s = time.perf_counter() - started
    notes = [json.loads(p.read_text()) for p in folder.glob("trial-*.json")]
    if done.returncode or len(notes) != TRIALS:
        sys.exit(f"{command}: {len(notes)} of {TRIALS} trials: {done.stdout}{done.stderr}")
    inside_s = sum(end - start for start, end in notes)
    first, last = min(n[0] for n in notes), max(n[1] for n in notes)
    return {
        "busy": inside_s / (SLOTS * (last - first)), "span_s": last - first,
        "inside_s": inside_s, "ended_at": last, "command_s": command_s,
    }  # fmt: skip


def sweeper(folder: Path) -> Figures:
    """Every trial is an arm of its own, so that nothing is known of its length beforehand."""
    recipe = {
        "question": "How busy do uneven trials keep the slots?",
        "baseline": {"task._target_": "tasks.uneven", "task.folder": str(folder), "task.trial": 0},
        "grid": {"task.trial": list(range(1, TRIALS))},
        "seeds": 1,
        "metrics": ["loss"],
    }
    (folder / "uneven.yaml").write_text(json.dumps(recipe))
    figures = run(
        Path(sys.executable).parent / "sweeper", "run", "./uneven.yaml", "--allow", "tasks",
        f"executor.slots={SLOTS}", folder=folder,
    )  # fmt: skip
    with sqlite3.connect(folder / "outputs" / "sweeper.sqlite") as db:
        launched = db.execute("SELECT min(started_at) FROM attempts").fetchone()[0]
    span_s = figures["ended_at"] - launched
    return figures | {"busy_from_launch": figures["inside_s"] / (SLOTS * span_s)}


def hydra(python: Path, folder: Path) -> Figures:
    """Its defaults but for the number of trials and slots; TPE samples an x of no account."""
    return run(
        python, HERE / "hydra_uneven.py", "--multirun", f"+folder={folder}", "+x=interval(0,1)",
        "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={TRIALS}", f"hydra.sweeper.n_jobs={SLOTS}",
        "hydra/launcher=joblib", f"hydra.launcher.n_jobs={SLOTS}", folder=folder,
    )  # fmt: skip


def one_round(seed: int, median_s: float, python: Path | None) -> Figures:
    """Both tools on the durations of a seed; every second round begins with the other one."""
    lengths = durations(seed, median_s)
    tools = {"sweeper": sweeper}
    if python:
        tools["hydra"] = lambda folder: hydra(python, folder)
    measured = {}
    for name in sorted(tools, reverse=seed % 2 == 0):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "durations.json").write_text(json.dumps(lengths))
            measured[name] = tools[name](Path(folder))
    slot_s = sum(lengths) / SLOTS
    figures = {
        "seed": seed,
        "best": slot_s / longest_first(lengths),
        "in_order": slot_s / in_order(lengths),
        "in_batches": slot_s / in_batches(lengths),
    }
    for name, of_tool in measured.items():
        figures |= {f"{name}_{key}": v for key, v in of_tool.items() if key != "ended_at"}
    if python:
        figures["ratio"] = figures["sweeper_busy"] / figures["hydra_busy"]
        figures["times_faster"] = figures["hydra_span_s"] / figures["sweeper_span_s"]
    return figures


ROWS = {
    "sweeper_busy": ("sweeper: busy", f"≥ {AIM:.0%}"),
    "sweeper_busy_from_launch": ("sweeper: busy, from the launch of its first trial", ""),
    "hydra_busy": ("Hydra: busy", ""),
    "ratio": ("sweeper's busy over Hydra's", ""),
    "best": ("best there is: lengths known, longest first (LPT)", ""),
    "in_order": ("best with lengths unknown, in the order given", ""),
    "in_batches": ("best in batches of 8, each waiting for the last", ""),
    "sweeper_span_s": ("sweeper: first start to last end", ""),
    "hydra_span_s": ("Hydra: first start to last end", ""),
    "times_faster": ("Hydra's time over sweeper's", ""),
    "sweeper_command_s": ("sweeper: the whole command", ""),
    "hydra_command_s": ("Hydra: the whole command", ""),
}


def medians(rounds: Sequence[Figures]) -> Figures:
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0] if key != "seed"}


def shown(key: str, value: float) -> str:
    if key.endswith("_s"):
        return f"{value:.1f} s"
    return f"{value:.2f} ×" if key in ("ratio", "times_faster") else f"{value:.1%}"


def row(key: str, rounds: Sequence[Figures]) -> str:
    what, aim = ROWS[key]
    if key not in rounds[0]:
        return f"| {what} | not run | | {aim} |"
    single = ", ".join(shown(key, r[key]) for r in rounds)
    return f"| {what} | {shown(key, medians(rounds)[key])} | {single} | {aim} |"


def page(rounds: Sequence[Figures], median_s: float) -> str:
    return f"""# Uneven trials

Written by `python benchmarks/uneven.py` on {os.cpu_count()} cores, {platform.machine()}, Python \
{platform.python_version()}: {TRIALS} trials on {SLOTS} slots, lengths lognormal (median \
{median_s:g} s, σ = {SIGMA}), both tools on the same lengths in each round; seeds of the \
lengths {", ".join(f"{r['seed']:.0f}" for r in rounds)}.

| what | median | single rounds | aim |
|---|---|---|---|
{chr(10).join(row(key, rounds) for key in ROWS)}

Busy is the time inside trials, as they noted it themselves, over the time of all {SLOTS} slots from
the first start to the last end. The three bests are computed from the lengths, without overhead.

- sweeper: its local executor. Every trial is an arm of its own, so no length is known beforehand.
- Hydra: its Optuna sweeper suggests {SLOTS} trials and waits for all of them, its joblib launcher
  runs them; all but the numbers of trials and jobs is at its defaults, in an environment of its
  own: {", ".join(PINS)}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--median-s", type=float, default=MEDIAN_S)
    asked = parser.parse_args()
    python = hydra_python()
    rounds = []
    for seed in range(asked.rounds):
        rounds.append(one_round(seed, asked.median_s, python))
        busy = {k: shown(k, rounds[-1][k]) for k in ROWS if k in rounds[-1]}
        print(f"seed {seed}: " + ", ".join(f"{k} {v}" for k, v in busy.items()), flush=True)
    text = page(rounds, asked.median_s)
    print(f"\n{text}")
    if python is None or (asked.rounds, asked.median_s) != (ROUNDS, MEDIAN_S):
        print("Nothing written: results/ keeps whole runs of both tools alone.")
        return
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "uneven.md").write_text(text)
    kept = {"pins": PINS, "median_s": MEDIAN_S, "sigma": SIGMA, "medians": medians(rounds)}
    (results / "uneven.json").write_text(json.dumps({**kept, "rounds": rounds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
