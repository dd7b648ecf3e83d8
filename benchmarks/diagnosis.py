"""How often a diagnosis finds a planted fault, and how often it finds one where there is none.

    python benchmarks/diagnosis.py             all of it, on one core; writes docs/diagnosis.md
    python benchmarks/diagnosis.py --choose    the chosen settings on seeds 100 …, prints only

Trains with the built-in loop, in this process, and prints a line a setting as it goes. Thresholds
were set on the *chosen* settings of diagnosis.yaml with seeds 100 to 149 (`--choose`). What is
published are seeds 1000 and on, of these settings and of the *unseen* ones, on which no threshold
was set.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import beta

from sweeper import axes
from sweeper.evidence.diagnosis import NAMES, NO_FAULT, told
from sweeper.evidence.runs import Run
from sweeper.trial import Config

SETTINGS = Path(__file__).with_suffix(".yaml")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "diagnosis.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CHOOSE, MEASURE = 100, 1000

Axes = Mapping[str, Any]
DEFAULTS = {
    "data": "digits", "model": "mlp", "init": "default", "optim": "momentum",
    "schedule": "constant", "loss": "cross_entropy",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Setting:
    """What is trained, and the names that it must be told (none, where it is healthy)."""

    about: str
    axes: Axes
    names: tuple[str, ...]
    is_unseen: bool


Told = Mapping[Setting, list[list[str]]]


def settings(kind: str) -> list[Setting]:
    """The `faults` or the `healthy` runs."""
    read = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    return [
        Setting(
            entry["about"],
            read["tasks"][entry.get("task", "digits")] | entry.get("set", {}),
            tuple(entry.get("names", ())),
            group == "unseen",
        )
        for group, entries in read[kind].items()
        for entry in entries
    ]


def config(given: Axes) -> Config:
    """The configuration that these axes come to, checked and with every default."""
    places = {"data": "sweeper.training.data.", "model": "sweeper.training.models."}
    made: dict[str, dict[str, Any]] = {"task": {"_target_": "sweeper.training.loop.train"}}
    for group, default in DEFAULTS.items():
        choice = given.get(group, default)
        is_code = group in places
        made[group] = {"_target_": places[group] + choice} if is_code else {"name": choice}
    made["train"] = {}
    for key, value in given.items():
        group, dot, name = key.partition(".")
        if dot:
            made[group][name] = value
    return Config(axes.normalise(made))


def trained(given: Axes, seed: int) -> Run:
    """One run of the built-in loop, as the store would have it."""
    from sweeper.training.loop import train

    points: list[tuple[int, dict[str, float]]] = []
    asked = config(given)
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(
            asked, seed=seed, device="cpu", workdir=Path(folder),
            report=lambda step, **told: points.append((step, told)),
        )  # fmt: skip
    reported = dict.fromkeys(name for _, told in points for name in told)
    curve: dict[str, list[float | None]] = {
        "step": [float(step) for step, _ in points],
        **{name: [told.get(name) for _, told in points] for name in reported},
    }
    status = "diverged" if metrics["train_loss"] != metrics["train_loss"] else "done"
    loss = str(asked["loss"]["name"])
    return Run("", seed, "report", "", status, metrics=metrics, curve=curve, loss=loss)


def diagnosed(asked: Iterable[Setting], seeds: range) -> Told:
    """The names told of each setting, seed by seed; each is printed as soon as it is known."""
    found = {}
    for setting in asked:
        found[setting] = [told(trained(setting.axes, seed)) for seed in seeds]
        print(row(setting, found[setting]), flush=True)
    return found


def rate(happened: Iterable[bool]) -> str:
    """`39/40 (87–100)`: with the 95 % interval of Clopper and Pearson (1934), in per cent."""
    found = list(happened)
    k, n = sum(found), len(found)
    if n == 0:
        return "–"
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return f"{k}/{n} ({100 * low:.0f}–{100 * high:.0f})"


def table(faults: Told, healthy: Told) -> str:
    """A row a name: found where it was planted, and told of healthy runs; below, all names that
    were planted, and healthy runs told any."""
    lines = [
        "| name | found: chosen settings | unseen settings | false: chosen | unseen |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in NAMES:
        if name not in NO_FAULT:
            planted = {s: runs for s, runs in faults.items() if name in s.names}
            cells = [*_rates(planted, {name}), *_rates(healthy, {name})]
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    any_of_them = _rates(healthy, set(NAMES) - NO_FAULT)
    lines.append(f"| all, and any | {' | '.join([*_shares(faults), *any_of_them])} |")
    return "\n".join(lines)


def _shares(faults: Told) -> list[str]:
    """Of all names planted how many were told: no interval, for a run may be planted several."""
    shares = []
    for is_unseen in (False, True):
        told = [
            name in called
            for s, runs in faults.items()
            if s.is_unseen == is_unseen
            for called in runs
            for name in s.names
        ]
        shares.append(f"{sum(told)}/{len(told)} ({100 * sum(told) / max(1, len(told)):.1f})")
    return shares


def _rates(runs: Told, names: set[str]) -> list[str]:
    """How many runs were told one of these, of the chosen settings and of the unseen ones."""
    return [
        rate(
            bool(names & set(called))
            for s, of_setting in runs.items()
            if s.is_unseen == is_unseen
            for called in of_setting
        )
        for is_unseen in (False, True)
    ]


def row(setting: Setting, runs: list[list[str]]) -> str:
    """A setting, what was planted, and how many runs were told which name."""
    told = {name: sum(name in names for names in runs) for name in NAMES}
    said = ", ".join(f"{name} {k}" for name, k in told.items() if k)
    mark = " (unseen)" if setting.is_unseen else ""
    return f"| {setting.about}{mark} | {' '.join(setting.names) or 'nothing'} | {said or '–'} |"


def by_setting(found: Told) -> str:
    """A row a setting."""
    rows = [row(setting, runs) for setting, runs in found.items()]
    return "\n".join(["| setting | planted | told |", "| --- | --- | --- |", *rows])


def publish(text: str) -> None:
    """Put what was measured between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Train, diagnose, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true", help="the chosen settings alone")
    parser.add_argument("--seeds", type=int, default=6, help="how many of each setting")
    given = parser.parse_args()
    import torch

    from sweeper.training import data

    torch.set_num_threads(1)  # as an executor does: a sum's order depends on it
    with tempfile.TemporaryDirectory() as cache:
        data.cache_at(Path(cache))
        first = CHOOSE if given.choose else MEASURE
        seeds = range(first, first + given.seeds)
        keep = [
            [s for s in settings(kind) if not (given.choose and s.is_unseen)]
            for kind in ("faults", "healthy")
        ]
        faults, healthy = (diagnosed(kind, seeds) for kind in keep)
    rates = table(faults, healthy)
    details = by_setting(faults | healthy)
    print("", rates, sep="\n")
    if not given.choose:
        how = (
            f"Seeds {seeds.start} to {seeds.stop - 1}. Found: told of runs in which the fault was "
            "planted. False: told of healthy runs. Per cent in brackets: 95 % intervals by Clopper "
            "and Pearson (1934).\n\n"
        )
        publish(
            f"{how}{rates}\n\n### By setting\n\nHow many of {given.seeds} seeds were told which "
            f"name.\n\n{details}"
        )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
