"""What can go wrong between a user's request and the first trial, each with its mend."""

from collections.abc import Iterable
from difflib import get_close_matches


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
