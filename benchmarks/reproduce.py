"""How long a finished reproduction took, and how busy it kept its slots, read from its store.

    make reproduce && python benchmarks/reproduce.py outputs

Writes benchmarks/results/reproduce.md. Busy is the time inside trials over the time of all slots,
from the first start to the last end; a recipe's verdicts come within seconds of its last end.
"""

import os
import platform
import sqlite3
import sys
from pathlib import Path

from sweeper.folders import Outputs
from sweeper.records import Reader

HERE = Path(__file__).resolve().parent


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
    print("\n".join(lines))
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "reproduce.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
