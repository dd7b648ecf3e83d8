"""Learning rates against numbers worked out by hand."""

from typing import Any

import pytest

from sweeper.training import schedules


def rates(schedule: dict[str, Any], steps: list[int]) -> list[float]:
    """At base rate 0.4, ten steps an epoch, four epochs."""
    found = schedules.build(schedule, lr=0.4, steps_per_epoch=10, epochs=4)
    return [found.at(step) for step in steps]


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        ({"name": "constant"}, [0, 39], [0.4, 0.4]),
        (
            {"name": "step", "every_epochs": 2, "factor": 0.5},
            [0, 19, 20, 39],
            [0.4, 0.4, 0.2, 0.2],
        ),
        (
            {"name": "multi_step", "milestones": [1, 3], "factor": 0.1},
            [9, 10, 29, 30],
            [0.4, 0.04, 0.04, 0.004],
        ),
        ({"name": "exponential", "factor": 0.5}, [0, 1, 3], [0.4, 0.2, 0.05]),
        ({"name": "cosine", "final_lr_share": 0.0}, [0, 20, 30], [0.4, 0.2, 0.4 * 0.1464466]),
        ({"name": "cosine", "final_lr_share": 0.5}, [0, 20, 40], [0.4, 0.3, 0.2]),
        (
            {"name": "one_cycle", "peak_share": 0.5, "start_share": 0.2, "final_lr_share": 0.0},
            [0, 10, 20, 30, 40],
            [0.08, 0.24, 0.4, 0.2, 0.0],
        ),
        (
            {"name": "one_cycle", "peak_share": 0.0, "start_share": 0.2, "final_lr_share": 0.0},
            [0, 20],
            [0.4, 0.2],
        ),
        ({"name": "warmup", "steps": 4}, [0, 1, 3, 4, 39], [0.1, 0.2, 0.4, 0.4, 0.4]),
    ],
    ids=lambda v: v["name"] if isinstance(v, dict) else "",
)
def test_a_schedule_gives_the_rates_worked_out_by_hand(
    schedule: dict[str, Any], steps: list[int], expected: list[float]
) -> None:
    assert rates(schedule, steps) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("watch", ["running_loss", "val_loss"])
def test_a_plateau_drops_the_rate_after_its_patience_and_again(watch: str) -> None:
    schedule = schedules.build(
        {"name": "plateau", "watch": watch, "factor": 0.1, "patience": 2, "threshold": 0.1},
        lr=1.0,
        steps_per_epoch=1,
        epochs=9,
    )
    other = {"running_loss", "val_loss"} - {watch}
    seen = []
    # 0.95 is no gain of a tenth on 1.0; 0.5 is; NaN never is.
    for loss in (1.0, 0.95, 0.5, 0.49, 0.48, 0.47, float("nan")):
        schedule.observe({watch: loss, **dict.fromkeys(other, 0.0)})
        seen.append(schedule.at(0))
    assert seen == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01])
