"""Digests of modules and data sets: what counts, and what is not read twice."""

import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper import fingerprint
from sweeper.fingerprint import (
    DataSets,
    Imported,
    calls_user_code,
    digest_of_file,
    imported,
    named_paths,
)
from sweeper.training.checkpoint import Checkpoint


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, from which modules may be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def data_sets(folder: Path) -> DataSets:
    return DataSets(folder / "outputs/cache", folder / "outputs")


def test_a_digest_is_that_of_the_bytes(folder: Path) -> None:
    (folder / "a").write_bytes(b"abc")
    assert digest_of_file("a") == "ba7816bf8f01cfea"  # of FIPS 180-2, appendix B.1
    assert digest_of_file("nowhere") is None
    assert digest_of_file(folder) is None


def test_of_a_large_file_size_and_blocks_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "WHOLE_BYTES", 1 << 20)
    size = 64 << 20
    content = bytearray(size)
    found = set()
    for at in (None, 0, size - 1):
        if at is not None:
            content[at] ^= 1
        (folder / "large").write_bytes(content)
        found.add(digest_of_file("large"))
    (folder / "large").write_bytes(content[:-1])
    assert len(found | {digest_of_file("large")}) == 4


def test_what_was_imported_since_counts_by_its_path_and_libraries_do_not(folder: Path) -> None:
    (folder / "before.py").write_text("")
    (folder / "mine").mkdir()
    (folder / "mine/__init__.py").write_text("import this_one_is_mine_too, json, yaml")
    (folder / "this_one_is_mine_too.py").write_text("")
    importlib.import_module("before")
    seen = Imported()
    seen.begin()
    importlib.import_module("mine")
    assert sorted(seen.digests()) == ["mine/__init__.py", "this_one_is_mine_too.py"]


def test_looking_back_finds_what_the_current_folder_gave_before(folder: Path) -> None:
    (folder / "before.py").write_text("")
    importlib.import_module("before")
    seen = Imported()
    seen.look_back()
    assert list(seen.digests()) == ["before.py"]


def test_a_digest_is_that_of_what_was_imported_not_of_what_was_written_later(folder: Path) -> None:
    (folder / "edited.py").write_text("")
    seen = Imported()
    seen.begin()
    module = importlib.import_module("edited")
    seen.see()
    first = seen.digests()
    (folder / "edited.py").write_text("later = True")
    assert seen.digests() == first
    importlib.reload(module)
    assert seen.digests() != first


def test_a_module_that_is_taken_out_and_imported_again_counts_again(folder: Path) -> None:
    (folder / "again.py").write_text("")
    seen = Imported()
    seen.begin()
    importlib.import_module("again")
    first = seen.digests()
    del sys.modules["again"]
    assert seen.digests() == {}
    (folder / "again.py").write_text("edited = True")
    importlib.import_module("again")
    assert seen.digests().keys() == {"again.py"} and seen.digests() != first


def test_a_trial_that_goes_elsewhere_names_its_modules_as_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "goes.py").write_text("")
    seen = Imported()
    seen.begin()
    importlib.import_module("goes")
    monkeypatch.chdir("/")
    assert list(seen.digests()) == ["goes.py"]


def test_a_checkpoint_of_other_code_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"model": {"_target_": "net.Net"}}
    (folder / "net.py").write_text("")
    imported.begin()
    module = importlib.import_module("net")
    Checkpoint(folder, config, 0, "cpu").write({"progress": {"epochs": 3}})
    assert Checkpoint(folder, config, 0, "cpu").read() == {"progress": {"epochs": 3}}
    (folder / "net.py").write_text("edited = True")
    importlib.reload(module)
    assert Checkpoint(folder, config, 0, "cpu").read() is None
    assert "is not used (ValueError: its source is " in "".join(capsys.readouterr())


def test_only_what_is_not_ours_is_the_users() -> None:
    ours = {"task": {"_target_": "sweeper.training.loop.train"}, "data": {"path": "x"}}
    assert not calls_user_code(ours)
    assert calls_user_code({**ours, "model": {"_target_": "mine.Net"}})


@pytest.mark.parametrize(
    "config, paths",
    [
        pytest.param(
            {"data": {"_target_": "sweeper.training.data.folder", "path": "p", "split": "random"}},
            ["p"], id="built-in data has one key for it",
        ),
        pytest.param(
            {"model": {"_target_": "sweeper.training.models.mlp", "norm": "batch"}},
            [], id="built-in models have none",
        ),
        pytest.param(
            {"task": {"_target_": "my.train", "a": {"b": ["c", 1]}, "d": None, "name": "my"}},
            ["c"], id="any text of the user's may be one",
        ),
        pytest.param({"optim": {"_target_": "my.Optimizer", "path": "p"}}, [], id="other groups"),
    ],
)  # fmt: skip
def test_the_texts_that_may_be_paths(
    config: dict[str, dict[str, object]], paths: list[str]
) -> None:
    assert list(named_paths(config)) == paths


@pytest.mark.parametrize(
    "text", ["", ".", "..", "/", "outputs", "relu", "a\0b", "x" * 5000, "/dev/null"]
)
def test_what_is_no_data_set(folder: Path, data_sets: DataSets, text: str) -> None:
    (folder / "outputs").mkdir()
    assert data_sets.of({"task": {"_target_": "my.train", "text": text}}) == {}


def test_a_link_that_leads_round_ends(folder: Path, data_sets: DataSets) -> None:
    (folder / "set/deep").mkdir(parents=True)
    (folder / "set/deep/a").write_text("a")
    (folder / "set/deep/round").symlink_to(folder / "set")
    (folder / "set/dangling").symlink_to(folder / "nowhere")
    digest = data_sets.digest("set")
    assert digest is not None and list(data_sets.listings[digest]) == ["deep/a"]


def test_a_second_command_reads_sizes_and_times_alone(
    folder: Path, data_sets: DataSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "set").mkdir()
    for name in "ab":
        (folder / "set" / name).write_text(name)
        os.utime(folder / "set" / name, (1, 1))
    first = data_sets.digest("set")
    read: list[str] = []

    def reading(path: str | Path) -> str | None:
        read.append(Path(path).name)
        return digest_of_file(path)

    monkeypatch.setattr(fingerprint, "digest_of_file", reading)
    assert DataSets(folder / "outputs/cache", folder).digest("set") == first
    assert read == []
    os.utime(folder / "set/b", (2, 2))
    assert DataSets(folder / "outputs/cache", folder).digest("set") == first
    assert read == ["b"]


def test_a_file_written_just_before_it_was_read_is_read_again(
    folder: Path, data_sets: DataSets
) -> None:
    file = folder / "points"
    file.write_text("old")
    time_ns = time.time_ns()
    os.utime(file, ns=(time_ns, time_ns))
    before = data_sets.digest("points")
    file.write_text("new")
    os.utime(file, ns=(time_ns, time_ns))  # within a tick of the clock: same size, same time
    assert DataSets(folder / "outputs/cache", folder).digest("points") != before


def test_a_cache_that_is_damaged_or_cannot_be_written_costs_time_alone(
    folder: Path, data_sets: DataSets
) -> None:
    (folder / "points").write_text("x")
    first = data_sets.digest("points")
    (kept,) = (folder / "outputs/cache/fingerprints").iterdir()
    kept.write_text("{")
    assert DataSets(folder / "outputs/cache", folder).digest("points") == first
    (folder / "file").write_text("")
    assert DataSets(folder / "file", folder).digest("points") == first
