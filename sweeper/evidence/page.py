"""What a report's page says, as plain nouns: sections of figures, tables, and what is folded away.

Everything is text here, a user's included: it becomes HTML, escaped, in `report`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from sweeper.evidence.arms import FAILED
from sweeper.evidence.figures.samples import Samples
from sweeper.evidence.runs import Run
from sweeper.evidence.tables import Tables
from sweeper.evidence.wording import in_decades, interval
from sweeper.plan import Plan
from sweeper.recipe import Looks, Recipe

MOST_TRIALS = 500  # rows of the trials table; trials.csv has them all
MOST_ARMS = 600  # rows of the arms table
MOST_FAILURES = 40  # kinds of failures
_END_OF_ERROR = 1500  # characters
_LATEST = 2e11  # the last second that has a date
_SIGNS = {
    "reproduced": "✓", "contradicted": "✗", "undecided": "?", "better": "▲", "worse": "▼",
    "no_effect": "=", "done": "✓", "diverged": "∞", "waiting": "…", "running": "…",
    "skipped": "–", "pruned": "–",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What a cell shows; `value` is what a number is sorted by, in full precision."""

    text: str
    value: str = ""
    verdict: str = ""  # a word that is coloured and has a sign, a verdict or a status
    below: str = ""  # a smaller line under it

    @property
    def sign(self) -> str:
        return _SIGNS.get(self.verdict, "✗")


@dataclass(frozen=True)
class Column:
    title: str
    is_number: bool = False
    is_wide: bool = False  # sentences


@dataclass(frozen=True)
class Table:
    """Rows under headings; `caption` says what a row is, `note` what was left out."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure within the page."""

    uri: str
    alt: str
    caption: str
    file: str


@dataclass(frozen=True)
class Fed:
    """The images of one arm's first reported seed."""

    title: str
    samples: Samples


@dataclass(frozen=True)
class Section:
    """A part of the page with its place in the table of contents."""

    id: str
    title: str
    said: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    errors: tuple["Failure", ...] = ()
    fed: tuple[Fed, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.said or self.pictures or self.tables or self.errors or self.fed)


@dataclass(frozen=True)
class Failure:
    """Trials that ended alike: what they are, and the end of what they said."""

    title: str
    error: str


@dataclass(frozen=True)
class Page:
    """A recipe's report."""

    name: str
    question: str
    source: str
    notes: str
    state: str
    notices: tuple[str, ...]
    sections: tuple[Section, ...]


def number(value: Any) -> Cell:
    """Four digits to look at, all of them to sort by; empty where nothing was measured."""
    if value is None or value is pd.NA or value != value:
        return Cell("")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(str(value))
    shown = str(value) if isinstance(value, int) else f"{value:.4g}"
    return Cell(shown.replace("-", "−").replace("inf", "∞"), repr(float(value)))


def verdict(word: str, below: str = "") -> Cell:
    return Cell(word.replace("_", " "), verdict=word, below=below) if word else Cell("")


def _words(value: Any) -> Cell:
    return Cell("" if value is None or value is pd.NA or value != value else str(value))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def _span(row: Mapping[str, Any], low: str, high: str) -> str:
    ends = row[low], row[high]
    return "" if any(e != e for e in ends) else interval(*ends)


def claims_table(claims: pd.DataFrame) -> Table:
    """A row a claim: what the document says beside what was measured."""
    columns = (
        Column("claim"), Column("verdict"), Column("statement and reason", is_wide=True),
        Column("documented"), Column("measured", is_number=True), Column("interval"),
        Column("n", is_number=True),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(str(row["claim"])), verdict(str(row["verdict"])),
            Cell(str(row["statement"]), below=str(row["reason"])), _words(row["documented"]),
            number(row["measured"]), Cell(_span(row, "ci_low", "ci_high")), number(row["n"]),
        )
        for row in _records(claims)
    )  # fmt: skip
    return Table("The claims: what the document says beside what was measured", columns, rows)


def arms_table(arms: pd.DataFrame, recipe: Recipe) -> Table:
    """A row an arm and metric, with the comparison made of it."""
    columns = (
        Column("arm"), Column("metric"), Column("verdict"), Column("n", is_number=True),
        Column("diverged", is_number=True), Column("failed", is_number=True),
        Column("mean", is_number=True), Column("95 %"), Column("median", is_number=True),
        Column("compared with"), Column("difference", is_number=True), Column("95 %"),
        Column("p after Holm", is_number=True),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(row["arm"]), Cell(row["metric"]), verdict(row["verdict"]), number(row["n"]),
            number(row["n_diverged"]),
            number(row["n_failed"]), number(row["mean"]), Cell(_span(row, "ci_low", "ci_high")),
            number(row["median"]), Cell(row["baseline"]), number(row["delta"]),
            Cell(_span(row, "delta_ci_low", "delta_ci_high")), number(row["p_holm"]),
        )
        for row in _records(arms[:MOST_ARMS])
    )  # fmt: skip
    on_log = [name for name, metric in recipe.metrics.items() if metric.scale == "log"]
    note = f"{in_decades(on_log)} {_left_out(len(arms), MOST_ARMS, 'arms.csv')}".strip()
    return Table("The arms: a row for each arm and metric", columns, rows, note)


def plain_table(caption: str, table: pd.DataFrame, besides: Sequence[str] = ("recipe",)) -> Table:
    """Any table of ours as it is."""
    kept = table.drop(columns=[name for name in besides if name in table])
    numeric = {name: pd.api.types.is_numeric_dtype(kept[name]) for name in kept}
    columns = tuple(
        Column(str(n).replace("_", " "), is_number=is_number) for n, is_number in numeric.items()
    )
    rows = tuple(
        tuple(
            verdict(str(v)) if name == "verdict" and str(v) in _SIGNS else number(v)
            for name, v in row.items()
        )
        for row in _records(kept[:MOST_ARMS])
    )
    return Table(caption, columns, rows, _left_out(len(kept), MOST_ARMS, "the CSV file"))


def changes_table(plan: Plan) -> Table:
    """A row an arm: what it is compared with and what it changes."""
    rows = tuple(
        (
            Cell(arm.name), Cell(arm.compared_with or ""),
            Cell(_difference(arm.difference)),
        )
        for arm in plan.arms[:MOST_ARMS]
    )  # fmt: skip
    columns = (Column("arm"), Column("compared with"), Column("changes", is_wide=True))
    return Table("What each arm changes", columns, rows)


def _difference(axes: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{axis}: {_value(a)} → {_value(b)}" for axis, (a, b) in axes.items())


def _value(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "none" if value is None else str(value)


_TRIALS = (
    "arm", "seed", "status", "phase", "trial_id", "attempt", "device", "duration_s", "epochs",
    "steps", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "diagnosis", "error",
)  # fmt: skip


def trials_table(trials: pd.DataFrame) -> Table:
    """A row a trial, without the columns that are empty for all of them."""
    kept = [name for name in _TRIALS if not _says_nothing(trials[name])]
    columns = tuple(
        Column(
            "duration (s)" if name == "duration_s" else name.replace("_", " "),
            is_number=pd.api.types.is_numeric_dtype(trials[name]), is_wide=name == "error",
        )
        for name in kept
    )  # fmt: skip
    rows = tuple(
        tuple(_trial_cell(name, row[name]) for name in kept)
        for row in _records(trials[kept][:MOST_TRIALS])
    )
    note = _left_out(len(trials), MOST_TRIALS, "trials.csv")
    return Table("The trials: a row for each", columns, rows, note)


def _says_nothing(column: "pd.Series[Any]") -> bool:
    """Whether it is empty, or what it says of every trial is the usual."""
    usual = {"phase": "report", "attempt": 1}.get(str(column.name), "")
    return bool((column.isna() | (column.astype(object) == usual)).all())


def _trial_cell(name: str, value: Any) -> Cell:
    if name == "status":
        return verdict(str(value))
    if name == "error":
        lines = str(value or "").strip().splitlines()
        return Cell(lines[-1][-200:] if lines else "")
    return number(value)


def _left_out(there: int, most: int, file: str) -> str:
    if there <= most:
        return ""
    return f"The first {most} of {there} rows; all of them are in {file}."


def failures(runs: Iterable[Run]) -> tuple[Failure, ...]:
    """Those without a result, together where they ended alike, the most first."""
    alike: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.status in FAILED:
            alike.setdefault((run.status, run.error), []).append(run)
    found = sorted(alike.items(), key=lambda item: -len(item[1]))
    return tuple(_failure(*item) for item in found[:MOST_FAILURES])


def _failure(how: tuple[str, str], runs: Sequence[Run]) -> Failure:
    status, error = how
    arms = ", ".join(f"{a} ({n})" for a, n in Counter(run.arm for run in runs).most_common(8))
    trials = f"{len(runs)} trial{'s' * (len(runs) > 1)}"
    return Failure(
        f"{trials} {status}: {arms}; for example {runs[0].trial_id}",
        _end(error) or "Nothing was said: the end of the log is shown by `sweeper show TRIAL`.",
    )


def _end(error: str) -> str:
    error = error.strip()
    return error if len(error) <= _END_OF_ERROR else f"… {error[-_END_OF_ERROR:]}"


def state(plan: Plan, runs: Sequence[Run]) -> str:
    """How many arms and trials, and how those ended."""
    by_trial = {run.trial_id: run.status for run in runs}
    counts = Counter(by_trial.values())
    ended = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    return f"{len(plan.arms)} arms, {len(by_trial)} trials: {ended or 'none planned'}."


def what_was_run(
    plan: Plan, recipe: Recipe, runs: Sequence[Run], tables: Tables, starts: Mapping[str, float]
) -> Table:
    """What the page rests on, in pairs: versions, devices, seeds, budget, overrides, dates."""
    own = list({run.trial_id: run for run in runs}.values())
    seconds = sum(run.duration_s or 0.0 for run in own)
    pairs = {
        "plan": plan.name,
        "recipe": plan.recipe_name,
        "overrides": " ".join(plan.overrides) or "none",
        "seeds": _seeds(recipe, runs),
        "trials": f"{len(own)}, of which {sum(r.phase == 'search' for r in own)} of a search",
        "time": f"{_duration(seconds)} in all trials together",
        "search": _budget(plan, recipe),
        "devices": _counted(run.device for run in own if run.device),
        "torch": _counted(run.ran_with.get("torch", "") for run in own),
        "sweeper": _counted(run.ran_with.get("sweeper", "") for run in own),
        "first and last start": _dates([starts[r.trial_id] for r in own if r.trial_id in starts]),
        "mixed": " ".join(tables.notices),
    }
    rows = tuple((Cell(name), Cell(said)) for name, said in pairs.items() if said)
    return Table(
        "Versions, devices, seeds, budget", (Column("what"), Column("", is_wide=True)), rows
    )


def _seeds(recipe: Recipe, runs: Sequence[Run]) -> str:
    seeds = sorted({run.seed for run in runs if run.phase == "report"})
    shown = ", ".join(map(str, seeds[:30])) + (" …" if len(seeds) > 30 else "")
    if isinstance(recipe.seeds, Looks):
        shown += f" (as many as were needed, {recipe.seeds.min} to {recipe.seeds.max})"
    return f"{len(seeds)}: {shown}" if seeds else "none"


def _budget(plan: Plan, recipe: Recipe) -> str:
    if recipe.search is None:
        return ""
    seeds = ", ".join(map(str, recipe.search.seeds))
    samplers = {json.dumps(dict(s.sampler), sort_keys=True) for s in plan.searches}
    by = f"; sampler {', '.join(sorted(samplers))}" if samplers else ""
    return f"{recipe.search.trials} proposals for each searched arm, on seeds {seeds}{by}"


def _counted(values: Iterable[str]) -> str:
    counts = Counter(filter(None, values))
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({n} trials)" for value, n in counts.most_common(8))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def _dates(starts: Sequence[float]) -> str:
    starts = [s for s in starts if isinstance(s, float) and 0 < s < _LATEST]  # a foreign store's
    if not starts:
        return ""
    ends = (datetime.fromtimestamp(s, UTC) for s in (min(starts), max(starts)))
    return " … ".join(f"{end:%Y-%m-%d %H:%M}" for end in ends) + " UTC"


def looks_table(plan: Plan) -> Table | None:
    """What was looked at between two batches of seeds."""
    if not plan.looks:
        return None
    lines = list(dict.fromkeys(line for look in plan.looks for line in look.verdicts))[:30]
    rows = []
    for place, look in enumerate(plan.looks, start=1):
        counts = sorted(set(look.seeds.values()))
        seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
        said = (verdict(look.verdicts.get(line, "")) for line in lines)
        rows.append((number(place), Cell(seeds if counts else ""), *said, Cell(look.stopped)))
    columns = (Column("look", is_number=True), Column("seeds"), *map(Column, lines))
    return Table(
        "Looks: seeds were added until every claim was decided",
        (*columns, Column("why no more", is_wide=True)), tuple(rows),
    )  # fmt: skip


def in_order(sections: Iterable[Section]) -> tuple[Section, ...]:
    """Those that say something, each with an id of its own."""
    return tuple(
        replace(section, id=f"s{place}-{section.id}")
        for place, section in enumerate((s for s in sections if not s.is_empty), start=1)
    )
