"""Loss curves out of anybody's CSV file: `epoch,train_loss,val_loss`, with accuracies or more."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeper.errors import RequestError, nearest
from sweeper.evidence.runs import Run

STEPS = ("epoch", "step")
LOSSES = ("train_loss", "val_loss")
ACCURACIES = ("train_accuracy", "val_accuracy")
MORE = ("running_loss", "grad_norm_first", "grad_norm_last", "dead_units", "dead_layer")
# What sets one trial's rows apart from another's, the first of which the file has.
APART = (("trial_id",), ("recipe", "arm", "seed"), ("arm", "seed"), ("arm",), ("seed",))
# What was minimised: a cross-entropy tells of accuracies, a square has a gradient of its own size.
MINIMISED = ("cross_entropy", "mse", "mae", "other")

_Row = dict[str, str]


def read_curves(path: Path, loss: str | None = None) -> list[Run]:
    """A run for each trial in the file, its loss a cross-entropy if accuracies stand beside it.

    An empty cell was not measured; NaN or inf in `train_loss` is a run that diverged. Raises
    RequestError where the file does not say what it should.
    """
    if loss is not None and loss not in MINIMISED:
        raise RequestError(f"--loss {loss}: " + nearest(loss, MINIMISED, what="losses"))
    header, rows = _read(path)
    step = _columns(path, header)
    if loss is None:
        loss = "cross_entropy" if ACCURACIES[0] in header else "other"
    trials: dict[tuple[str, ...], list[tuple[int, _Row]]] = {}
    apart = next((names for names in APART if set(names) <= set(header)), ())
    for number, row in rows:
        trials.setdefault(tuple(row[name] for name in apart), []).append((number, row))
    if max(map(len, trials.values()), default=0) < 2:
        count = f"{len(rows)} row{'s' * (len(rows) != 1)}" + " a trial" * (len(trials) > 1)
        raise RequestError(f"{path} has {count}: a trend takes several, one per {step}.")
    names = [name for name in (*LOSSES, *ACCURACIES, *MORE) if name in header]
    runs = [_run(path, own, step, names, loss) for own in trials.values()]
    if all(map(without_trend, runs)):
        raise RequestError(
            f"{path} has {without_trend(runs[0])}: trends are told as shares of a loss that begins "
            "above zero."
        )
    return runs


def without_trend(run: Run) -> str:
    """Why no trend of this run can be told, in words; empty where it can, or it diverged."""
    values = [v for v in run.curve["train_loss"] if v is not None and math.isfinite(v)]
    if values:
        return "" if values[0] > 0 else f"a train_loss that begins at {values[0]:g}"
    return "" if run.status == "diverged" else "no number in train_loss"


def _read(path: Path) -> tuple[list[str], list[tuple[int, _Row]]]:
    """The header, and each row with its number in the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror or error}: give a CSV file.") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not UTF-8: is it a CSV file? Save it so.") from None
    except csv.Error as error:
        raise RequestError(f"{path} is no CSV file ({error}): save it with commas.") from None
    for number, cells in rows:
        if len(cells) != len(header):
            raise RequestError(
                f"{path}, row {number}: {len(cells)} cells under {len(header)} columns."
            )
    return header, [(n, dict(zip(header, cells, strict=True))) for n, cells in rows]


def _columns(path: Path, header: Sequence[str]) -> str:
    """The name of the step; RequestError where a column is missing or stands twice."""
    if not any(header):
        raise RequestError(f"{path} is empty: its first row names epoch,train_loss,val_loss.")
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise RequestError(f"{path} has one column, {header[0]!r}: separate columns by commas.")
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        raise RequestError(f"{path} has the column {twice[0]!r} twice: keep one.")
    step = next((name for name in STEPS if name in header), None)
    missing = [name for name in LOSSES if name not in header]
    if step is None or missing:
        lacks = [*([] if step else ["epoch"]), *missing]
        raise RequestError(
            f"{path} has no column {' or '.join(map(repr, lacks))}: its columns are "
            f"{', '.join(header)}, and epoch,train_loss,val_loss are needed."
        )
    return step


def _run(
    path: Path, rows: Sequence[tuple[int, _Row]], step: str, names: Sequence[str], loss: str
) -> Run:
    curve = {name: [_number(path, n, name, row[name]) for n, row in rows] for name in names}
    steps = _steps(path, rows, step)
    for name in ACCURACIES:
        _check_shares(path, rows, name, curve.get(name, ()))
    has_ended = any(v is not None and not math.isfinite(v) for v in curve["train_loss"])
    about = rows[0][1]
    seed = about.get("seed", "")
    return Run(
        about.get("arm", ""), int(seed) if seed.isdecimal() else -1, "report",
        about.get("trial_id", ""), "diverged" if has_ended else "done", loss=loss,
        curve={"step": list(steps), **curve},
    )  # fmt: skip


def _steps(path: Path, rows: Sequence[tuple[int, _Row]], step: str) -> list[float]:
    steps: list[float] = []
    for number, row in rows:
        value = _number(path, number, step, row[step])
        if value is None or not math.isfinite(value):
            raise RequestError(f"{path}, row {number}: {step} {row[step]!r} is no number.")
        if steps and value <= steps[-1]:
            how = "stands twice: keep one row" if value == steps[-1] else (
                f"comes after {steps[-1]:g}: sort the rows"
            )  # fmt: skip
            raise RequestError(f"{path}, row {number}: {step} {value:g} {how}.")
        steps.append(value)
    return steps


def _number(path: Path, number: int, name: str, cell: str) -> float | None:
    cell = cell.strip()
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        raise RequestError(f"{path}, row {number}: {name} {cell!r} is no number.") from None


def _check_shares(
    path: Path, rows: Sequence[tuple[int, Mapping[str, str]]], name: str,
    values: Sequence[float | None],
) -> None:  # fmt: skip
    for (number, _), value in zip(rows, values, strict=False):
        if value is not None and not 0 <= value <= 1 and not math.isnan(value):
            raise RequestError(
                f"{path}, row {number}: {name} {value:g} is no share of one: write 0.97, not 97."
            )
