"""Where things lie."""

import os
from pathlib import Path

import pytest

from sweeper import folders
from sweeper.errors import RequestError
from sweeper.folders import Outputs


@pytest.mark.parametrize("name", ["conf", "recipes"])
def test_the_users_folders_come_before_ours_in_the_order_given(tmp_path: Path, name: str) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    found = folders.search(name, [tmp_path / "first", str(tmp_path / "second")])
    assert found[:2] == [tmp_path / "first", tmp_path / "second"]
    assert found[2].name == name and list(found[2].glob("*"))


@pytest.mark.parametrize("name", ["conf", "recipes"])
def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for missing in ("nowhere", "file"):
        with pytest.raises(RequestError) as refused:
            folders.search(name, [tmp_path / missing])
        assert str(refused.value) == f"--{name} {tmp_path / missing}: there is no such folder."


def test_everything_lies_under_the_folder_of_results() -> None:
    outputs = Outputs(Path("results"))
    assert outputs.store == Path("results/sweeper.sqlite")
    assert outputs.reproduction == Path("results/reproduction.csv")
    assert outputs.recipe("tiny") == Path("results/tiny")
    assert outputs.trial("abc") == Path("results/trials/abc")
    assert {outputs.lock.parent, outputs.cache.parent} == {Path("results")}


@pytest.mark.parametrize("name", ["../tiny", "/tiny", "a/b", "..", "", ".", "a\0b"])
def test_the_name_of_a_plan_leads_nowhere_else(name: str) -> None:
    with pytest.raises(RequestError, match="which no version of sweeper writes: use a store of"):
        Outputs(Path("results")).recipe(name)


def test_what_is_made_in_private_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with folders.private():
            (tmp_path / "a" / "b").mkdir(parents=True)
            (tmp_path / "a" / "file").touch()
        (tmp_path / "open").touch()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    modes = {p.name: oct(p.stat().st_mode & 0o777) for p in tmp_path.rglob("*")}
    assert modes == {"a": "0o700", "b": "0o700", "file": "0o600", "open": "0o644"}


def test_a_link_in_the_place_of_a_file_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        folders.new_file(tmp_path / "link", os.O_APPEND)
    assert not (tmp_path / "elsewhere").exists()
