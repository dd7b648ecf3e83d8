"""One page of HTML for each recipe, with its figures, from the store alone.

The page holds all that it shows and asks no network for anything: its policy forbids it.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sweeper.evidence import page, tables
from sweeper.evidence.csvfile import write_bytes, write_text
from sweeper.evidence.figures import curves, documented, forest, search, staircase, weights
from sweeper.evidence.figures.canvas import Drawing
from sweeper.evidence.findings import Evidence
from sweeper.evidence.left import Left, samples_of, weights_of
from sweeper.evidence.page import Fed, Page, Picture, Section, Table
from sweeper.evidence.rebuild import runs_of
from sweeper.evidence.runs import Run
from sweeper.evidence.tensorboard import EventFiles
from sweeper.folders import Outputs
from sweeper.records import Reader
from sweeper.trial import RESULTS

_TEMPLATES = Path(__file__).parent / "templates"
# A figure is in the page as SVG, which is sharp at any size; a large one as PNG.
_LARGEST_SVG = 400_000
_MOST_SVG = 4_000_000  # all of a page
_MOST_FED = 4_000_000  # bytes of pixels, before they are compressed
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def write_reports(
    outputs: Outputs, names: Iterable[str], *, for_tensorboard: bool = False
) -> Iterator[Path]:
    """Write the figures and the page of these plans one by one, and say where each page lies.

    With `for_tensorboard` also a folder of event files, named after the page.
    """
    events = EventFiles() if for_tensorboard else None
    with Reader(outputs) as reader:
        plans = [reader.plan(name) for name in dict.fromkeys(names)]
        for plan in plans:
            folder = outputs.recipe(plan.name)
            built = tables.build(plan, runs_of(plan, reader))
            evidence = Evidence(plan, built.runs)
            drawings = _drawings(evidence, built, outputs)
            for drawing in _every(drawings):
                write_bytes([drawing.svg], folder / "figures" / f"{drawing.name}.svg")
                write_bytes([drawing.png], folder / "figures" / f"{drawing.name}.png")
            starts = reader.starts()
            found = _page(evidence, built, drawings, outputs, starts)
            write_text([as_html(found)], folder / "report.html")
            yield folder / "report.html"
            if events is not None:
                events.write(evidence, folder / "tensorboard", outputs, starts)
                yield folder / "tensorboard"


def _every(drawings: dict[str, list[Drawing]]) -> list[Drawing]:
    return [drawing for group in drawings.values() for drawing in group]


def _drawings(
    evidence: Evidence, built: tables.Tables, outputs: Outputs
) -> dict[str, list[Drawing]]:
    """Compute, then draw: the figures by the section in which they stand."""
    searches = evidence.plan.searches
    beside = documented.beside(built.claims, evidence.recipe)
    histories = search.histories(evidence)
    metrics = dict.fromkeys(h.metric for h in histories)
    importances = search.importances(searches)
    return {
        "curves": [curves.drawing(c) for c in curves.curves(evidence)],
        "forest": [forest.drawing(f) for f in forest.forests(evidence)],
        "documented": [documented.drawing(beside)] if beside else [],
        "staircase": [staircase.drawing(s) for s in staircase.staircases(evidence)],
        "search": [
            *(search.history_drawing([h for h in histories if h.metric == m]) for m in metrics),
            *map(search.front_drawing, search.fronts(searches)),
        ],
        "importances": [search.importance_drawing(importances)] if importances else [],
        "weights": _weights(evidence, outputs),
    }


def _page(
    evidence: Evidence, built: tables.Tables, drawings: dict[str, list[Drawing]],
    outputs: Outputs, starts: dict[str, float],
) -> Page:  # fmt: skip
    plan, recipe, runs = evidence.plan, evidence.recipe, built.runs
    embed = _Embedding()
    pictures = {name: tuple(map(embed.picture, group)) for name, group in drawings.items()}
    looks = page.looks_table(plan)
    fed, unfed = _fed(evidence, outputs)
    has_results = any(run.status in RESULTS for run in runs)
    no_results = () if has_results else ("No trial has ended in a result yet.",)
    sections = (
        Section("claims", "Claims", no_results, tables=_if_any(page.claims_table(built.claims))),
        Section("curves", "Curves", pictures=pictures["curves"]),
        Section("differences", "Differences between arms", pictures=pictures["forest"]),
        Section("documented", "Documented and measured", pictures=pictures["documented"]),
        Section("sequence", "The sequence, step by step", pictures=pictures["staircase"]),
        Section(
            "searches", "Searches", built.warnings, pictures["search"],
            tuple(_search_tables(built)),
        ),
        Section("importances", "What mattered in the searches", (), pictures["importances"]),
        Section("looks", "Looks", tables=(looks,) if looks else ()),
        Section("fed", "What the net is fed, and what it answers", unfed, fed=fed),
        Section("weights", "Its weights, before training and after", pictures=pictures["weights"]),
        Section(
            "arms", "Arms",
            tables=(
                page.arms_table(built.arms, recipe), page.changes_table(plan), *_designed(built),
            ),
        ),
        Section("trials", "Trials", tables=_if_any(page.trials_table(built.trials))),
        Section("failed", "What failed", errors=page.failures(runs)),
        Section(
            "run", "What was run", tables=(page.what_was_run(plan, recipe, runs, built, starts),)
        ),
    )  # fmt: skip
    return Page(
        plan.name, recipe.question, recipe.source, recipe.notes.strip(), page.state(plan, runs),
        tuple(f"Mixed: {notice}" for notice in built.notices), page.in_order(sections),
    )  # fmt: skip


def _if_any(table: Table) -> tuple[Table, ...]:
    return (table,) if table.rows else ()


def _designed(built: tables.Tables) -> Iterator[Table]:
    captions = {"effects": "The effects of the factorial", "path": "The path, step by step"}
    yield from _further(built, captions)


def _search_tables(built: tables.Tables) -> Iterator[Table]:
    captions = {"searches": "The searches", "pareto": "The Pareto fronts"}
    yield from _further(built, captions)


def _further(built: tables.Tables, captions: Mapping[str, str]) -> Iterator[Table]:
    for name, caption in captions.items():
        if name in built.further:
            yield page.plain_table(caption, built.further[name])


class _Embedding:
    """Figures within the page: sharp ones while there is room."""

    def __init__(self) -> None:
        self._left = _MOST_SVG

    def picture(self, drawing: Drawing) -> Picture:
        is_sharp = len(drawing.svg) <= min(_LARGEST_SVG, self._left)
        self._left -= len(drawing.svg) if is_sharp else 0
        content = drawing.svg if is_sharp else drawing.png
        kind = "svg+xml" if is_sharp else "png"
        uri = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        return Picture(uri, drawing.alt, drawing.caption, f"figures/{drawing.name}")


def _fed(evidence: Evidence, outputs: Outputs) -> tuple[tuple[Fed, ...], tuple[str, ...]]:
    """Of each arm the images of its first reported seed that left some, while there is room."""
    found, left_out, room = [], 0, _MOST_FED
    for row in evidence.grid.runs:
        run, kept = _first(row, samples_of, outputs)
        if run is None or kept is None:
            continue
        size = sum(p.pixels.nbytes for p in (*kept.train, *kept.validation))
        if size > room:
            left_out += 1
            continue
        room -= size
        found.append(Fed(f"{run.arm}, seed {run.seed}", kept))
    more = f"The images of {left_out} more arms are in the folders of their trials (samples.npz)."
    return tuple(found), ((more,) if left_out else ())


def _weights(evidence: Evidence, outputs: Outputs) -> list[Drawing]:
    """Of each arm those of its first reported seed that left some, in one figure."""
    found = []
    for place, row in enumerate(evidence.grid.runs):
        run, kept = _first(row, weights_of, outputs)
        if run is not None and kept is not None:
            found.append(weights.ArmWeights(run.arm, run.seed, place, kept))
    return [weights.drawing(found)] if found else []


def _first(
    row: Iterable[Run], of: Callable[[Run, Outputs], Left | None], outputs: Outputs
) -> tuple[Run, Left] | tuple[None, None]:
    """Of an arm's runs the first that left something, with it."""
    for run in row:
        kept = of(run, outputs)
        if kept is not None:
            return run, kept
    return None, None


def as_html(found: Page) -> str:
    """The page as text; whatever is a user's is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_legible,
    )  # fmt: skip
    css, js = (_own(name) for name in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(css)}'; "
        f"script-src '{_digest(js)}'; base-uri 'none'; form-action 'none'"
    )
    template = environment.get_template("report.html")
    return template.render(page=found, css=css, js=js, policy=Markup(policy))


def _own(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _legible(value: Any) -> Any:
    """What is no character to look at is shown as such."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value
