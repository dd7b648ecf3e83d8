"""A table as a CSV file: full precision, nothing a spreadsheet would run, never half written."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

# A spreadsheet runs a cell that starts so as a formula (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write the table beside `path` and rename it: a reader sees the old file or the new one."""
    text = as_csv(table)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """mkstemp makes files for the owner alone; a table is for whoever reads the folder."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def as_csv(table: pd.DataFrame) -> str:
    """Lines that end in a line feed; empty means not measured, floats as Python prints them.

    pandas' own writer takes three times as long on a table of 150,000 rows.
    """
    columns = [_cells(table[name]) for name in table.columns]
    header = ",".join(_text(str(name)) for name in table.columns)
    return "\n".join([header, *map(",".join, zip(*columns, strict=True))]) + "\n"


def _cells(column: "pd.Series[Any]") -> list[str]:
    if column.dtype == "float64":
        return ["" if v != v else repr(v) for v in column.tolist()]
    if column.dtype == "int64":
        return list(map(str, column.tolist()))
    written: dict[Any, str] = {}
    cells = []
    for value in column.astype(object).tolist():
        # 1, 1.0 and True are one key of a dict, but not one cell
        key = (type(value), value)
        if key not in written:
            written[key] = cell(value)
        cells.append(written[key])
    return cells


def cell(value: Any) -> str:
    """One cell: a number as it is, a text escaped and quoted where it must be."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return json.dumps(value)
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    if text.startswith(FORMULA):
        text = "'" + text
    if any(c in text for c in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text
