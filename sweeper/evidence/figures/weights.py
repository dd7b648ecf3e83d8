"""How each arm's weights are distributed, layer by layer, as a trial's `weights.json` kept it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeper.evidence.figures.canvas import GREY, Drawing, draw, style, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ARMS, MOST_LAYERS = 12, 16
_ACROSS = 3
_LARGEST = 1 << 20  # bytes; a file of ours has half at most
_MOST_BINS = 64
_LARGEST_WEIGHT = 4e38  # above all that single precision holds, and far from what cannot be drawn
_HALF = 0.42  # of the distance of two layers


@dataclass(frozen=True)
class Histogram:
    """One weight's: `counts` in equal bins from `low` to `high`; none where it was not finite."""

    name: str
    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Weights:
    """The layers of one run, from the input on, before training and after."""

    before: tuple[Histogram, ...]
    after: tuple[Histogram, ...]


@dataclass(frozen=True)
class ArmWeights:
    """The first reported seed of an arm that left a file; `place` among the recipe's arms."""

    arm: str
    seed: int
    place: int
    weights: Weights


def read(path: Path) -> Weights | None:
    """What the file holds; None where there is none, or one that is not as we write it."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        held = json.loads(path.read_bytes())
        before, after = (tuple(map(_histogram, held[when])) for when in ("before", "after"))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return Weights(before, after) if after else None


def _histogram(held: Mapping[str, Any]) -> Histogram:
    name = str(held["name"])
    if "counts" not in held:
        return Histogram(name, math.nan, math.nan, ())
    low, high = float(held["low"]), float(held["high"])
    counts = tuple(int(n) for n in held["counts"])
    fits = 0 < len(counts) <= _MOST_BINS and all(0 <= n < 1 << 50 for n in counts) and any(counts)
    if not (fits and -_LARGEST_WEIGHT < low <= high < _LARGEST_WEIGHT):
        raise ValueError(f"no histogram of ours: {name}")
    return Histogram(name, low, high, counts)


def drawing(arms: Sequence[ArmWeights]) -> Drawing:
    """A small panel for each of at most a dozen arms."""
    shown = arms[:MOST_ARMS]
    seeds = sorted({a.seed for a in shown})
    of = f"seed {seeds[0]}" if len(seeds) == 1 else "the first seed"
    caption = (
        f"The weights of each layer, from the input on ({of} of each arm): grey before training, "
        "coloured after; the width is the share of weights of that value."
    )
    if len(arms) > MOST_ARMS:
        caption += f" {len(arms) - MOST_ARMS} further arms are in the folders of their trials."
    if any(len(a.weights.after) > MOST_LAYERS for a in shown):
        caption += f" Of more than {MOST_LAYERS} layers the first {MOST_LAYERS}."
    said = "; ".join(f"{a.arm} {_said(a.weights)}" for a in shown)
    alt = f"Distributions of weights before and after training: {said}."
    rows = -(-len(shown) // _ACROSS)
    size = (9.0, 2.1 * rows + 0.3)
    return draw("weights", caption, alt, size, lambda figure: _paint(figure, shown))


def _said(weights: Weights) -> str:
    known = [h for h in weights.after if h.counts]
    if not known:
        return "not finite"
    low, high = min(h.low for h in known), max(h.high for h in known)
    return f"{low:.3g} to {high:.3g}"


def _paint(figure: "Figure", arms: Sequence[ArmWeights]) -> None:
    across = min(_ACROSS, len(arms))
    grid = figure.subplots(-(-len(arms) // across), across, squeeze=False)
    for axes, arm in zip(grid.flat, arms, strict=False):
        _panel(axes, arm.weights, style(arm.place)["color"])
        axes.set_title(text(arm.arm), fontsize=8)
    for axes in list(grid.flat)[len(arms) :]:
        axes.set_visible(False)
    figure.supxlabel("layer", fontsize=9)


def _panel(axes: "Axes", weights: Weights, color: str) -> None:
    for layers, side, fill in ((weights.before, -1, GREY), (weights.after, 1, color)):
        for place, layer in enumerate(layers[:MOST_LAYERS], start=1):
            if layer.counts:
                _half(axes, place, side, layer, fill)
            else:
                at = (place + side * _HALF / 2, 0.5)
                axes.annotate("∞", at, xycoords=axes.get_xaxis_transform(), ha="center", color=fill)
    n = min(MOST_LAYERS, max(len(weights.before), len(weights.after)))
    axes.set_xlim(0.4, n + 0.6)
    axes.set_xticks(range(1, n + 1))
    axes.tick_params(labelsize=7)
    axes.grid(visible=False, axis="x")


def _half(axes: "Axes", place: int, side: int, layer: Histogram, color: str) -> None:
    """One side of a layer: bars that begin at its middle."""
    counts = np.array(layer.counts, dtype=float)
    if layer.low == layer.high:  # equal weights are a line
        axes.plot([place, place + side * _HALF], [layer.low] * 2, color=color, lw=1.4)
        return
    edges = np.linspace(layer.low, layer.high, len(counts) + 1)
    widths = np.repeat(side * _HALF * counts / counts.max(), 2)
    axes.fill_betweenx(np.repeat(edges, 2)[1:-1], place, place + widths, color=color, lw=0)
