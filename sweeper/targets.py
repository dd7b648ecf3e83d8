"""The door to user code: a dotted path becomes an object, if its module is allowed.

What is allowed comes from the command line, from Python or from SWEEPER_ALLOW: never from a
configuration, a recipe, or anything under outputs.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from sweeper.errors import DoesNotApply, RequestError
from sweeper.fingerprint import imported

OWN = "sweeper."
# Of our own modules a configuration may call these alone: `sweeper.api.run` takes an `allow`.
_CALLABLE = tuple(
    f"{OWN}training.{module}"
    for module in ("data", "models", "loop", "checks", "surface", "adversarial")
)
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_allowed: tuple[str, ...] = ()


def allow(prefixes: Iterable[str]) -> None:
    """Admit these module prefixes in this process, beside the package's own."""
    global _allowed
    _allowed = tuple(prefixes)


def check_prefixes(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The prefixes as they count. Raises RequestError for what is no dotted name."""
    if isinstance(prefixes, str):
        raise RequestError(f"allow is a list of prefixes, as in [{prefixes!r}].")
    given = list(prefixes)
    for prefix in given:
        if not _DOTTED.fullmatch(str(prefix).removesuffix(".")):
            raise RequestError(
                f"--allow {prefix!r} is no module: write a name such as my_models, which admits "
                "all that is defined in it and below it."
            )
    return tuple(str(prefix).removesuffix(".") for prefix in given)


def load(path: str) -> Any:
    """Import `package.module.name` and return what it names.

    The prefix is checked on the resolved object too (where it was defined), since an allowed
    module may merely import a forbidden one. Raises RequestError with the mend.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name and _DOTTED.fullmatch(path):
        raise RequestError(f"_target_ {path!r} has no module: write module.{path}.")
    if not _DOTTED.fullmatch(path):
        raise RequestError(f"_target_ {path!r} is no dotted name: write module.name.")
    if not _is_allowed(path):
        raise RequestError(f"_target_ {path!r} is not allowed: {_mend(path)}")
    found = _import(path, module_name, name)
    if not path.startswith(OWN):
        imported.see()  # now: the user may edit the file while the trial runs
    if not callable(found):
        raise RequestError(f"_target_ {path!r} is a {type(found).__name__}, not a callable.")
    for home in _homes(found):
        if not _is_allowed(home):
            raise RequestError(
                f"_target_ {path!r} is really {home!r}, which is not allowed: {_mend(home)}"
            )
    return found


def _mend(path: str) -> str:
    if path.startswith(OWN):
        return "of this package's own code only its data, models and training may be named."
    return f"add --allow {path.split('.')[0]} (or set SWEEPER_ALLOW) if you trust that code."


def _import(path: str, module_name: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        if error.name and not (module_name + ".").startswith(error.name + "."):
            raise  # a module that the user's code imports is missing: the traceback says which
        raise RequestError(
            f"_target_ {path!r}: there is no module {error.name!r} in the current folder or in "
            "this environment."
        ) from None
    except AttributeError as error:
        if error.name != name:
            raise  # a mistake within the user's module
        raise RequestError(f"_target_ {path!r}: module {module_name!r} has no {name!r}.") from None


def _homes(found: Any) -> Iterator[str]:
    """Where everything was defined that a call of this object would call at once.

    What an instance says of itself does not count, but where its class was defined does.
    """
    if isinstance(found, functools.partial):
        yield from _homes(found.func)
    elif isinstance(found, MethodType):
        yield from _homes(found.__func__)
    elif isinstance(found, type | FunctionType | BuiltinFunctionType):
        yield f"{found.__module__ or 'builtins'}.{found.__qualname__}"
    elif isinstance(found, functools._lru_cache_wrapper):
        yield from _homes(found.__wrapped__)
    else:
        yield from _homes(type(found))


def _is_allowed(path: str) -> bool:
    return any(path == p or path.startswith(f"{p}.") for p in (*_CALLABLE, *_allowed))


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
            f"{path} takes no {', '.join(map(repr, foreign))}; it takes {sorted(known) or 'none'}"
        )
    extra = {k: v for k, v in (offered or {}).items() if k in known and k not in values}
    return function(**values, **extra)
