"""Loss curves out of somebody's CSV file: what is read, and what is refused in one sentence."""

# ruff: noqa: E501 - a case of a table is a line

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.cli import _guarded
from sweeper.errors import RequestError
from sweeper.evidence.curvefile import read_curves
from sweeper.evidence.diagnosis import names

HEAD = "epoch,train_loss,val_loss"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(text: str | bytes) -> Path:
        path = tmp_path / "log.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return file


def falling(step: str = "epoch", more: str = "", cells: str = "") -> str:
    rows = [f"{t},{2.3 * 0.7**t},{2.3 * 0.75**t}{cells}" for t in range(8)]
    return "\n".join([f"{step},train_loss,val_loss{more}", *rows])


REFUSED = {
    "empty": ("", "is empty: its first row names epoch,train_loss,val_loss."),
    "only a header": (HEAD, "has 0 rows: a trend takes several, one per epoch."),
    "one row": (f"{HEAD}\n0,1,2", "has 1 row: a trend takes several, one per epoch."),
    "no such column": ("epoch,loss,val_loss\n0,1,2", "has no column 'train_loss': its columns are epoch, loss, val_loss, and epoch,train_loss,val_loss are needed."),
    "no epoch": ("train_loss,val_loss\n1,2", "has no column 'epoch': its"),
    "a column twice": (f"{HEAD},val_loss\n0,1,2,3", "has the column 'val_loss' twice: keep one."),
    "semicolons": ("epoch;train_loss;val_loss\n0;1;2", "separate columns by commas."),
    "a text": (f"{HEAD}\n0,1,2\n1,low,2", "row 3: train_loss 'low' is no number."),
    "an epoch of text": (f"{HEAD}\n0,1,2\nlast,1,2", "row 3: epoch 'last' is no number."),
    "no epoch in a row": (f"{HEAD}\n0,1,2\n,1,2", "row 3: epoch '' is no number."),
    "a short row": (f"{HEAD}\n0,1,2\n1,2", "row 3: 2 cells under 3 columns."),
    "unsorted": (f"{HEAD}\n0,1,2\n2,1,2\n1,1,2", "row 4: epoch 1 comes after 2: sort the rows."),
    "an epoch twice": (f"{HEAD}\n0,1,2\n1,1,2\n1,1,2", "row 4: epoch 1 stands twice: keep one row."),
    "percent": (f"{HEAD},train_accuracy\n0,2,2,10\n1,1,1,97", "row 2: train_accuracy 10 is no share of one: write 0.97, not 97."),
    "no loss at all": (f"{HEAD}\n0,,1\n1,,2", "has no number in train_loss"),
    "a negative loss": (f"{HEAD}\n0,-1,1\n1,-2,1", "has a train_loss that begins at -1: trends are told as shares"),
    "no text": (bytes(range(256)), "is not UTF-8: is it a CSV file?"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused(write: Write, text: str | bytes, message: str) -> None:
    path = write(text)
    with pytest.raises(RequestError) as refused:
        read_curves(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)


def test_a_file_that_is_not_there_a_folder_and_an_unknown_loss(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(RequestError, match="give a CSV file"):
            read_curves(path)
    with pytest.raises(RequestError, match="Did you mean 'cross_entropy'"):
        read_curves(tmp_path / "none.csv", "crossentropy")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(falling(), id="plain"),
        pytest.param(falling("step", ",lr,note", ",0.1,hello"), id="steps and more columns"),
        pytest.param("\ufeff" + falling().replace("\n", "\r\n") + "\r\n\r\n", id="a spreadsheet's"),
    ],
)
def test_a_net_that_learns(write: Write, text: str) -> None:
    (run,) = read_curves(write(text))
    assert names(run) == {"R1"}


def test_nan_in_the_middle_is_a_run_that_diverged_and_an_empty_cell_is_not(write: Write) -> None:
    (gone,) = read_curves(write(f"{HEAD}\n0,2.3,2.3\n1,1,1\n2,nan,nan\n3,nan,nan"))
    (gap,) = read_curves(write(falling().replace("\n3,", "\n2.5,,\n3,")))
    assert "diverged" in names(gone)
    assert names(gap) == {"R1"}


def test_accuracies_make_the_loss_a_cross_entropy(write: Write) -> None:
    rows = "\n".join(f"{t},0.09,0.09,0.1" for t in range(6))  # where ten classes start under mse
    path = write(f"{HEAD},train_accuracy\n{rows}")
    assert "R7" in names(read_curves(path)[0])
    assert "R7" not in names(read_curves(path, "mse")[0])


def test_the_command_gives_each_trial_a_line_and_each_name_its_sentences(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = "".join(f"\nstuck,0,{t},2.3,2.3" for t in range(8))
    learns = "".join(f"\nlearns,1,{t},{2.3 * 0.7**t},{2.3 * 0.75**t}" for t in range(8))
    path = write(f"arm,seed,step,train_loss,val_loss{stuck}{learns}")
    assert _guarded(["diagnose", str(path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["stuck, seed 0: R4, R9", "learns, seed 1: R1"]
    assert [line.split(":")[0] for line in said if line[:1] == "R"] == ["R1", "R4", "R9"]
    assert "  Tested by `sweeper run train_loss_not_falling`." in said


def test_the_command_says_where_a_run_diverged_and_that_nothing_is_wrong(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(f"{HEAD}\n0,2.3,2.3\n10,1,1\n20,nan,nan")
    assert _guarded(["diagnose", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: diverged at 20, lr_too_large\n")
    fine = "\n".join(f"{t},{0.01 + 2 * 0.2**t},{0.05 + 2 * 0.2**t}" for t in range(12))
    assert _guarded(["diagnose", str(write(f"{HEAD}\n{fine}"))]) == 0
    assert capsys.readouterr().out == f"{path}: nothing wrong is seen.\n"


def test_a_trial_of_which_nothing_can_be_told_hides_no_other_one(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = "".join(f"\nfine,{t},{0.01 + 2 * 0.2**t}," for t in range(12))
    at_once = "\nat_once,0,nan,2\nat_once,1,nan,nan"
    path = write(f"arm,{HEAD}{fine}{at_once}\nbelow,0,-2,-2\nbelow,1,-1,-1\nnone,0,,1")
    assert _guarded(["diagnose", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "fine: nothing wrong is seen in train_loss; val_loss has no number.",
        "at_once: diverged at 0",
        "below: no trend is told: it has a train_loss that begins at -2.",
        "none: no trend is told: it has no number in train_loss.",
    ]


def test_the_command_refuses_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _guarded(["diagnose", str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err.startswith("sweeper: ")
    assert _guarded(["diagnose"]) == 2
