"""One seed gives many streams, which know nothing of one another."""

import pytest
import torch

from sweeper.training import streams


def test_streams_stay_the_same_or_every_recorded_trial_would_change() -> None:
    # If this fails, results of earlier versions can no longer be reproduced: bump the version
    # and say so in the changelog.
    assert streams.number(0, "init") == PINNED
    assert streams.generator(0, "split").integers(1000, size=3).tolist() == PINNED_SPLIT


PINNED = 7290039654019473914
PINNED_SPLIT = [267, 526, 233]


@pytest.mark.parametrize("name", streams.NAMES)
def test_no_two_names_or_seeds_share_a_stream(name: str) -> None:
    others = [streams.number(0, other) for other in streams.NAMES if other != name]
    assert streams.number(0, name) not in [*others, streams.number(1, name)]


def test_a_stream_starts_anew_each_time_it_is_asked_for() -> None:
    draws = [torch.rand(3, generator=streams.torch_generator(3, "order")) for _ in range(2)]
    assert torch.equal(*draws)
