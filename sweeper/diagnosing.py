"""What `sweeper diagnose` says of a file of loss curves."""

import math
from collections.abc import Sequence
from pathlib import Path

from sweeper.errors import legible
from sweeper.evidence.advice import ADVICE
from sweeper.evidence.curvefile import read_curves, without_trend
from sweeper.evidence.diagnosis import NAMES, NO_FAULT, told
from sweeper.evidence.runs import Run
from sweeper.evidence.trends import FEWEST
from sweeper.view import say


def diagnose_file(path: Path, loss: str | None) -> None:
    """Say of each trial what it is called, then once of each name what it means and what to do."""
    runs = read_curves(path, loss)
    names = [told(run) for run in runs]
    for run, called in zip(runs, names, strict=True):
        say(f"{legible(_whose(run, path))}: {_in_short(run, called)}")
    for name in NAMES:
        if any(name in called for called in names):
            advice = ADVICE[name]
            say(f"\n{name}: {advice.seen}")
            say(f"  {'' if name in NO_FAULT else 'To do: '}{advice.do}")
            say(f"  Tested by `sweeper run {advice.recipe}`.")


def _whose(run: Run, path: Path) -> str:
    about = [run.arm, f"seed {run.seed}" if run.seed >= 0 else "", run.trial_id]
    return ", ".join(filter(None, about)) or str(path)


def _in_short(run: Run, called: Sequence[str]) -> str:
    readings = len(run.curve["step"])
    if called:
        return ", ".join(name + _where(run) * (name == "diverged") for name in called)
    if why := without_trend(run):
        return f"no trend is told: it has {why}."
    if readings < FEWEST:
        count = f"{readings} reading{'s' * (readings != 1)}"
        return f"nothing is seen in {count}; a trend takes {FEWEST}."
    if not any(v is not None and math.isfinite(v) for v in run.curve["val_loss"]):
        return "nothing wrong is seen in train_loss; val_loss has no number."
    return "nothing wrong is seen."


def _where(run: Run) -> str:
    """At which step the training loss was first no number."""
    for step, value in zip(run.curve["step"], run.curve["train_loss"], strict=True):
        if step is not None and value is not None and not math.isfinite(value):
            return f" at {step:g}"
    return ""
