"""Two-level designs: which cells are run, and what the contrasts of their results estimate.

A cell is a tuple of 0 (low) and 1 (high), one for each axis. Every axis is the exclusive or of some
base axes (its word, a bit for each of them), so that all low is always a cell: it is the baseline
of most studies. A product of signs, ± ABC, is that exclusive or, up to the sign that keeps it low.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Cell = tuple[int, ...]


@dataclass(frozen=True)
class Effect:
    """A main effect (`model.norm`) or two-factor interaction (`model.norm:optim.lr`).

    `aliases` names the other two-factor interactions that the same contrast estimates: it is their
    sum. `signs` is the contrast, +1 or -1 for each cell.
    """

    name: str
    aliases: tuple[str, ...]
    signs: tuple[int, ...]


def base_axes(axes: int, *, is_fraction: bool) -> int:
    """How many axes are crossed in full: 2 to that power is the number of cells.

    Of resolution IV at most half as many axes as cells can be had (Webb 1968).
    """
    return axes if not is_fraction else max(3, (axes - 1).bit_length() + 1)


def cells(axes: int, *, is_fraction: bool) -> list[Cell]:
    """Every cell in the order of a grid, the last base axis changing fastest."""
    words = _words(axes, is_fraction=is_fraction)
    count = 2 ** base_axes(axes, is_fraction=is_fraction)
    return [tuple(_level(cell, word) for word in words) for cell in range(count)]


def effects(names: Sequence[str], *, is_fraction: bool) -> list[Effect]:
    """Main effects, then interactions; those that one contrast estimates are one, the first."""
    words = _words(len(names), is_fraction=is_fraction)
    contrasts: dict[int, list[str]] = {}
    for one, other in combinations(range(len(names)), 2):
        interaction = f"{names[one]}:{names[other]}"
        contrasts.setdefault(words[one] ^ words[other], []).append(interaction)
    count = 2 ** base_axes(len(names), is_fraction=is_fraction)
    main = [
        Effect(name, (), tuple(2 * _level(cell, word) - 1 for cell in range(count)))
        for name, word in zip(names, words, strict=True)
    ]
    # both high or both low is a plus: the exclusive or of the two is 0
    return main + [
        Effect(first, tuple(others), tuple(1 - 2 * _level(cell, word) for cell in range(count)))
        for word, (first, *others) in contrasts.items()
    ]


def find(name: str, known: Sequence[Effect]) -> Effect | None:
    """The effect of that name, or the one with which an interaction of that name is aliased.

    The axes of an interaction may stand in any order, with blanks between them.
    """
    return next((e for e in known for n in (e.name, *e.aliases) if _parts(n) == _parts(name)), None)


def others(name: str, effect: Effect) -> list[str]:
    """What the contrast of an effect estimates besides the one of that name."""
    return [n for n in (effect.name, *effect.aliases) if _parts(n) != _parts(name)]


def _parts(name: str) -> list[str]:
    return sorted("".join(name.split()).split(":"))


def _level(cell: int, word: int) -> int:
    return (cell & word).bit_count() % 2


def _words(axes: int, *, is_fraction: bool) -> list[int]:
    """The base axes of which each axis is the exclusive or, base axes first.

    Resolution IV needs that no two and no three words cancel out. Of the designs that do these
    have, up to 16 axes, the fewest interactions aliased with each other (minimum aberration: Fries
    and Hunter 1980; the tables of Montgomery's Design and Analysis of Experiments):

    - one further axis: the word of all base axes (ABCD: even resolution V at 5 axes);
    - up to as many as base axes: words of all but one;
    - more: words of an odd number of letters, of which no three can cancel out.
    """
    base = base_axes(axes, is_fraction=is_fraction)
    first, more = [1 << (base - 1 - i) for i in range(base)], axes - base
    if more <= 1:
        lengths: Sequence[int] = (base,)
    else:
        lengths = (base - 1,) if more <= base else range(3, base + 1, 2)
    words = (sum(word) for length in lengths for word in combinations(first, length))
    return first + [word for word, _ in zip(words, range(more), strict=False)]
