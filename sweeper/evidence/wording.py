"""Numbers and counts as the reasons of claims.csv word them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sweeper.evidence.runs import NOT_ASKED


def short(value: float) -> str:
    """Three significant digits, with a true minus sign."""
    if math.isnan(value):
        return "not measured"
    return f"{value:.3g}".replace("-", "−", 1) if value < 0 else f"{value:.3g}"


def interval(low: float, high: float) -> str:
    return f"[{short(low)}, {short(high)}]"


def in_decades(metrics: Sequence[str]) -> str:
    """What the differences of metrics on a log scale are; empty without such a metric."""
    if not metrics:
        return ""
    return (
        f"Differences of {', '.join(metrics)} are of its log10: −1 is a tenth, 0.3 twice as much."
    )


def p_value(p: float) -> str:
    """`p = 0.0312`, or a bound where it is smaller than anyone believes."""
    return "p < 1e-06" if p < 1e-6 else f"p = {p:.3g}"


def dropped(reasons: Iterable[str], of: int) -> str:
    """`2 of 5 seeds dropped: 1 failed, 1 waiting`, empty where none is.

    `reasons` holds one entry for each seed that has no value. Where all share one that speaks of
    every run, it stands alone.
    """
    counts = Counter(reasons)
    of -= counts.pop(NOT_ASKED, 0)
    if not counts:
        return ""
    general = next((r for r in counts if r.startswith(("no ", "goal ", "axis "))), None)
    if general is not None:
        return general
    total = sum(counts.values())
    listed = ", ".join(f"{n} {reason}" for reason, n in counts.items())
    return f"{total} of {of} seeds dropped: {listed}"


def joined(*parts: str) -> str:
    """The parts that say something, as one sentence."""
    return "; ".join(part for part in parts if part)


def contrast_in_words(contrast: Mapping[str, float]) -> str:
    """`both: 1, norm: -1, …`: what stands for an arm where several are compared."""
    return ", ".join(f"{arm}: {weight:g}" for arm, weight in contrast.items())


def aliased(others: Sequence[str]) -> str:
    """Why no number of seeds decides an interaction of a fraction."""
    return (
        f"resolution 4 measures it together with {', '.join(others)}: only the full design "
        "tells them apart"
    )
