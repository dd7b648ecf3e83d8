"""Experiment sweeps for ablation studies: recipes in, comparative tables and verdicts out."""

import sys

# `python -m sweeper` puts the current folder first on the path, where a `typing.py` of anybody's
# would be imported in the library's place; only what Python itself reads before is beyond us.
if (sys.argv[:1], sys.flags.safe_path) == (["-m"], False) and (
    "m sweeper " in f"{' '.join(sys.orig_argv)} "
):
    del sys.path[0]

from typing import TYPE_CHECKING, Any

from sweeper.errors import DoesNotApply, Preempted, Pruned, RequestError

if TYPE_CHECKING:
    from sweeper.api import load, run

__version__ = "0.1.0"
__all__ = ["DoesNotApply", "Preempted", "Pruned", "RequestError", "__version__", "load", "run"]


def __getattr__(name: str) -> Any:
    """`sweeper.run` and `sweeper.load` load their modules when first asked for."""
    if name in ("load", "run"):
        from sweeper import api

        return getattr(api, name)
    raise AttributeError(f"module 'sweeper' has no attribute {name!r}")
