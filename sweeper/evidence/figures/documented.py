"""What a document says beside what was measured, for claims where both are numbers."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweeper.claim import Comparison
from sweeper.evidence.figures.canvas import GREY, Drawing, draw, text
from sweeper.evidence.wording import short
from sweeper.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 24
# A claim's verdict as its colour and marker.
VERDICTS = {
    "reproduced": ("#006644", "o"), "contradicted": ("#B03000", "X"), "undecided": (GREY, "s"),
}  # fmt: skip


@dataclass(frozen=True)
class Beside:
    """One claim's two numbers, with the interval of ours (NaN where it has none)."""

    claim: str
    documented: float
    measured: float
    low: float
    high: float
    verdict: str


def beside(claims: "pd.DataFrame", recipe: Recipe) -> list[Beside]:
    """The rows in which both figures are numbers, of differences: of an event ours is a share."""
    lines = [line for claim in recipe.claims for line in claim.assertions()]
    differences = {line for line, assertion in lines if isinstance(assertion, Comparison)}
    found = []
    for row in claims.to_dict("records"):
        if row["claim"] not in differences:
            continue
        documented = number(row["documented"])
        measured = float(row["measured"])
        if documented is not None and math.isfinite(measured):
            ends = float(row["ci_low"]), float(row["ci_high"])
            found.append(Beside(str(row["claim"]), documented, measured, *ends, row["verdict"]))
    return found


def number(documented: object) -> float | None:
    """A figure that is a number and nothing else: `0.55`, `-3e-2`; not `1.1 → 0.55` or `50 %`."""
    if isinstance(documented, bool):
        return None
    try:
        value = float(str(documented).replace("−", "-"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def drawing(rows: list[Beside]) -> Drawing:
    """A claim a row, each on an axis of its own: their units differ."""
    shown = rows[:MOST_ROWS]
    caption = (
        "Documented (◇) and measured (filled, with its interval, as in claims.csv), each claim on "
        "an axis of its own. The document's figure belongs to its author's data."
    )
    if len(rows) > len(shown):
        caption += f" {len(rows) - len(shown)} further claims stand in the table."
    said = "; ".join(
        f"{r.claim} documented {short(r.documented)}, measured {short(r.measured)}" for r in shown
    )
    size = (9.0, 0.35 + 0.62 * len(shown))
    return draw("documented", caption, f"{said}.", size, lambda figure: _paint(figure, shown))


def _paint(figure: "Figure", rows: list[Beside]) -> None:
    grid = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, row in zip(grid, rows, strict=True):
        _row(axes, row)


def _row(axes: "Axes", row: Beside) -> None:
    color, marker = VERDICTS.get(row.verdict, VERDICTS["undecided"])
    axes.plot([row.measured, row.documented], [0, 0], ":", color=GREY, lw=1)
    if not math.isnan(row.low + row.high):
        axes.plot([row.low, row.high], [0, 0], color=color, lw=2)
    axes.plot([row.measured], [0], marker, color=color, ms=7)
    axes.plot([row.documented], [0], "D", color="black", mfc="white", ms=7)
    axes.margins(x=0.15)
    axes.set_yticks([0], [f"{text(row.claim)}  {row.verdict}"])
    axes.tick_params(axis="x", labelsize=7)
    axes.spines["left"].set_visible(False)
