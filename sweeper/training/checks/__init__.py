"""The task `checks`: exact statements about training, tried on the production code itself."""

import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from sweeper.training.checks import data, gradients, losses, nets, printed, steps
from sweeper.training.checks.bench import Bench, Fact
from sweeper.training.run import Report

# A check by its name (also in kinds.CheckName): it holds if every fact of it does.
CHECKS: Mapping[str, Callable[[Bench], Iterable[Fact]]] = {
    check.__name__: check
    for module in (steps, nets, losses, gradients, data, printed)
    for check in module.CHECKS
}


def run(
    config: Mapping[str, Any], *, seed: int, device: str, report: Report, workdir: Path
) -> dict[str, float]:
    """Run the checks that `task.checks` names and say of each whether it holds (1) or not (0).

    `<name>_difference` is the largest difference seen, where a check measures one; `passed_score`
    the share of checks that hold. What a check found stands in the trial's log.
    """
    del report
    metrics: dict[str, float] = {}
    names = config["task"]["checks"]
    devices = [device] if device.startswith("cuda") else []
    for name in names:
        with tempfile.TemporaryDirectory(dir=workdir) as folder, torch.random.fork_rng(devices):
            metrics |= look_at(name, Bench(seed, device, Path(folder)))
    passed = sum(metrics[name] for name in names)
    return {"passed_score": passed / len(names), **metrics}


def look_at(name: str, bench: Bench) -> dict[str, float]:
    """One check's metrics. One that raises, or has nothing to say, does not hold."""
    facts: list[Fact] = []
    has_ended = False
    try:
        facts.extend(CHECKS[name](bench))
        has_ended = True
    except Exception:  # noqa: BLE001 - a check that cannot be done is one that does not hold
        traceback.print_exc()
    for fact in facts:
        sys.stderr.write(f"{name}: {'holds' if fact.holds else 'FAILS'}: {fact.what}\n")
    holds = has_ended and bool(facts) and all(fact.holds for fact in facts)
    differences = [fact.difference for fact in facts if fact.difference is not None]
    found = {name: float(holds)}
    return {**found, f"{name}_difference": float(max(differences))} if differences else found
