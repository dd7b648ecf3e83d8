"""Rendered characters: images whose difficulty is set by switches, reproducible from a seed.

Each ingredient draws from a stream of its own, so that switching one (dots, say) leaves the
characters, their places and their colours as they were.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sweeper.training import streams

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Least Euclidean distance in RGB between a character and its background.
CONTRAST = 150.0

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


def render(
    *,
    seed: int,
    images: int,
    classes: int,
    image_size: int,
    colors: str,
    background: str,
    interference: dict[str, Any],
) -> tuple[Bytes, NDArray[np.int64]]:
    """A pool of `images` characters: pixels (images, side, side, 3) in 0–255 and labels (images,).

    `interference` holds dots, dot_size, lines (per image; pixels), rotation (± degrees),
    size_jitter (± share) and noise (standard deviation in grey levels).
    """
    shape = (images, image_size)
    labels = streams.generator(seed, "labels").permutation(np.arange(images) % classes)
    ground, ink = _colours(seed, images, colors)
    grounds = _backgrounds(seed, shape, ground, background)
    masks = _masks(seed, image_size, labels, interference)
    paints = _paints(seed, images, colors, interference)
    strokes = _strokes(seed, shape, interference)
    pixels = np.empty((images, image_size, image_size, 3), np.uint8)
    for i, (mask, stroke) in enumerate(zip(masks, strokes, strict=True)):
        picture = Image.fromarray(grounds[i])
        picture.paste(tuple(map(int, ink[i])), mask=mask)
        _disturb(ImageDraw.Draw(picture), stroke, paints[i], interference["dot_size"])
        pixels[i] = np.asarray(picture)
    return _noisy(seed, pixels, interference["noise"]), labels.astype(np.int64)


def _colours(seed: int, images: int, colors: str) -> tuple[Floats, Floats]:
    """Background and character colours, each (images, 3)."""
    random = streams.generator(seed, "colours")
    if colors == "dark_on_light":
        return random.uniform(190, 255, (images, 3)), random.uniform(0, 90, (images, 3))
    ground, ink = random.uniform(0, 255, (2, images, 3))
    while (close := np.linalg.norm(ground - ink, axis=1) < CONTRAST).any():
        ground[close], ink[close] = random.uniform(0, 255, (2, int(close.sum()), 3))
    return ground, ink


def _backgrounds(seed: int, shape: tuple[int, int], ground: Floats, kind: str) -> Bytes:
    """One colour per image or, as `gradient`, a slope of ±40 levels in a random direction."""
    images, side = shape
    field = np.broadcast_to(ground[:, None, None, :], (images, side, side, 3))
    if kind == "gradient":
        angle = streams.generator(seed, "background").uniform(0, 2 * math.pi, (images, 1, 1))
        along = np.linspace(-1, 1, side)
        slope = np.cos(angle) * along[None, None, :] + np.sin(angle) * along[None, :, None]
        field = field + 40 * slope[..., None]
    return np.clip(field, 0, 255).astype(np.uint8)


def _masks(
    seed: int, side: int, labels: NDArray[np.int64], interference: dict[str, Any]
) -> Iterator[Image.Image]:
    """The character of each image as a grey mask (side, side), turned, scaled and shifted."""
    random = streams.generator(seed, "characters")
    turns, scales = random.uniform(-1, 1, (2, len(labels)))
    shifts = random.uniform(-0.08, 0.08, (len(labels), 2)) * side + side / 2
    sizes = np.rint(side * 0.95 * (1 + interference["size_jitter"] * scales)).astype(int)
    for label, turn, size, place in zip(labels, turns, sizes, shifts, strict=True):
        mask = Image.new("L", (side, side))
        draw = ImageDraw.Draw(mask)
        draw.text(tuple(place), CHARACTERS[label], fill=255, font=_font(int(size)), anchor="mm")
        yield mask.rotate(turn * interference["rotation"], Image.Resampling.BILINEAR)


@lru_cache(maxsize=256)
def _font(size: int) -> Any:
    return ImageFont.load_default(max(size, 4))


def _paints(seed: int, images: int, colors: str, interference: dict[str, Any]) -> Floats:
    """The colours of dots and lines, (images, dots + lines, 3), of the character's kind."""
    random = streams.generator(seed, "paints")
    top = 90 if colors == "dark_on_light" else 255
    return random.uniform(0, top, (images, interference["dots"] + interference["lines"], 3))


def _strokes(
    seed: int, shape: tuple[int, int], interference: dict[str, Any]
) -> Iterator[tuple[Floats, Floats]]:
    """Per image the centres of its dots (dots, 2) and the ends of its lines (lines, 4)."""
    images, side = shape
    dots = streams.generator(seed, "dots").uniform(0, side, (images, interference["dots"], 2))
    lines = streams.generator(seed, "lines").uniform(0, side, (images, interference["lines"], 4))
    return zip(dots, lines, strict=True)


def _disturb(
    draw: ImageDraw.ImageDraw, stroke: tuple[Floats, Floats], paints: Floats, dot_size: float
) -> None:
    dots, lines = stroke
    colours = [tuple(map(int, paint)) for paint in paints]
    for (x, y), colour in zip(dots, colours, strict=False):
        half = dot_size / 2
        draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)
    for ends, colour in zip(lines, colours[len(dots) :], strict=True):
        draw.line(tuple(ends), fill=colour, width=1)


def _noisy(seed: int, pixels: Bytes, spread: float) -> Bytes:
    if not spread:
        return pixels
    noise = streams.generator(seed, "noise").normal(0, spread, pixels.shape)
    noisy: Bytes = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    return noisy
