"""How curves are kept, and how SQLite's errors are said."""

# ruff: noqa: E501 - a case of a table is a line

import math
import sqlite3
from pathlib import Path

import pytest

from sweeper.folders import Outputs
from sweeper.records import decode_curve, encode_curve
from sweeper.store_file import explained


@pytest.mark.parametrize(
    "curve",
    [
        {},
        {"step": []},
        {"step": [0, 1], "loss": [0.1 + 0.2, None], "very long name": [1e-300, -0.0]},
        {"step": [0.5], "loss": [math.inf]},
    ],
)
def test_a_curve_is_read_back_to_the_last_bit(curve: dict[str, list[float | None]]) -> None:
    assert decode_curve(encode_curve(curve)) == curve


def test_not_a_number_survives_in_a_curve() -> None:
    (value,) = decode_curve(encode_curve({"step": [0], "loss": [math.nan]}))["loss"]
    assert value is not None and math.isnan(value)


def test_no_curve_is_an_empty_one() -> None:
    assert decode_curve(None) == {}


def test_a_curve_of_ten_thousand_points_is_one_small_value() -> None:
    curve: dict[str, list[float | None]] = {"step": [float(n) for n in range(10_000)]}
    assert len(encode_curve(curve)) < 40_000


@pytest.mark.parametrize(
    "name, says",
    [
        ("SQLITE_FULL", "is full: make room and run the same command again; nothing that was recorded is lost"),
        ("SQLITE_READONLY_DBMOVED", "cannot write to"),
        ("SQLITE_CANTOPEN", "choose another folder with --outputs DIR"),
        ("SQLITE_NOTADB", "is damaged or no store of sweeper"),
        ("SQLITE_CORRUPT_VTAB", "move it away (its CSV tables stay)"),
        ("SQLITE_BUSY", "another program keeps"),
        ("SQLITE_IOERR_FSYNC", "failed (what happened, SQLITE_IOERR_FSYNC): mend it and run the same command again"),
        ("SQLITE_INTERRUPT", "answered: what happened"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_said_with_the_place_and_the_mend(name: str, says: str) -> None:
    error = sqlite3.OperationalError("what happened")
    error.sqlite_errorname = name
    said = explained(Outputs(Path("results")), error)
    assert says in said and "results/sweeper.sqlite" in said
