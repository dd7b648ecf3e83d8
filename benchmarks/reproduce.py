"""How long a finished reproduction took, how busy it kept its slots, and what other seeds say.

    make reproduce && python benchmarks/reproduce.py outputs

    sweeper run all 'seeds=[1000,1001,1002,1003,1004]' --outputs other
    python benchmarks/reproduce.py outputs other     also compares the verdicts of the two

Writes benchmarks/results/reproduce.md. Busy is the time inside trials over the time of all slots,
from the first start to the last end; a recipe's verdicts come within seconds of its last end.
"""

import csv
import os
import platform
import sqlite3
import sys
from pathlib import Path

from sweeper.folders import Outputs
from sweeper.records import Reader

HERE = Path(__file__).resolve().parent


def verdicts(outputs: Path) -> dict[str, str]:
    """The verdict on each line of the claims."""
    with (outputs / "reproduction.csv").open(encoding="utf-8", newline="") as file:
        return {row["claim"]: row["verdict"] for row in csv.DictReader(file)}


def on_other_seeds(outputs: Path, other: Path) -> list[str]:
    """How many verdicts hold there."""
    here, there = verdicts(outputs), verdicts(other)
    lines = [line for line in here if line in there]
    both = [line for line in lines if "undecided" not in (here[line], there[line])]
    changed = [line for line in both if here[line] != there[line]]
    only_here = sum(here[line] != "undecided" for line in lines) - len(both)
    only_there = sum(there[line] != "undecided" for line in lines) - len(both)
    return [
        "## On other seeds",
        "",
        f"Of {len(lines)} lines of the claims {len(both)} are decided on both sets of seeds, "
        f"{len(changed)} of these otherwise; {only_here} are decided here alone, {only_there} "
        "there alone.",
        "",
        *(["| line | here | there |", "|---|---|---|"] if changed else []),
        *(f"| {line} | {here[line]} | {there[line]} |" for line in changed),
        "",
    ]


def main() -> None:
    outputs = Outputs(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"))
    with sqlite3.connect(outputs.store) as db:
        rows = db.execute("SELECT trial_id, started_at, ended_at, duration_s FROM attempts")
        attempts = {trial: (start, end, took) for trial, start, end, took in rows}
    slots = len(os.sched_getaffinity(0))
    first = min(start for start, _, _ in attempts.values())
    lines = [
        "# Reproduction",
        "",
        f"Written by `python benchmarks/reproduce.py` on {slots} cores, {platform.machine()}, "
        f"Python {platform.python_version()}.",
        "",
        "| recipe | trials | seconds a trial | its last trial ended after |",
        "|---|---|---|---|",
    ]
    with Reader(outputs) as reader:
        for name in reader.plan_names():
            trials = {c.trial_id for c in reader.plan(name).cells}
            took = [attempts[t][2] for t in trials]
            last = max(attempts[t][1] for t in trials) - first
            lines.append(f"| {name} | {len(trials)} | {sum(took) / len(took):.2f} | {last:.0f} s |")
    wall = max(end for _, end, _ in attempts.values()) - first
    busy = sum(took for _, _, took in attempts.values()) / (wall * slots)
    lines += [
        "",
        f"All: {len(attempts)} trials in {wall:.0f} s on {slots} slots, busy {busy:.1%}.",
        "",
    ]
    if len(sys.argv) > 2:
        lines += on_other_seeds(outputs.root, Path(sys.argv[2]))
    print("\n".join(lines))
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "reproduce.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
