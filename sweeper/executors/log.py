"""A trial's log: what its process, and those that it starts, write to standard output and error."""

import io
import os
import sys
from pathlib import Path
from typing import Any

from sweeper.folders import new_file


def log_to(path: Path) -> None:
    """Standard output and error go to the trial's log, line by line, also from grandchildren.

    Whatever a trial prints (half a character, say), and whether there is room for it, is no reason
    to end it: a disk that takes no more loses lines.
    """
    try:
        log = new_file(path, os.O_APPEND)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(_Lossy(number, "w", closefd=False)),
            encoding="utf-8", errors="backslashreplace", line_buffering=True,
        )
        for number in (1, 2)
    )  # fmt: skip


class _Lossy(io.FileIO):
    """A file that takes everything, and keeps what there is room for."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
