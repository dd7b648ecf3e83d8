"""The user's part of a trial's folder where attempts may overlap: each has one of its own.

`work` is what the last settled attempt left. An attempt beyond this machine writes to `work-<n>`,
which starts as a copy of the newest and becomes `work` when the attempt has ended: one that was
given up as lost, and comes back, writes into nobody's checkpoint.
"""

import re
import shutil
from pathlib import Path

SETTLED = "work"


def begin(folder: Path, attempt: int) -> str:
    """Make the attempt's own part, a copy of what the one before it left; returns its name."""
    name = f"{SETTLED}-{attempt}"
    last = max((n for n in _unsettled(folder) if n < attempt), default=None)
    source = folder / (SETTLED if last is None else f"{SETTLED}-{last}")
    made = folder / f".{name}"  # renamed at the end, so that half a copy is never gone on from
    shutil.rmtree(made, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, made, symlinks=True)
    else:
        made.mkdir(parents=True)
    made.rename(folder / name)
    return name


def promote(folder: Path, attempt: int) -> None:
    """The attempt has ended: what it left is where the next one goes on, in any executor."""
    own, settled, old = (folder / name for name in (f"{SETTLED}-{attempt}", SETTLED, ".work-old"))
    if own.is_dir():
        shutil.rmtree(old, ignore_errors=True)
        if settled.exists():
            settled.rename(old)
        own.rename(settled)
        shutil.rmtree(old, ignore_errors=True)
    for earlier in _unsettled(folder):
        if earlier < attempt:
            shutil.rmtree(folder / f"{SETTLED}-{earlier}", ignore_errors=True)


def settle(folder: Path) -> None:
    """Take over what the last attempt of a sweep that died has left, newer than `work`."""
    left = _unsettled(folder)
    if left:
        promote(folder, max(left))


def _unsettled(folder: Path) -> list[int]:
    names = (re.fullmatch(rf"{SETTLED}-(\d+)", path.name) for path in folder.glob(f"{SETTLED}-*"))
    return [int(name[1]) for name in names if name]
