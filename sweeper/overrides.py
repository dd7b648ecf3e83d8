"""What is typed beside a recipe: Hydra's grammar of overrides and of sweeps, read and explained."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString, RangeSweep, Sweep
from hydra.core.override_parser.types import Override as HydrasOverride
from hydra.errors import HydraException

from sweeper.errors import RequestError, nearest
from sweeper.limits import MOST_ARMS, MOST_LEVELS, MOST_OF_AN_OVERRIDE, nesting
from sweeper.masking import masked_override


@dataclass(frozen=True)
class Override:
    """One `key=value` of the command line; `is_added` where it was typed as `+key=value`.

    Of a sweep `listed` has every value, in order, and `value` is the first.
    """

    key: str
    value: Any
    text: str
    is_added: bool = False
    listed: tuple[Any, ...] = ()


# Each group with its choices.
Groups = Mapping[str, Sequence[str]]


def parse_overrides(texts: Sequence[str], groups: Groups | None = None) -> list[Override]:
    """Read Hydra's grammar; with `groups`, whose choices a glob picks, its sweeps too.

    Raises RequestError on a deletion or a syntax error, and without `groups` on a sweep.
    """
    return [_parse_override(text, groups) for text in texts]


def _parse_override(text: str, groups: Groups | None) -> Override:
    parsed = _parsed(text)
    text = masked_override(text)  # from here on it is only shown
    key, is_added = parsed.key_or_group, parsed.is_add() or parsed.is_force_add()
    if parsed.is_delete() or parsed.package is not None:
        raise RequestError(f"override {text!r}: only axis=value and +axis=value are known.")
    if not parsed.is_sweep_override():
        return Override(key, parsed.value(), text, is_added)
    if groups is None:
        raise RequestError(
            f"override {text!r} gives several values where one belongs: to compare them add -m "
            f"(without a recipe also --as NAME); for one value that is a list write '{key}=[…]'."
        )
    listed = _listed(parsed, text, groups)
    return Override(key, listed[0], text, is_added, listed if len(listed) > 1 else ())


def _parsed(text: str) -> HydrasOverride:
    key = text.partition("=")[0]
    if len(text) > MOST_OF_AN_OVERRIDE:
        raise RequestError(
            f"override {key!r} is longer than {MOST_OF_AN_OVERRIDE} characters: write a recipe."
        )
    if nesting(text) > MOST_LEVELS:
        raise RequestError(f"override {key!r} is nested more than {MOST_LEVELS} levels deep.")
    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError, RecursionError) as error:
        first = str(error).partition("\n")[0]
        shown = masked_override(text)
        first = f" ({first})" if shown == text else ""
        raise RequestError(
            f"override {shown!r} cannot be read{first}: write axis=value, as in optim.lr=0.03."
        ) from None


def _listed(parsed: HydrasOverride, text: str, groups: Groups) -> tuple[Any, ...]:
    """Every value of a sweep. Raises RequestError for one that has none, or no order."""
    key, sweep = parsed.key_or_group, parsed.value()
    if parsed.is_interval_sweep():
        raise RequestError(
            f"override {text!r}: an interval has no values to compare: list some, as in "
            f"{key}=0.1,0.01, or search it with `search: {{axes: {{{key}: {{low: …, high: …}}}}}}` "
            "in a recipe."
        )
    if getattr(sweep, "shuffle", False):
        raise RequestError(
            f"override {text!r}: the first value is the baseline's, so shuffle would draw it by "
            "chance: leave shuffle out."
        )
    if isinstance(sweep, Glob):
        listed = tuple(_globbed(key, text, sweep, groups))
    elif isinstance(sweep, RangeSweep):
        listed = tuple(islice(_in_range(sweep, text), MOST_ARMS + 1))
    else:
        assert isinstance(sweep, ChoiceSweep)
        if any(isinstance(value, Sweep | Glob) for value in sweep.list):
            raise RequestError(
                f"override {text!r}: a sweep stands within a list: write its values themselves."
            )
        listed = tuple(_unquoted(value) for value in sweep.list)
    if not listed or len(listed) > MOST_ARMS:
        count = f"more than {MOST_ARMS} values" if listed else "no value"
        raise RequestError(f"override {text!r} gives {count}: list a few, as in {key}=0.1,0.01.")
    doubled = [value for value, count in Counter(map(repr, listed)).items() if count > 1]
    if doubled:
        shown = masked_override(f"{key}={doubled[0]}").partition("=")[2]
        raise RequestError(f"override {text!r} gives {shown} twice: leave one out.")
    return listed


def _globbed(key: str, text: str, sweep: Glob, groups: Groups) -> list[str]:
    if key not in groups:
        raise RequestError(
            f"override {text!r}: glob picks among the choices of a group, and {key!r} is none. "
            + nearest(key, groups, what="groups")
        )
    if not (found := sweep.filter(list(groups[key]))):
        raise RequestError(
            f"override {text!r} picks nothing. The choices of {key} are: {', '.join(groups[key])}."
        )
    return found


def _in_range(sweep: RangeSweep, text: str) -> Iterator[int | float]:
    """As Hydra's, but exact: three times 0.1 is 0.3, and no arm is named 0.30000000000000004."""
    ends = (sweep.start, sweep.stop, sweep.step)
    start, stop, step = (Decimal(repr(end)) for end in ends)
    if not step or not all(end.is_finite() for end in (start, stop, step)):
        raise RequestError(
            f"override {text!r}: a range has finite ends and a step other than 0, as in "
            "range(1,10,3)."
        )
    kind = int if all(isinstance(end, int) for end in ends) else float
    while (start < stop) if step > 0 else (start > stop):
        yield kind(start)
        start += step


def _unquoted(value: Any) -> Any:
    """A value of a list as it would stand by itself."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_unquoted(item) for item in value]
    if isinstance(value, dict):
        return {_unquoted(key): _unquoted(item) for key, item in value.items()}
    return value


def typed_targets(overrides: Iterable[Override]) -> list[str]:
    """The `_target_`s of the command line: typing one allows it."""
    typed = (o for o in overrides if o.key.endswith("._target_"))
    return [str(value) for o in typed for value in (o.listed or (o.value,))]
