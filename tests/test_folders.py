"""Where things lie."""

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
