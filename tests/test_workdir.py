"""Attempts that may overlap write into folders of their own, each a copy of the last one's."""

import shutil
from pathlib import Path

import pytest

from sweeper.executors import workdir


def begun(folder: Path, attempt: int) -> Path:
    return folder / workdir.begin(folder, attempt)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_first_attempt_begins_with_nothing_in_a_folder_that_was_not_there(
    tmp_path: Path,
) -> None:
    own = begun(tmp_path / "trial", 1)
    assert own == tmp_path / "trial/work-1" and names(own) == []


def test_an_attempt_goes_on_from_what_the_one_before_it_left(tmp_path: Path) -> None:
    (begun(tmp_path, 1) / "checkpoint").write_text("epoch 3")
    workdir.promote(tmp_path, 1)
    assert names(tmp_path) == ["work"]
    assert (begun(tmp_path, 2) / "checkpoint").read_text() == "epoch 3"


def test_an_attempt_that_was_given_up_writes_into_nobodys_checkpoint(tmp_path: Path) -> None:
    frozen = begun(tmp_path, 1)
    (frozen / "checkpoint").write_text("epoch 3")
    second = begun(tmp_path, 2)
    (frozen / "checkpoint").write_text("thawed")
    assert (second / "checkpoint").read_text() == "epoch 3"
    workdir.promote(tmp_path, 2)
    assert (tmp_path / "work/checkpoint").read_text() == "epoch 3"
    assert names(tmp_path) == ["work"]


def test_an_attempt_that_comes_back_first_leaves_the_later_one_its_folder(tmp_path: Path) -> None:
    (begun(tmp_path, 1) / "checkpoint").write_text("the first")
    begun(tmp_path, 2)
    workdir.promote(tmp_path, 1)
    assert names(tmp_path) == ["work", "work-2"]
    assert (tmp_path / "work/checkpoint").read_text() == "the first"


def test_what_a_sweep_that_died_left_is_taken_over_by_the_next(tmp_path: Path) -> None:
    for attempt in (1, 2, 10):
        (begun(tmp_path, attempt) / "checkpoint").write_text(f"attempt {attempt}")
    workdir.settle(tmp_path)
    assert (tmp_path / "work/checkpoint").read_text() == "attempt 10"
    assert names(tmp_path) == ["work"]
    workdir.settle(tmp_path)
    assert names(tmp_path) == ["work"]


def test_half_a_copy_is_never_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (begun(tmp_path, 1) / "checkpoint").write_text("whole")

    def dies(source: Path, made: Path, **_: object) -> None:
        made.mkdir()
        (made / "checkpoint").write_text("ha")
        raise OSError("the disk is full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="the disk is full"):
        patch.setattr(shutil, "copytree", dies)
        workdir.begin(tmp_path, 2)
    assert (begun(tmp_path, 3) / "checkpoint").read_text() == "whole"
    assert (begun(tmp_path, 2) / "checkpoint").read_text() == "whole"
