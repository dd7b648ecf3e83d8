"""The curve that a trial's reports make."""

from sweeper.executors.perform import Curve


def test_a_name_that_comes_later_is_empty_before() -> None:
    curve = Curve()
    curve.add(1, {"train_loss": 2.0})
    curve.add(2, {"train_loss": 1.0, "val_loss": 3.0})
    assert curve.columns == {"step": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [None, 3.0]}
    assert curve.last() == {"train_loss": 1.0, "val_loss": 3.0}


def test_two_reports_of_one_step_are_one_point() -> None:
    curve = Curve()
    for step in (1, 2):
        curve.add(step, {"train_loss": 2.0 / step})
        curve.add(step, {"val_loss": 4.0 / step})
        curve.add(step, {"val_loss": 3.0 / step})
    assert curve.columns == {"step": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [3.0, 1.5]}
