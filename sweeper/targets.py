"""The door to user code: a dotted path becomes an object, if its module is allowed."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sweeper.errors import DoesNotApply, RequestError

OWN = "sweeper."
_allowed: tuple[str, ...] = (OWN,)


def allow(prefixes: Iterable[str]) -> None:
    """Admit these module prefixes in this process, beside the package's own."""
    global _allowed
    _allowed = (OWN, *prefixes)


def load(path: str) -> Any:
    """Import `package.module.name` and return what it names.

    The prefix is checked on the resolved object too (its own module), since an allowed module
    may merely import a forbidden one. Raises RequestError with the mend.
    """
    if not _is_allowed(path):
        raise RequestError(
            f"_target_ {path!r} is not allowed: add --allow {path.split('.')[0]} "
            "(or set SWEEPER_ALLOW) if you trust that code."
        )
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise RequestError(f"_target_ {path!r} has no module: write module.{path}.")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        if error.name and not (module_name + ".").startswith(error.name + "."):
            raise  # a module that the user's code imports is missing: the traceback says which
        raise RequestError(
            f"_target_ {path!r}: there is no module {error.name!r} in the current folder or in "
            "this environment."
        ) from None
    except AttributeError:
        raise RequestError(f"_target_ {path!r}: module {module_name!r} has no {name!r}.") from None
    home = f"{getattr(found, '__module__', '') or ''}.{getattr(found, '__qualname__', name)}"
    if not callable(found):
        raise RequestError(f"_target_ {path!r} is a {type(found).__name__}, not a callable.")
    if not _is_allowed(home):
        raise RequestError(
            f"_target_ {path!r} is really {home!r}, which is not allowed: "
            f"add --allow {home.split('.')[0]} if you trust that code."
        )
    return found


def _is_allowed(path: str) -> bool:
    return any(path == p or path.startswith(p.rstrip(".") + ".") for p in _allowed)


def parameters(function: Callable[..., Any]) -> tuple[set[str], bool]:
    """The names that `function` takes as keywords, and whether it takes any (`**kwargs`)."""
    found = inspect.signature(function).parameters.values()
    keyword = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found)
    return {p.name for p in found if p.kind in keyword}, takes_any


def call(path: str, values: Mapping[str, Any], offered: Mapping[str, Any] | None = None) -> Any:
    """Call the target with `values` and, of `offered`, with what its signature names.

    Raises DoesNotApply where the signature lacks a key of `values`.
    """
    function = load(path)
    known, takes_any = parameters(function)
    foreign = [] if takes_any else sorted(set(values) - known)
    if foreign:
        raise DoesNotApply(
            f"{path} takes no {', '.join(map(repr, foreign))}; it takes {sorted(known)}"
        )
    extra = {k: v for k, v in (offered or {}).items() if k in known and k not in values}
    return function(**values, **extra)
