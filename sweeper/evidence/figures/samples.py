"""What a net was fed and what it answered, as a trial's `samples.npz` kept it."""

import base64
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# What a file of ours comes to at most, several times over: what is larger is not ours.
_LARGEST = 8 << 20
_LONGEST_SIDE = 64
_MOST = 64
_PARTS = {"about.npy", "train_images.npy", "val_images.npy"}


@dataclass(frozen=True)
class Picture:
    """One image with what is said of it; `predicted` is empty for one that was trained on."""

    pixels: Pixels  # (height, width) or (height, width, 3)
    span: str  # what black and white stand for
    label: str
    predicted: str = ""
    probability: float | None = None

    @property
    def is_mistake(self) -> bool:
        return bool(self.predicted) and self.predicted != self.label

    @property
    def uri(self) -> str:
        """The image as a PNG within a page."""
        return "data:image/png;base64," + base64.b64encode(png(self.pixels)).decode()


@dataclass(frozen=True)
class Samples:
    """The images of one trial; `mistakes` of `count` validation images were misjudged."""

    train: tuple[Picture, ...]
    validation: tuple[Picture, ...]
    mistakes: int
    count: int


def read(path: Path) -> Samples | None:
    """What the file holds; None where there is none, or one that is not as we write it."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        with zipfile.ZipFile(path) as archive:
            parts = {part.filename: part.file_size for part in archive.infolist()}
        if set(parts) != _PARTS or sum(parts.values()) > _LARGEST:
            return None
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].astype(np.uint8).tobytes())
            return _samples(about, file["train_images"], file["val_images"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, OverflowError,
            MemoryError, zipfile.BadZipFile, zlib.error):  # fmt: skip
        return None


def _samples(about: Mapping[str, Any], train: Pixels, val: Pixels) -> Samples:
    for images in (train, val):
        _check(images)
    probabilities = about["val_probability"] or [None] * len(val)
    validation = tuple(
        Picture(image, str(span), str(label), str(predicted), _share(share))
        for image, span, label, predicted, share in zip(
            val, about["val_range"], about["val_label"], about["val_predicted"], probabilities,
            strict=True,
        )
    )  # fmt: skip
    trained = tuple(
        Picture(image, str(span), str(label))
        for image, span, label in zip(
            train, about["train_range"], about["train_label"], strict=True
        )
    )
    return Samples(trained, validation, int(about["val_mistakes"]), int(about["val_count"]))


def _share(value: Any) -> float | None:
    return None if value is None else float(value)


def _check(images: Pixels) -> None:
    is_color = images.ndim == 4 and images.shape[3] == 3
    fits = len(images) <= _MOST and max(images.shape[1:3], default=0) <= _LONGEST_SIDE
    if images.dtype != np.uint8 or not (images.ndim == 3 or is_color) or not fits:
        raise ValueError(f"images of shape {images.shape}")


def png(pixels: Pixels) -> bytes:
    """(height, width) or (height, width, 3) bytes as a PNG file (ISO/IEC 15948)."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    scanlines = np.insert(rows, 0, 0, axis=1).tobytes()  # filter 0 before each
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
