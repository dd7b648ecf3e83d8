"""What sweeper adds to a trial, a plan and a comparison; beside it Hydra's own launchers.

    python benchmarks/overhead.py                  everything, about ten minutes (make bench)
    python benchmarks/overhead.py inline local     only these parts

Prints a table and writes it, with the machine, to benchmarks/results/overhead.md. Every figure is
a median of RUNS runs in fresh processes and fresh folders, through the command line.
"""

import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = 3
ROWS: list[tuple[str, str, str, str]] = []  # what, measured, single runs, aim


def run(*command: object, cwd: Path, check: bool = True) -> float:
    """Wall seconds of a command."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    if check and done.returncode:
        sys.exit(f"{command}: {done.stdout}{done.stderr}")
    return time.perf_counter() - started


def sweeper(*arguments: object, cwd: Path) -> float:
    return run(Path(sys.executable).parent / "sweeper", *arguments, cwd=cwd)


def fresh(place: Path | None = None) -> Iterator[Path]:
    """A fresh folder for each run, on disk or at another place."""
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            yield Path(folder)


def recipe(folder: Path, seeds: int, arms: int = 1) -> Path:
    """A recipe of no-op trials: `arms` beside the baseline."""
    path = folder / "noop.yaml"
    path.write_text(
        json.dumps(
            {
                "question": "What does a trial cost that costs nothing?",
                "baseline": {"task._target_": "tasks.noop"},
                "grid": {"task.arm": list(range(1, arms + 1))},
                "seeds": seeds,
                "metrics": ["loss"],
            }
        )
    )
    return path


def row(what: str, values: list[float], unit: str, aim: str) -> None:
    middle = statistics.median(values)
    ROWS.append((what, f"{middle:.3g} {unit}", ", ".join(f"{v:.3g}" for v in values), aim))
    print(" | ".join(ROWS[-1]), flush=True)


def times(folder: Path) -> list[tuple[float, float]]:
    """When each attempt started and ended, in the order of their ends."""
    with sqlite3.connect(folder / "outputs" / "sweeper.sqlite") as db:
        return list(db.execute("SELECT started_at, ended_at FROM attempts ORDER BY ended_at"))


def bad_endings(folder: Path) -> int:
    with sqlite3.connect(folder / "outputs" / "sweeper.sqlite") as db:
        return int(db.execute("SELECT count(*) FROM attempts WHERE status != 'done'").fetchone()[0])


def inline() -> None:
    """On disk, whose own time varies many times over, and in memory, where only ours is left."""
    compare: list[float] = []
    for name, place in (("on disk", None), ("in memory", Path("/dev/shm"))):
        per_trial, growth = [], []
        for folder in fresh(place):
            recipe(folder, seeds=5_000)
            sweeper("run", "./noop.yaml", "--allow", "tasks", "executor=inline", cwd=folder)
            ends = [end for _, end in times(folder)]
            per_trial.append((ends[-1] - ends[0]) / len(ends) * 1e3)
            growth.append((ends[-1] - ends[-1001]) / (ends[1000] - ends[0]))
            compare.append(sweeper("compare", cwd=folder))
        row(f"no-op trial in process, of 10,000, {name}", per_trial, "ms", "≤ 3 ms")
        row(f"last thousand over first thousand, {name}", growth, "×", "≤ 1.2 ×")
    row("compare over 10,000 trials", compare, "s", "≤ 3 s")


def local() -> None:
    per_trial, wall = [], []
    for folder in fresh():
        recipe(folder, seeds=250)
        wall.append(
            sweeper("run", "./noop.yaml", "--allow", "tasks", "executor.slots=2", cwd=folder)
        )
        ended = [end for _, end in times(folder)]
        # from the first end: the server's own start (torch's import) is paid once a sweep
        per_trial.append((max(ended) - min(ended)) / (len(ended) - 1) * 1e3)
    row("no-op trial in its own process, 2 slots", per_trial, "ms", "≤ 40 ms")
    row("the whole sweep of 500 such trials", wall, "s", "")


def endings() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe(folder, seeds=1_000)
        sweeper("run", "./noop.yaml", "--allow", "tasks", "executor.slots=8", cwd=folder)
        row("false endings in 2,000 trials on 8 slots", [float(bad_endings(folder))], "", "0")


def commands() -> None:
    shown, listed, planned = [], [], []
    for folder in fresh():
        recipe(folder, seeds=5, arms=999)
        shown.append(sweeper("--help", cwd=folder))
        listed.append(sweeper("list", cwd=folder))
        planned.append(sweeper("plan", "./noop.yaml", cwd=folder))
    row("sweeper --help", shown, "s", "≤ 0.4 s")
    row("sweeper list", listed, "s", "")
    row("sweeper plan of 1,000 arms × 5 seeds", planned, "s", "≤ 5 s")


def hydra() -> None:
    """Hydra's basic and joblib launchers, in an environment of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        run(
            python, "-m", "pip", "install", "--quiet", "hydra-core==1.3.8",
            "hydra-joblib-launcher==1.2.0", cwd=folder,
        )  # fmt: skip
        app = (python, HERE / "hydra_app.py", "--multirun")
        basic, joblib = [], []
        for _ in range(RUNS):
            basic.append(_per_job(app, (), folder))
            launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
            joblib.append(_per_job(app, launcher, folder))
    row("the same in Hydra's own multirun, in process", basic, "ms", "")
    row("the same in Hydra's joblib launcher, 2 jobs", joblib, "ms", "")


def _per_job(app: tuple[object, ...], launcher: tuple[str, ...], folder: Path) -> float:
    """Milliseconds a job, from the difference of a long and a short multirun."""
    few, many = 20, 100
    short = run(*app, *launcher, f"+seed=range({few})", cwd=folder)
    return (run(*app, *launcher, f"+seed=range({many})", cwd=folder) - short) / (many - few) * 1e3


PARTS: dict[str, Callable[[], None]] = {
    "commands": commands, "inline": inline, "local": local, "endings": endings, "hydra": hydra,
}  # fmt: skip


def main() -> None:
    parts = sys.argv[1:] or list(PARTS)
    for part in parts:
        PARTS[part]()
    if set(parts) != set(PARTS):
        return
    lines = [
        "# Overhead",
        "",
        f"Written by `make bench`: medians of {RUNS} runs on {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}.",
        "",
        "| what | median | single runs | aim |",
        "|---|---|---|---|",
        *(f"| {' | '.join(r)} |" for r in ROWS),
        "",
    ]
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "overhead.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
