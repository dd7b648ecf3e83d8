"""What all figures share: the door to matplotlib, colours, equal bytes for equal numbers."""

import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by the colour-blind too (Okabe and Ito 2008); after eight, by the line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
LINES = ("-", "--", ":", "-.")
GREY = "#767676"
# A verdict's colour and marker: never told by colour alone.
VERDICTS = {
    "better": ("#006644", "^"),
    "worse": ("#B03000", "v"),
    "no_effect": ("#0055AA", "s"),
    "undecided": ("#767676", "o"),
    "": ("#767676", "o"),
}
_SETTINGS = {
    "svg.hashsalt": "sweeper", "svg.fonttype": "path", "font.family": "DejaVu Sans",
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.25, "grid.linewidth": 0.6, "legend.frameon": False,
    "lines.linewidth": 1.4, "path.simplify": True, "axes.axisbelow": True,
}  # fmt: skip
_DPI = 110
_LONGEST = 32
_NARROW = 2.5  # decades


@dataclass(frozen=True)
class Drawing:
    """A figure as files: `name` is its file's stem; `alt` and `caption` say what is drawn."""

    name: str
    caption: str
    alt: str
    svg: bytes
    png: bytes


def draw(
    name: str, caption: str, alt: str, size: tuple[float, float],
    paint: "Callable[[Figure], None]", *, lays_out: bool = True,
) -> Drawing:  # fmt: skip
    """Let `paint` fill a fresh figure of so many inches; the same numbers give the same bytes.

    Without `lays_out` it sets the margins: to measure every text of fifty panels takes longer than
    to draw them.
    """
    with _plainly():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, layout="constrained" if lays_out else None)
        FigureCanvasAgg(figure)
        paint(figure)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        if lays_out:
            figure.set_layout_engine("none")  # it stays as it was laid out for the other file
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(svg, format="svg", metadata=unsaid)
    return Drawing(slug(name), caption, alt, _compact(svg.getvalue()), png.getvalue())


@contextmanager
def _plainly() -> Iterator[None]:
    """Our settings, whatever the user's matplotlibrc says; a missing glyph is no warning."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.ERROR)  # that it builds its cache of fonts is nobody's business
    try:
        import matplotlib

        with warnings.catch_warnings(), matplotlib.rc_context():
            warnings.simplefilter("ignore")
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
            yield
    finally:
        logger.setLevel(before)


def _compact(svg: bytes) -> bytes:
    """Without the comments that matplotlib puts before every text."""
    return re.sub(rb"\s*<!--.*?-->", b"", svg, flags=re.DOTALL)


def slug(name: str) -> str:
    """A file's stem of any name: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:120]


def text(name: object) -> str:
    """A user's name as a text in a figure: no formula, no control characters, not too long."""
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", str(name))
    shown = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
    return shown.replace("$", r"\$")


def style(place: int) -> dict[str, Any]:
    """The line of the so-manieth arm."""
    line = LINES[place // len(COLORS) % len(LINES)]
    return {"color": COLORS[place % len(COLORS)], "linestyle": line}


def use_whole_steps(axes: "Axes") -> None:
    """Ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def use_log(axes: "Axes", which: str) -> None:
    """A logarithmic axis with numbers as people write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    (axes.set_yscale if which == "y" else axes.set_xscale)("log")
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = sorted(axis.get_view_interval())
    is_narrow = low > 0 and math.log10(high / low) < _NARROW
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if is_narrow else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axis.set_minor_locator(NullLocator())
