"""A table as a CSV file: full precision, nothing a spreadsheet would run, never half written."""

import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from sweeper.errors import writing

# A spreadsheet runs a cell that starts so as a formula (OWASP, CSV injection), also behind blanks
# or signs that it drops, and also in full width. An apostrophe before it makes it a text. What
# starts so behind apostrophes of its own gets one more, so that reading may take one away.
_FORMULA = re.compile(r"'*[\s\x00-\x20\x7f-\xa0\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠−﹢﹣﹦]")
_QUOTED = re.compile(r'[,"\n\r]')
_BLANK = ("\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write the table to `path`."""
    write_text([as_csv(table)], path)


def write_text(parts: Iterable[str], path: Path) -> None:
    """Write a file of UTF-8, as `write_bytes` does; half a character becomes an escape."""
    write_bytes((part.encode("utf-8", "backslashreplace") for part in parts), path)


def write_bytes(parts: Iterable[bytes], path: Path) -> None:
    """Write beside `path` and rename it: a reader sees the old file or the new one."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(parts)
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise


def read_csv(path: Path) -> pd.DataFrame:
    """A table that `write_csv` wrote, as the texts that went in."""
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    return found.rename(columns=_unescaped).map(_unescaped)


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
    return cells(column.astype(object).tolist())


def cells(values: Sequence[Any]) -> list[str]:
    """A cell for each value; few differ in most columns."""
    if set(map(type, values)) <= {str}:
        texts = {text: _text(text) for text in set(values)}
        return [texts[text] for text in values]
    # 1, 1.0 and True are one key of a dict, but not one cell
    written = {key: cell(key[1]) for key in {(type(value), value) for value in values}}
    return [written[type(value), value] for value in values]


def cell(value: Any) -> str:
    """One cell: a number as it is, a text escaped and quoted where it must be."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool):
        return json.dumps(value)
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    text = _escaped(text)
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _escaped(text: str) -> str:
    """A text that is a formula begins with an apostrophe; -1.5 is a number, whoever wrote it."""
    return f"'{text}" if _is_formula(text) else text


def _unescaped(text: str) -> str:
    return text[1:] if text.startswith("'") and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    bare = text.lstrip("'")
    return bare.startswith(_BLANK) or bool(_FORMULA.match(text) and not _NUMBER.fullmatch(text))
