"""Rendered pools are reproducible, and each switch changes what it names and nothing else."""

from typing import Any

import numpy as np
import pytest

from sweeper.training import captcha

PLAIN: dict[str, Any] = {
    "dots": 0, "dot_size": 2.0, "lines": 0, "rotation": 0.0, "size_jitter": 0.0, "noise": 0.0,
}  # fmt: skip
POOL: dict[str, Any] = {
    "seed": 0, "images": 60, "classes": 10, "image_size": 16, "colors": "any_pair",
    "background": "plain",
}  # fmt: skip


def pool(**changes: Any) -> tuple[captcha.Bytes, Any]:
    interference = {k: changes.pop(k, v) for k, v in PLAIN.items()}
    return captcha.render(**{**POOL, **changes}, interference=interference)


def test_the_same_seed_renders_the_same_bytes_and_another_does_not() -> None:
    assert pool()[0].tobytes() == pool()[0].tobytes()
    assert pool()[0].tobytes() != pool(seed=1)[0].tobytes()


def test_pools_are_colour_images_with_balanced_classes() -> None:
    pixels, labels = pool(classes=20, image_size=24)
    assert (pixels.shape, pixels.dtype) == ((60, 24, 24, 3), np.uint8)
    assert np.bincount(labels).tolist() == [3] * 20


@pytest.mark.parametrize(
    "change",
    [
        {"dots": 4}, {"lines": 2}, {"rotation": 25.0}, {"size_jitter": 0.3}, {"noise": 10.0},
        {"background": "gradient"}, {"colors": "dark_on_light"},
    ],
    ids=str,
)  # fmt: skip
def test_a_switch_changes_the_images_and_keeps_the_labels(change: dict[str, Any]) -> None:
    (before, labels), (after, same_labels) = pool(), pool(**change)
    assert (before != after).any(axis=(1, 2, 3)).mean() > 0.8
    assert np.array_equal(labels, same_labels)


def test_dots_cover_a_part_and_leave_the_rest_as_it_was() -> None:
    changed = (pool()[0] != pool(dots=2)[0]).any(axis=3).mean()
    assert 0.005 < changed < 0.2
    larger = (pool()[0] != pool(dots=2, dot_size=6.0)[0]).any(axis=3).mean()
    assert larger > 2 * changed


def test_a_background_keeps_its_distance_from_the_character() -> None:
    ground, ink = captcha._colours(0, 500, "any_pair")
    assert np.linalg.norm(ground - ink, axis=1).min() >= captcha.CONTRAST
    ground, ink = captcha._colours(0, 500, "dark_on_light")
    assert ground.min() - ink.max() >= 100


def test_characters_of_a_class_look_more_alike_than_those_of_two() -> None:
    pixels, labels = pool(colors="dark_on_light", images=200)
    grey = pixels.mean(axis=3)
    means = np.stack([grey[labels == c].mean(axis=0) for c in range(10)])
    nearest = ((grey[:, None] - means) ** 2).sum(axis=(2, 3)).argmin(axis=1)
    assert (nearest == labels).mean() > 0.6
