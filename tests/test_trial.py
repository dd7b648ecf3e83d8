"""Curves across the attempts at one trial."""

import pytest

from sweeper.trial import Curve, joined


@pytest.mark.parametrize(
    "earlier, later, whole",
    [
        ({"step": [0, 1, 2], "a": [1.0, 2.0, 3.0]}, {"step": [2, 3], "a": [9.0, 8.0]},
         {"step": [0, 1, 2, 3], "a": [1.0, 2.0, 9.0, 8.0]}),
        ({"step": [0, 1], "a": [1.0, 2.0]}, {"step": [0, 1], "a": [5.0, 6.0]},
         {"step": [0, 1], "a": [5.0, 6.0]}),
        ({"step": [0], "a": [1.0]}, {"step": [1], "b": [2.0]},
         {"step": [0, 1], "a": [1.0, None], "b": [None, 2.0]}),
        ({}, {"step": [3], "a": [1.0]}, {"step": [3], "a": [1.0]}),
        ({"step": [0], "a": [1.0]}, {"step": []}, {"step": []}),
    ],
    ids=["goes-on", "began-anew", "other-names", "nothing-before", "nothing-after"],
)  # fmt: skip
def test_points_before_the_first_step_are_put_before_it(
    earlier: Curve, later: Curve, whole: Curve
) -> None:
    assert joined(earlier, later) == whole
