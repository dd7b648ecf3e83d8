"""What can go wrong between a user's request and the first trial, each with its mend."""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

_LONGEST = 1_600
_ORDERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class RequestError(Exception):
    """The request was wrong: shown on stderr without a traceback, exit code 2."""


class DoesNotApply(Exception):
    """Raised by user code: this arm has no meaning for this model or data (status `skipped`)."""


class Pruned(BaseException):
    """Raised inside `report` once the pruner has given the trial up.

    A BaseException, so that a user's `except Exception` does not swallow it.
    """


class Preempted(BaseException):
    """Raised inside `report` once the trial's place is wanted back (SIGTERM or SIGUSR2 came).

    Catch it to leave a checkpoint in `workdir`, then raise it again: the trial goes on from there
    later. A BaseException, as Pruned is.
    """


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What keeps us from writing a file or folder, as one message with the mend."""
    try:
        yield
    except OSError as error:
        mend = "make room" if is_full(error) else "mend that"
        raise RequestError(
            f"cannot write {path} ({error.strerror or error}): {mend}, or go on in a copy of the "
            "results on another disk, with --outputs DIR; nothing that was recorded is lost."
        ) from error


def is_full(error: BaseException) -> bool:
    """Whether a disk had no more room, or the user's share of it was used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def legible(message: str) -> str:
    """A message for a terminal: what it would obey is spelt out, much is cut in the middle."""
    spelt = _ORDERS.sub(lambda found: repr(found[0])[1:-1], message)
    if len(spelt) <= _LONGEST:
        return spelt
    return f"{spelt[: _LONGEST * 3 // 4]} … {spelt[-_LONGEST // 4 :]}"


def nearest(name: str, known: Iterable[str], *, what: str) -> str:
    """One sentence that names the nearest real names to a mistyped one, or all of them."""
    known = list(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(c) for c in close)}?"
    if not known:
        return f"There are no {what}."
    shown = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
    return f"The {what} are: {shown}."
