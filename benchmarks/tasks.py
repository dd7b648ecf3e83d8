"""Tasks that do nothing or sleep, for measuring what an orchestrator adds."""

import json
import time
from pathlib import Path


def noop(config, *, seed, device, report, workdir):
    """A trial that costs nothing and returns its seed."""
    return {"loss": float(seed)}


def nap(folder: Path, trial: int) -> float:
    """Sleep as long as the folder's durations.json gives the trial; note when. Returns seconds."""
    started = time.time()
    time.sleep(json.loads((folder / "durations.json").read_text())[trial])
    ended = time.time()
    (folder / f"trial-{trial}.json").write_text(json.dumps([started, ended]))
    return ended - started


def uneven(config, *, seed, device, report, workdir):
    """A trial that sleeps for as long as its number says."""
    return {"loss": nap(Path(config["task"]["folder"]), config["task"]["trial"])}
