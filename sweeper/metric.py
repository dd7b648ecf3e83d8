"""The small language of metrics: a reported name, or a function of one (`tail(val_loss)`)."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sweeper.errors import RequestError, nearest

# name of the function -> what its arguments are, in order
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "best": ("metric",),
    "tail": ("metric",),
    "at": ("metric", "number"),
    "epochs_to": ("metric", "number"),
    "spread": ("metric",),
    "best_of": ("axis", "metric"),
    "largest_of": ("axis", "metric", "number"),
}
ALONG_AN_AXIS = frozenset({"best_of", "largest_of"})

_NAME = re.compile(r"[A-Za-z_][\w.\-]*\Z")
_DEEPEST = 10
_CALL = re.compile(r"(\w+)\s*\((.*)\)\Z", re.DOTALL)


@dataclass(frozen=True)
class MetricExpression:
    """A parsed metric: `function` is empty for a reported name, which is then the only argument."""

    function: str
    arguments: "tuple[MetricExpression | str | float, ...]"

    @property
    def name(self) -> str:
        """The reported name at the bottom of the expression."""
        for argument in self.arguments:
            if isinstance(argument, MetricExpression):
                return argument.name
        return str(self.arguments[0])


def parse(text: str) -> MetricExpression:
    """Read a metric such as `val_loss`, `at(val_loss, 5)` or `best_of(optim.lr, tail(loss))`.

    Raises RequestError where the text is not of that grammar.
    """
    text = text.strip()
    if text.count("(") > _DEEPEST:
        raise RequestError(f"metric {text!r} is nested too deeply: write best(val_loss).")
    if _NAME.match(text):
        return MetricExpression("", (text,))
    call = _CALL.match(text)
    if not call:
        raise RequestError(
            f"metric {text!r} is neither a reported name nor a function of one: "
            "write val_loss, best(val_loss) or at(val_loss, 5)."
        )
    function, inside = call.groups()
    if function not in FUNCTIONS:
        raise RequestError(
            f"metric {text!r}: there is no function {function!r}. "
            + nearest(function, FUNCTIONS, what="functions")
        )
    given, wanted = _split(inside), FUNCTIONS[function]
    if len(given) != len(wanted):
        raise RequestError(
            f"metric {text!r}: {function} takes ({', '.join(wanted)}), "
            f"but got {len(given)} argument{'s' * (len(given) != 1)}."
        )
    arguments = tuple(_argument(g, w, text) for g, w in zip(given, wanted, strict=True))
    return MetricExpression(function, arguments)


def _split(inside: str) -> list[str]:
    """Split at the commas that stand in no inner pair of parentheses."""
    parts, depth, current = [], 0, ""
    for character in inside:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part.strip() for part in [*parts, current] if part.strip()]


def _argument(text: str, kind: str, whole: str) -> MetricExpression | str | float:
    if kind == "metric":
        return parse(text)
    if kind == "axis":
        if not _NAME.match(text):
            raise RequestError(f"metric {whole!r}: {text!r} is not the name of an axis.")
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"metric {whole!r}: {text!r} is not a number.")
    return number


def of_run(
    expression: MetricExpression,
    metrics: Mapping[str, float],
    curve: Mapping[str, Sequence[float | None]],
    is_down: bool,
) -> float | None:
    """One run's own number; None where it was not measured, NaN where it became no number.

    `is_down` says which way the reported name is better. A level that is never reached is inf.
    """
    name, function = expression.name, expression.function
    if not function:
        return last(name, metrics, curve)
    steps, reported = curve.get("step", ()), curve.get(name, ())
    points = [
        (s, v) for s, v in zip(steps, reported, strict=False) if s is not None and v is not None
    ]
    number = expression.arguments[-1]
    if function == "at":
        return next((v for s, v in points if s == number), None)
    if function == "epochs_to" and isinstance(number, float):
        reached = (s for s, v in points if (v <= number if is_down else v >= number))
        return next(reached, math.inf) if points else None
    values = [v for _, v in points] or ([metrics[name]] if name in metrics else [])
    return _summary(function, values, is_down) if values else None


def last(
    name: str, metrics: Mapping[str, float], curve: Mapping[str, Sequence[float | None]]
) -> float | None:
    """A reported name's final value, else the last one on its curve."""
    final = metrics.get(name)
    if final is not None:
        return final
    return next((v for v in reversed(curve.get(name, ())) if v is not None), None)


def _summary(function: str, values: list[float], is_down: bool) -> float:
    """The best of the finite values, or the median of the last tenth, at least one."""
    if function == "best":
        finite = [v for v in values if math.isfinite(v)]
        return (min if is_down else max)(finite, default=math.nan)
    tenth = values[-math.ceil(len(values) / 10) :]
    return median(tenth) if all(map(math.isfinite, tenth)) else math.nan
