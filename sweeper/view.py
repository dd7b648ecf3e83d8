"""What the command line shows: tables and sentences."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import markup
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from sweeper.api import Outcome
from sweeper.folders import Outputs
from sweeper.plan import Span
from sweeper.records import Attempt
from sweeper.trial import RESULTS, Trial

if TYPE_CHECKING:
    from pandas import DataFrame

    from sweeper.evidence.tables import Tables
    from sweeper.forecast import Forecast
    from sweeper.listing import ListedAxis, ListedRecipe
    from sweeper.operation import SweepStatus
    from sweeper.planning import Request
    from sweeper.recipe import Range

console = Console(soft_wrap=False, highlight=False)
_COLORS = {
    "reproduced": "green", "contradicted": "red", "undecided": "yellow", "done": "green",
    "diverged": "magenta", "running": "cyan", "waiting": "dim",
}  # fmt: skip
_LOG_LINES = 20
# What a terminal obeys instead of showing: an escape with its sequence, then any other control.
_ORDERS = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def escape(text: str) -> str:
    """A text of somebody's as what it shows: no markup, and no orders to the terminal."""
    return markup.escape(_ORDERS.sub("", text))


_WATCH_S = 1.0
_SOMETIMES = ("effects", "path", "looks", "searches", "importance", "proposals", "pareto")


def _colored(word: str) -> str:
    color = _COLORS.get(word, "red")
    return f"[{color}]{escape(word)}[/]"


def _table(*columns: str, title: str = "") -> Table:
    table = Table(title=escape(title) or None, title_justify="left", header_style="bold", box=None)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show_recipes(recipes: "Sequence[ListedRecipe]") -> None:
    """A row a recipe: question, arms, trials, claims."""
    table = _table("recipe", "question", "arms", "trials", "claims")
    for r in recipes:
        table.add_row(r.name, escape(r.question), str(r.arms), str(r.trials), str(r.claims))
    console.print(table)


def show_axes(axes: "Sequence[ListedAxis]") -> None:
    """A row an axis: choices, default, meaning, and where the documents speak of it."""
    table = _table("axis", "choices", "default", "about", "documents")
    for a in axes:
        cells = (a.axis, a.choices, a.default, a.about, a.spoken_of)
        table.add_row(*map(escape, cells), style="bold" if "." not in a.axis else "")
    console.print(table)


def show_forecast(found: "Forecast") -> None:
    """Arms with their differences, then trials, time, and what cannot be decided."""
    plan = found.request.plan
    table = _table("arm", "compared with", "changes", title=plan.name)
    for arm in plan.arms:
        changes = ", ".join(
            f"{k}: {_short(a)} → {_short(b)}" for k, (a, b) in arm.difference.items()
        )
        if arm.same_as:
            changes = f"skipped: {arm.same_as} has it already"
        table.add_row(escape(arm.name), escape(arm.compared_with or ""), escape(changes))
    console.print(table)
    if found.request.searches:
        _show_search(found.request)
    console.print(_size(found), soft_wrap=True)
    for note in found.request.notes:
        console.print(escape(note), soft_wrap=True)
    if found.seconds is not None:
        console.print(
            f"About {_spanned(found.seconds, _clock)} on {found.slots} slots, by recorded "
            "durations."
        )
    if found.changed:
        console.print(
            f"[yellow]Changed:[/] {escape(found.changed)}: `sweeper run` will ask for --keep or "
            "--rerun.",
            soft_wrap=True,
        )
    for sentence in found.undecidable:
        console.print(f"[yellow]Cannot be decided:[/] {escape(sentence)}")
    console.print()


def _size(found: "Forecast") -> str:
    cells = Span(found.arms * found.seeds.least, found.arms * found.seeds.most)
    later = found.request.plan.arms_to_come
    chosen = f" ({later} of them chosen by what is measured)" if later else ""
    return (
        f"{found.arms} arms{chosen} × {_spanned(found.seeds)} seeds = {_spanned(cells)} cells, "
        f"{_spanned(found.trials)} trials"
        + (", searches included" if found.request.searches else "")
        + f": {found.done} done, {found.shared} shared with other recipes."
    )


def _show_search(request: "Request") -> None:
    """The axes that are tuned, in which arms, by which sampler, and how many trials that takes."""
    assert request.recipe is not None and request.recipe.search is not None
    search = request.recipe.search
    table = _table("tuned axis", "range", "in")
    for axis, found in search.axes.items():
        arms = [s.arm for s in request.searches if axis in s.axes]
        table.add_row(escape(axis), escape(_range(found)), escape(", ".join(arms)))
    console.print(table)
    count = len(request.searches)
    metrics = ", ".join(search.metric or [next(iter(request.recipe.metrics))])
    console.print(
        f"Search: {count} arms × {search.trials} proposals × {len(search.seeds)} seeds = "
        f"{count * search.trials * len(search.seeds)} trials for {escape(metrics)}; sampler "
        f"{request.sampler['name']}, pruner {request.pruner['name']}.",
        soft_wrap=True,
    )


def _range(found: "Range") -> str:
    """`0.0001 … 0.1 (log)`."""
    if found.choices is not None:
        shown = ", ".join(map(_short, found.choices))
    else:
        kinds = [kind for kind in ("log", "integer") if getattr(found, kind)]
        shown = f"{found.low:g} … {found.high:g}" + (f" ({', '.join(kinds)})" if kinds else "")
    conditions = [f"{axis} is {_any_of(values)}" for axis, values in found.when.items()]
    return f"{shown}, where {' and '.join(conditions)}" if conditions else shown


def _any_of(values: Sequence[Any]) -> str:
    return " or ".join(map(_short, values))


def _short(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return "none" if value is None else str(value)


def _spanned(span: Span, written: Callable[[float], str] = str) -> str:
    least, most = written(span.least), written(span.most)
    return most if least == most else f"{least} to {most}"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def show_tables(name: str, tables: "Tables") -> None:
    """A recipe's verdicts, documented beside measured; of one without claims its arms."""
    counts = tables.trials["status"].value_counts()
    title = f"{name} — {', '.join(f'{count} {status}' for status, count in counts.items())}"
    console.print()
    console.print(_claims(title, tables) if len(tables.claims) else _arms(title, tables))
    if "effects" in tables.further:
        console.print(_rows("effects", tables.further["effects"], EFFECT_COLUMNS))
    if "path" in tables.further:
        console.print(_path(tables.further["path"]))
    if tables.plan.looks:
        console.print(f"Looks: {escape(tables.plan.looks[-1].stopped)}.", soft_wrap=True)
    for notice in tables.notices:
        console.print(f"[yellow]Mixed:[/] {escape(notice)}", soft_wrap=True)
    for warning in tables.warnings:
        console.print(f"[yellow]Tuning:[/] {escape(warning)}.", soft_wrap=True)


def _claims(title: str, tables: "Tables") -> Table:
    table = _table("claim", "statement", "documented", "measured", "n", "verdict", title=title)
    for row in tables.claims.astype(object).fillna("").itertuples():
        about = [escape(str(row.statement)), f"[dim]{escape(str(row.reason))}[/]"]
        table.add_row(
            str(row.claim), "\n".join(line for line in about if line),
            escape(str(row.documented)), _figure(row.measured), _figure(row.n),
            _colored(str(row.verdict)),
        )  # fmt: skip
    return table


def _path(path: "DataFrame") -> Table:
    """What each round took."""
    columns = ("round", "change", "metric", "mean", "delta", "share")
    table = _table(*columns, title="path")
    for row in path[path["is_taken"]].astype(object).fillna("").itertuples():
        table.add_row(*(_figure(getattr(row, column)) for column in columns))
    return table


ARM_COLUMNS = ("arm", "metric", "n", "mean", "baseline", "delta", "p_holm", "verdict")
EFFECT_COLUMNS = ("effect", "aliases", "metric", "n", "delta", "p_holm", "verdict")


def _arms(title: str, tables: "Tables") -> Table:
    return _rows(title, tables.arms, ARM_COLUMNS)


def _rows(title: str, frame: "DataFrame", columns: Sequence[str]) -> Table:
    """These columns, the last of which is the verdict."""
    table = _table(*columns, title=title)
    for row in frame.astype(object).fillna("").itertuples():
        *cells, verdict = (getattr(row, column) for column in columns)
        table.add_row(*map(_figure, cells), _colored(str(verdict)))
    return table


def _figure(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


@contextmanager
def held_back() -> Iterator[None]:
    """What is shown within is kept as text and appears at the end, also where something failed."""
    console.begin_capture()
    try:
        yield
    finally:
        console.file.write(console.end_capture())


def say_written(outputs: Outputs, names: Sequence[str]) -> None:
    """Where the tables lie."""
    for name in names:
        folder = outputs.recipe(name)
        more = [f" {n}.csv" for n in _SOMETIMES if (folder / f"{n}.csv").is_file()]
        console.print(
            f"{folder}: trials.csv arms.csv comparisons.csv claims.csv curves.csv{''.join(more)}",
            soft_wrap=True,
        )
        if (recipe := outputs.recipe_file(name)).is_file():
            console.print(f"{recipe}: this sweep as a recipe", soft_wrap=True)
    console.print(f"{outputs.reproduction}", soft_wrap=True)


def show_outcome(outcome: Outcome, outputs: Outputs) -> None:
    """The last lines of a run: every claim's verdict once more, then where the tables lie."""
    if len(outcome.tables) > 1:
        _show_verdicts(outcome.tables)
    console.print()
    say_written(outputs, list(outcome.tables))
    bad = {s: n for s, n in outcome.statuses().items() if s not in (*RESULTS, "pruned", "skipped")}
    if outcome.was_interrupted:
        console.print("Interrupted: what ran has ended; the same command goes on from here.")
    elif bad:
        listed = ", ".join(f"{n} {s}" for s, n in bad.items())
        console.print(
            f"Not every trial ended in a result ({listed}): `sweeper show TRIAL` tells why, "
            "`sweeper run … --retry` tries again."
        )
    elif outcome.without_result:
        names = ", ".join(outcome.without_result)
        console.print(f"Nothing of {escape(names)} applies here: every trial was skipped.")


def _show_verdicts(tables: "Mapping[str, Tables]") -> None:
    """One line a claim: what is a row's reason stands in the recipe's own table."""
    table = _table("claim", "recipe", "documented", "measured", "n", "verdict", title="all claims")
    for name, found in tables.items():
        for row in found.claims.astype(object).fillna("").itertuples():
            table.add_row(
                str(row.claim), escape(name), escape(str(row.documented)), _figure(row.measured),
                _figure(row.n), _colored(str(row.verdict)),
            )  # fmt: skip
    console.print()
    console.print(table)


def show_trial(trial: Trial, status: str, attempts: Sequence[Attempt], outputs: Outputs) -> None:
    """A trial's configuration, its attempts, and the end of the last one's log."""
    console.print(f"trial {trial.trial_id}, seed {trial.seed}: {_colored(status)}")
    console.print_json(json.dumps(trial.config))
    for attempt in attempts:
        end = attempt.ending
        console.print(
            f"attempt {attempt.attempt} on {attempt.device or '?'}: {_colored(attempt.status)} "
            f"after {end.duration_s:.3g} s"
        )
        if end.error:
            console.print(escape(end.error), soft_wrap=True)
        for name, value in end.metrics.items():
            console.print(f"  {escape(name)} = {value:.6g}")
    if attempts and "\n" not in attempts[-1].ending.error:  # else it ends in the log's end already
        _show_log(outputs, trial.trial_id, attempts[-1].attempt)


def _show_log(outputs: Outputs, trial_id: str, attempt: int) -> None:
    path = outputs.trial(trial_id) / f"log-{attempt}.txt"
    if path.is_file() and (text := path.read_text(errors="replace").strip()):
        console.print(f"end of {path}:", soft_wrap=True)
        console.print(escape("\n".join(text.splitlines()[-_LOG_LINES:])), soft_wrap=True)


def show_status(found: "SweepStatus") -> None:
    """A row a plan: how many of its trials have which status; then what runs now."""
    console.print(_status(found))


def watch_status(read: "Callable[[], SweepStatus]") -> None:
    """The status anew each second until no sweep writes any more."""
    found = read()
    with Live(_status(found), console=console, auto_refresh=False) as live:
        while found.writer is not None:
            time.sleep(_WATCH_S)
            found = read()
            live.update(_status(found), refresh=True)


def _status(found: "SweepStatus") -> Group:
    columns = ["done", "diverged", "skipped", "running", "waiting", "failed"]
    table = _table("plan", "trials", *columns)
    for plan in found.plans:
        statuses = [found.statuses.get(t, "waiting") for t in {c.trial_id for c in plan.cells}]
        counts = [statuses.count(status) for status in columns[:-1]]
        failed = len(statuses) - sum(counts)
        table.add_row(plan.name, str(len(statuses)), *map(str, counts), str(failed))
    if found.writer is None:
        return Group(table, "No sweep is running.")
    running = _table("running", "plan", "arm", "seed", "attempt", "for")
    for r in found.running:
        seed = "" if r.seed is None else str(r.seed)
        place = (escape(r.plan), escape(r.arm), seed)
        running.add_row(r.trial_id, *place, str(r.attempt), _clock(r.seconds))
    pid, host = found.writer
    return Group(table, f"Process {pid} on {host} is running these:", running)


def say(line: str) -> None:
    """A plain sentence."""
    console.print(line, markup=False, soft_wrap=True)
