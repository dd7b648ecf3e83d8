"""What the built-in training left in a trial's folder for people to look at."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sweeper.evidence.figures import samples, weights
from sweeper.evidence.runs import Run
from sweeper.folders import Outputs
from sweeper.trial import RESULTS

Left = TypeVar("Left", samples.Samples, weights.Weights)

_ID = re.compile(r"[0-9a-f]{16}")


def samples_of(run: Run, outputs: Outputs) -> samples.Samples | None:
    """The images that it was fed and how it answered."""
    return _of(run, outputs, "samples.npz", samples.read)


def weights_of(run: Run, outputs: Outputs) -> weights.Weights | None:
    """How its weights were distributed."""
    return _of(run, outputs, "weights.json", weights.read)


def _of(run: Run, outputs: Outputs, name: str, read: Callable[[Path], Left | None]) -> Left | None:
    # a name of ours: a foreign store's would lead out of the folder
    if run.status in RESULTS and _ID.fullmatch(run.trial_id):
        return read(outputs.work(run.trial_id) / name)
    return None
