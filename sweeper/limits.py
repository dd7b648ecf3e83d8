"""How much one request may come to: what would fill the memory or never end is refused at once."""

import math
from itertools import accumulate
from typing import Any

from sweeper.errors import RequestError

MOST_SEEDS = 10_000
MOST_OF_LOOKS = 100  # the levels of more looks would take seconds to work out
MOST_ARMS = 10_000
MOST_CELLS = 100_000
# In one recipe, and in the value of one axis.
MOST_VALUES = 100_000
MOST_IN_A_VALUE = 10_000
# In one configuration; one that yields a list counts for more.
MOST_INTERPOLATIONS = 1_000
# Hydra's parser needs a millisecond for each number of a list.
MOST_OF_AN_OVERRIDE = 10_000
MOST_OF_A_FILE = 2**18
# OmegaConf and YAML call themselves for each level, and Python's stack is finite.
MOST_LEVELS = 30
# Beyond any that means something; Python writes none of more than 4,300 digits.
_MOST_BITS = 1024
MOST_SLOTS = 1_000
MOST_SECONDS = 2_000_000  # poll counts milliseconds in 31 bits
MOST_MIB = 2**40  # what the kernel's limits can hold


def nesting(text: str) -> int:
    """How many brackets are open at once at most, those within quotes included."""
    steps = ((c in "[{(") - (c in "]})") for c in text)
    return max(accumulate(steps), default=0)


def check_size(value: Any, most: int) -> None:
    """Raises RequestError for what is too much or too deep to be walked through, or is no text.

    What an alias of YAML names counts each time it stands, as it is walked through each time.
    """
    count, levels = _measured(value, {})
    if levels > MOST_LEVELS:
        raise RequestError(
            f"values are nested more than {MOST_LEVELS} levels deep: write them flatter."
        )
    if count > most:
        raise RequestError(
            f"this comes to more than {most} values (an alias counts each time it stands): "
            "write fewer."
        )


def _measured(value: Any, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """How many values it holds, and how many levels deep; inf where it holds itself."""
    if not isinstance(value, dict | list | tuple | set):
        _check_scalar(value)
        return 1, 0
    if id(value) not in known:
        known[id(value)] = (math.inf, math.inf)  # until it is known
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        found = [_measured(item, known) for item in inside]
        known[id(value)] = (
            1 + sum(count for count, _ in found),
            1 + max((levels for _, levels in found), default=0),
        )
    return known[id(value)]


def _check_scalar(value: Any) -> None:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise RequestError("a whole number has more than 300 digits: write a smaller one.")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RequestError(
                f"{value!r} cannot be recorded: it holds half a character."
            ) from None
