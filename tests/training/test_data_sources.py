"""Sources return arrays, or say which file is at fault."""

import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweeper.errors import RequestError
from sweeper.training import data

CAPTCHA: dict[str, Any] = {
    "seed": 5, "images": 30, "classes": 10, "image_size": 16, "colors": "any_pair",
    "background": "plain", "dots": 0, "dot_size": 2.0, "lines": 0, "rotation": 0.0,
    "size_jitter": 0.0, "noise": 0.0,
}  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    before = data._cache
    data.cache_at(tmp_path / "cache")
    yield tmp_path / "cache"
    data.cache_at(before)


def test_digits_are_offered_as_pixels_up_to_255() -> None:
    x, y = data.digits()
    assert (x.shape, x.max(), sorted(set(y))) == ((1797, 8, 8), 255.0, list(range(10)))


def test_diabetes_comes_in_raw_units() -> None:
    x, y = data.diabetes()
    assert (x.shape, y.shape, y.dtype.kind) == ((442, 10), (442,), "f")
    assert x[:, 0].max() > 70  # years


def test_a_pool_is_the_same_from_the_cache_and_without(cache: Path) -> None:
    first, again = data.captcha(**CAPTCHA), data.captcha(**CAPTCHA)
    assert isinstance(again[0], np.memmap)
    data.cache_at(None)
    fresh = data.captcha(**CAPTCHA)
    for kept in (first, again):
        assert np.array_equal(kept[0], fresh[0])
        assert np.array_equal(kept[1], fresh[1])


class Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("how", ["pickle", "array_of_objects", "torn", "empty", "archive"])
def test_what_was_planted_in_the_cache_is_made_anew_and_never_unpickled(
    cache: Path, tmp_path: Path, how: str
) -> None:
    pixels = np.array(data.captcha(**CAPTCHA)[0])
    canary = tmp_path / "canary"
    bomb = np.array([Bomb(canary)], dtype=object)
    for file in cache.glob("captcha-*.npy"):
        whole = file.read_bytes()
        if how == "pickle":
            file.write_bytes(pickle.dumps(Bomb(canary)))
        elif how == "array_of_objects":
            np.save(file, bomb, allow_pickle=True)
        elif how == "archive":
            with file.open("wb") as opened:
                np.savez(opened, x=bomb)
        else:
            file.write_bytes(whole[: len(whole) // 2] if how == "torn" else b"")
    again = data.captcha(**CAPTCHA)[0]
    assert np.array_equal(again, pixels)
    assert isinstance(again, np.memmap)
    assert not canary.exists()


def test_a_lock_that_leads_elsewhere_is_not_followed(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        data.captcha(**{**CAPTCHA, "seed": 99})
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_full_disk_costs_the_cache_and_not_the_trial(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    assert len(data.captcha(**{**CAPTCHA, "seed": 98})[1]) == CAPTCHA["images"]
    assert [file.name for file in cache.iterdir()] == [".lock"]


def test_labels_of_a_pool_are_its_characters() -> None:
    assert sorted(set(data.captcha(**{**CAPTCHA, "classes": 12})[1])) == list("0123456789AB")


def _render_and_count(folder: Path, log: Path) -> None:
    data.cache_at(folder)
    render = data.characters.render

    def counted(**options: Any) -> Any:
        with log.open("a") as file:
            file.write("rendered\n")
        return render(**options)

    data.characters.render = counted  # type: ignore[assignment]
    data.captcha(**{**CAPTCHA, "images": 2000})


def test_two_processes_that_need_one_pool_at_once_render_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    both = [
        context.Process(target=_render_and_count, args=(tmp_path / "cache", log)) for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [p.exitcode for p in both] == [0, 0]
    assert log.read_text() == "rendered\n"


def picture(file: Path, color: tuple[int, int, int]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10), color).save(file)


def test_a_folder_gives_a_class_per_sub_folder(tmp_path: Path) -> None:
    picture(tmp_path / "red" / "a.png", (255, 0, 0))
    picture(tmp_path / "blue" / "b.png", (0, 0, 255))
    picture(tmp_path / "blue" / "a.jpg", (0, 0, 250))
    (tmp_path / "blue" / "notes.txt").write_text("not an image")
    x, y = data.folder(str(tmp_path), image_size=8)
    assert (x.shape, y.tolist()) == ((3, 8, 8, 3), ["blue", "blue", "red"])
    assert x[2].reshape(-1, 3).tolist() == [[255, 0, 0]] * 64


def test_a_folder_at_fault_is_named(tmp_path: Path) -> None:
    def message(folder: Path) -> str:
        with pytest.raises(RequestError) as raised:
            data.folder(str(folder), image_size=8)
        return str(raised.value).replace(str(tmp_path), "…")

    assert message(tmp_path / "nowhere") == "data.path: there is no folder '…/nowhere'."
    assert message(tmp_path) == "data.path: '…' has no sub-folders; each class needs one."
    (tmp_path / "cats").mkdir()
    assert message(tmp_path) == "data.path: the class folder '…/cats' has no images."
    picture(tmp_path / "cats" / "whole.png", (1, 2, 3))
    whole = (tmp_path / "cats" / "whole.png").read_bytes()
    (tmp_path / "cats" / "torn.png").write_bytes(whole[:40])
    assert message(tmp_path).startswith("data.path: the image '…/cats/torn.png' cannot be read: ")


def test_arrays_are_read_in_either_form(tmp_path: Path) -> None:
    x, y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "two.npz", x=x, y=y)
    np.savez(tmp_path / "four.npz", train_x=x, train_y=y, val_x=x[:2], val_y=y[:2])
    assert [a.shape for a in data.arrays(str(tmp_path / "two.npz"))] == [(4, 3), (4,)]
    assert [len(a) for a in data.arrays(str(tmp_path / "four.npz"))] == [4, 4, 2, 2]


def test_arrays_at_fault_are_named_and_never_unpickled(tmp_path: Path) -> None:
    def message(name: str) -> str:
        with pytest.raises(RequestError) as raised:
            data.arrays(str(tmp_path / name))
        return str(raised.value).replace(str(tmp_path), "…")

    np.savez(tmp_path / "short.npz", x=np.zeros(3), labels=np.zeros(3))
    np.savez(tmp_path / "objects.npz", x=np.array([{}, []], object), y=np.zeros(2))
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 and no more")
    assert message("none.npz") == "data.path: there is no file '…/none.npz'."
    assert message("short.npz") == (
        "data.path: '…/short.npz' holds labels, x; it needs x and y, or train_x, train_y, val_x "
        "and val_y."
    )
    for name in ("objects.npz", "single.npy", "torn.npz"):
        start = f"data.path: '…/{name}' cannot be read as .npz without pickled objects: "
        assert message(name).startswith(start)
