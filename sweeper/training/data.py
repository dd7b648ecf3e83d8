"""Where samples come from: each function is a choice of the group `data`.

A source returns (x, y), split later, or (train_x, train_y, val_x, val_y). Images are
(samples, height, width) or (samples, height, width, channels) with pixels in 0–255.
"""

import fcntl
import hashlib
import json
import os
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import BadZipFile

import numpy as np
import PIL
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image

from sweeper.errors import RequestError
from sweeper.training import captcha as characters
from sweeper.training import streams
from sweeper.training.toy import draw

Array = NDArray[Any]

_cache: Path | None = None


def cache_at(folder: Path | None) -> None:
    """Keep what is costly to make in this folder, in this process from now on; None keeps none."""
    global _cache
    _cache = folder


def digits() -> tuple[Array, Array]:
    """The 1,797 handwritten 8×8 digits of scikit-learn, pixels 0–255 (there 0–16), labels 0–9."""
    x, y = _kept(_digits)
    return x, y


def diabetes() -> tuple[Array, Array]:
    """442 patients in 10 features (raw units) and the progress of their disease as the target."""
    x, y = _kept(_diabetes)
    return x, y


def captcha(
    *,
    seed: int,
    images: int,
    classes: int,
    image_size: int,
    colors: str,
    background: str,
    **interference: Any,
) -> tuple[Array, Array]:
    """A pool of rendered characters, balanced over its classes; labels are the characters."""
    x, y = _kept(
        _captcha,
        # A new version of the renderer, or of Pillow with its font, renders anew.
        version=f"{_checksum(characters)} {_checksum(streams)} {PIL.__version__}",
        seed=seed,
        images=images,
        classes=classes,
        image_size=image_size,
        colors=colors,
        background=background,
        interference=interference,
    )
    return x, y


def toy(
    *, seed: int, kind: str, samples: int, errors: str, spread: float, turns: float
) -> tuple[Array, ...]:
    """Samples of a known law: (x, y) of two classes, or four parts of numbers."""
    return draw(
        kind=kind, samples=samples, seed=seed, errors=errors, spread=spread, turns=turns
    )  # fmt: skip


def digit_pairs(*, seed: int, samples: int, noise: float) -> tuple[Array, ...]:
    """Images of digits (samples, 8, 8), 0–255, and as targets other digits (samples, 1, 8, 8).

    Targets have mean 0 and standard deviation 2.5, and both parts are the same samples.
    """
    pixels, _ = digits()
    rng = streams.generator(seed, "digit_pairs")
    chosen = rng.permutation(len(pixels))[: 2 * samples]
    inputs, targets = pixels[chosen[:samples]], pixels[chosen[samples:], None]
    x = np.clip(inputs + rng.normal(scale=noise, size=inputs.shape), 0, 255).astype(np.float32)
    y = ((targets - targets.mean()) * (2.5 / targets.std())).astype(np.float32)
    return x, y, x, y


def folder(path: str, image_size: int) -> tuple[Array, Array]:
    """A folder with a sub-folder of images per class, resized to squares of `image_size` pixels.

    Images are read as RGB, in the order of their names; files of no known image type are left
    out. Raises RequestError naming the folder or the file that is at fault.
    """
    root = Path(path)
    if not root.is_dir():
        raise RequestError(f"data.path: there is no folder {path!r}.")
    classes = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise RequestError(f"data.path: {path!r} has no sub-folders; each class needs one.")
    known = set(Image.registered_extensions())
    files = {c.name: sorted(f for f in c.iterdir() if f.suffix.lower() in known) for c in classes}
    for name, found in files.items():
        if not found:
            raise RequestError(f"data.path: the class folder {str(root / name)!r} has no images.")
    x = np.stack([_read_image(f, image_size) for found in files.values() for f in found])
    return x, np.array([name for name, found in files.items() for _ in found])


def arrays(path: str) -> tuple[Array, ...]:
    """An .npz file with x and y, or with train_x, train_y, val_x and val_y.

    Raises RequestError if it cannot be read, and never unpickles what it holds.
    """
    try:
        # Opened here, since np.load leaves a file that it cannot read open.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as found:
            names = _array_names(path, set(found.files))
            return tuple(found[name] for name in names)
    except FileNotFoundError:
        raise RequestError(f"data.path: there is no file {path!r}.") from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, BadZipFile) as error:
        raise RequestError(
            f"data.path: {path!r} cannot be read as .npz without pickled objects: {error}"
        ) from None


def _checksum(module: ModuleType) -> int:
    return zlib.crc32(Path(module.__file__ or "").read_bytes())


def _array_names(path: str, found: set[str]) -> tuple[str, ...]:
    choices = (("x", "y"), ("train_x", "train_y", "val_x", "val_y"))
    for names in choices:
        if set(names) <= found:
            return names
    raise RequestError(
        f"data.path: {path!r} holds {', '.join(sorted(found)) or 'nothing'}; it needs x and y, "
        "or train_x, train_y, val_x and val_y."
    )


def _read_image(file: Path, side: int) -> Array:
    try:
        # A warning (a decompression bomb, say) is a fault of this file as well.
        with warnings.catch_warnings(action="error"), Image.open(file) as image:
            return np.asarray(image.convert("RGB").resize((side, side)))
    except (OSError, SyntaxError, ValueError, Warning, Image.DecompressionBombError) as error:
        raise RequestError(f"data.path: the image {str(file)!r} cannot be read: {error}") from None


def _digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits  # costs over a second, and only without a cache

    found = load_digits()
    return (found.images * (255 / 16)).astype(np.float32), found.target


def _diabetes() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    return found.data.astype(np.float32), found.target.astype(np.float32)


def _captcha(version: str, **options: Any) -> tuple[Array, Array]:
    del version  # only tells apart what is kept
    pixels, labels = characters.render(**options)
    return pixels, np.array(list(characters.CHARACTERS))[labels]


def _kept(make: Callable[..., tuple[Array, Array]], **options: Any) -> tuple[Array, Array]:
    """`make(**options)`, read from the cache where there is one (as a memory map).

    The files are arrays and nothing else: what somebody else put there is never unpickled.
    """
    if _cache is None:
        return make(**options)
    files = _files(_cache, make.__name__, options)
    found = _read_kept(files)
    if found is None:
        with _locked(_cache):  # who waited here finds what the other process has made
            found = _read_kept(files)
            if found is None:
                made = make(**options)
                with suppress(OSError):  # a full disk costs the cache and not the trial
                    for file, array in zip(files, made, strict=True):
                        _write_kept(file, array)
                found = _read_kept(files) or made
    return found


def _files(folder: Path, name: str, options: Mapping[str, Any]) -> tuple[Path, Path]:
    """Where x and y are kept, named by all that they are made from, this source included."""
    source = _checksum(sys.modules[__name__])
    asked = json.dumps([name, source, options], sort_keys=True)
    stem = f"{name.strip('_')}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
    return folder / f"{stem}-x.npy", folder / f"{stem}-y.npy"


def _read_kept(files: tuple[Path, Path]) -> tuple[Array, Array] | None:
    """Both arrays as they lie on disk, if both are whole; objects, which are pickles, are not."""
    try:
        x, y = (open_memmap(file, mode="r") for file in files)
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    return x, y


def _write_kept(file: Path, array: Array) -> None:
    """Write beside and rename: who reads without the lock sees a whole file or none."""
    handle, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as opened:
            np.save(opened, array, allow_pickle=False)
        Path(beside).replace(file)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    # a link that somebody put there is not followed
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
