"""Images filtered, moved, turned, cropped and laid out, each against NumPy's or SciPy's own way."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from tiny import IMAGES, X, Y, prepared

from sweeper.errors import RequestError

LABELS = np.arange(50) % 2
SQUARE = IMAGES[:, :, :6]
# every validation image after every training image, as the source has them
PLAIN = {"split": "by_position", "validation_samples": 20}


def both(images: Any, **axes: Any) -> NDArray[np.float32]:
    """All images, channels first, in the source's order."""
    data = prepared((images, LABELS[: len(images)]), **PLAIN, **axes)
    return torch.cat([data.train_x, data.val_x]).numpy()


def first(images: NDArray[Any]) -> NDArray[Any]:
    return images.astype(np.float32).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("side", [3, 5])
def test_a_median_filter_is_scipys(side: int) -> None:
    expected = ndimage.median_filter(IMAGES.astype(float), (1, side, side, 1), mode="nearest")
    assert np.array_equal(both(IMAGES, median_filter=side), first(expected))
    grey = both(IMAGES[..., 0], median_filter=side)
    assert np.array_equal(grey[:, 0], expected[..., 0].astype(np.float32))


def test_a_shape_is_laid_out_by_transposing_or_by_reshaping() -> None:
    n, height, width, channels = IMAGES.shape
    right = first(IMAGES)
    assert np.array_equal(both(IMAGES, layout="transpose"), right)
    scrambled = IMAGES.reshape(n, channels, height, width)
    assert np.array_equal(both(IMAGES, layout="reshape"), scrambled)
    assert np.array_equal(both(IMAGES, layout="swap_transpose"), right.swapaxes(2, 3))
    swapped = right.reshape(n, channels, width, height)
    assert np.array_equal(both(IMAGES, layout="swap_reshape"), swapped)


def test_the_middle_columns_are_kept() -> None:
    assert np.array_equal(both(IMAGES, crop_width=3), first(IMAGES[:, :, 2:5]))
    assert both(IMAGES, crop_width=3, layout="swap_reshape").shape == (50, 3, 3, 6)


@pytest.mark.parametrize("count", [2, 4])
def test_images_are_turned_by_quarters_one_after_another(count: int) -> None:
    expected = [np.rot90(image, i % count) for i, image in enumerate(SQUARE[:30])]
    turned = both(SQUARE, orientations=count)
    assert np.array_equal(turned[:30], first(np.stack(expected)))
    assert np.array_equal(turned[30], first(SQUARE)[30])  # and from the first again in validation
    assert np.array_equal(turned[31], first(np.rot90(SQUARE[31])[None])[0])


def test_validation_images_alone_are_moved_each_to_a_place_of_its_own() -> None:
    plain, moved = first(IMAGES), both(IMAGES, validation_shift=2)
    assert np.array_equal(moved[:30], plain[:30])
    steps = set()
    for image, original in zip(moved[30:], plain[30:], strict=True):
        around = np.pad(original, [(0, 0), (2, 2), (2, 2)], mode="edge")
        places = {
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(around[:, y : y + 6, x : x + 7], image)
        }
        assert len(places) == 1
        steps |= places
    assert {y for y, _ in steps} == {x for _, x in steps} == set(range(5))


def test_validation_images_alone_are_turned() -> None:
    rows, columns = np.mgrid[:16, :16] - 7.5
    blob = 255 * np.exp(-((rows + 4) ** 2 + columns**2) / 8)  # above the middle
    images = np.repeat(blob[None], 50, axis=0)
    turned = both(images, validation_rotation=90.0)
    assert np.array_equal(turned[:30, 0], images[:30].astype(np.float32))
    mass = turned[30:, 0]
    y, x = ((mass * axis).sum(axis=(1, 2)) / mass.sum(axis=(1, 2)) for axis in (rows, columns))
    assert np.hypot(y, x) == pytest.approx(4, abs=0.35)  # as far from the middle as before
    angles = np.degrees(np.arctan2(x, -y))
    assert abs(angles).max() <= 95
    assert angles.min() < -40 < 40 < angles.max()


def test_validation_images_alone_are_enlarged_and_shrunk() -> None:
    rows, columns = np.mgrid[:16, :16] - 7.5
    disc = np.where(np.hypot(rows, columns) < 4, 255.0, 0.0)
    images = np.repeat(disc[None], 50, axis=0)
    sizes = both(images, validation_zoom=0.4)[:, 0].mean(axis=(1, 2)) / disc.mean()
    assert np.all(sizes[:30] == 1)
    assert 0.6**2 - 0.05 < sizes[30:].min() < 0.8 < 1.2 < sizes[30:].max() < 1.4**2 + 0.05


def test_a_full_turn_of_a_narrow_image_is_about_its_middle() -> None:
    from sweeper.training.images import _resampled

    narrow = SQUARE[:5, :, :4]
    half = _resampled(narrow, np.full(5, np.pi), np.ones(5))
    assert half == pytest.approx(narrow[:, ::-1, ::-1].astype(np.float32), abs=0.05)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"layout": "reshape"}, "data.layout: reshape needs images; the samples are vectors."),
        ({"median_filter": 3}, "data.median_filter: 3 needs images; the samples are vectors."),
        ({"orientations": 4}, "data.orientations: 4 needs images; the samples are vectors."),
        ({"crop_width": 4}, "data.crop_width: 4 needs images; the samples are vectors."),
        ({"validation_shift": 1}, "data.validation_shift: 1 needs images; the samples are vecto"),
        ({"validation_zoom": 0.1}, "data.validation_zoom: 0.1 needs images; the samples are vec"),
        ({"validation_rotation": 9.0}, "data.validation_rotation: 9.0 needs images; the samples"),
        ({"mismatch": "transposed"}, "data.mismatch: transposed needs images; the samples are"),
    ],
)
def test_an_axis_of_images_is_refused_of_vectors(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as raised:
        prepared((X, Y), **axes)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("images", "axes", "message"),
    [
        (IMAGES, {"orientations": 2}, "data.orientations: 2 of images of 6 × 7, not square."),
        (IMAGES, {"crop_width": 8}, "data.crop_width: 8 of 7 columns that are there."),
        (IMAGES, {"validation_shift": 6}, "data.validation_shift: 6 of images of 6 × 7 pixels."),
        (IMAGES, {"mismatch": "transposed"}, "data.mismatch: transposed images of 6 × 7 do not "),
        (
            IMAGES,
            {"layout": "reshape", "color": "grey"},
            "data.layout: reshape changes nothing in images of one channel.",
        ),
        (
            SQUARE,
            {"layout": "swap_reshape"},
            "data.layout: swap_reshape changes nothing in square images (6 × 6): let "
            "data.crop_width make them narrower.",
        ),
    ],
)
def test_an_axis_that_these_images_cannot_follow_is_named(
    images: Any, axes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        prepared((images, LABELS), **axes)
    assert str(raised.value).startswith(message)
