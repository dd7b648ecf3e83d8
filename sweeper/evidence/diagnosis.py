"""What a run's numbers say is wrong with it: the loss-trend rules by their names in the documents,
and what the health record shows.

A rule is a function of a `Reading`; docs/diagnosis.md says each in words, and how often each errs.
"""

from collections.abc import Callable
from typing import get_args

from sweeper.claim import Diagnosis
from sweeper.evidence.reading import CROSS_ENTROPIES, Reading
from sweeper.evidence.runs import Run
from sweeper.evidence.trends import CHANGED
from sweeper.trial import RESULTS

NAMES: tuple[str, ...] = get_args(Diagnosis)
# Nothing is wrong with a net that still learns: claims may ask for it, the table leaves it out.
NO_FAULT = frozenset({"R1"})

# Every threshold, and why it stands where it does. Those of slopes are in `trends`.
HIGH_ACCURACY = 0.95
OVERFITTING_GAP = 0.1
# R6: "far below" is half or less (0.8 against 2.0), and by a fifth of the loss at the start: two
# losses near zero are no factor apart that anybody would mind (0.064 against 0.13).
FAR_BELOW, FAR_BELOW_SHARE = 0.5, 0.2
# R8: one order of magnitude, where dropout and label noise come to a factor of three.
WRONGLY_BELOW = 0.1
# R7, R10: what a loss has to lose of its start for "it fell"; twice what a trend calls a change.
FELL = 0.1
# How many times as much of its start a validation loss has to lose as the training loss (R3).
FAR_AHEAD = 3.0
# At this share of its start a loss has nothing left to lose (R2, R10), and stands for a high
# accuracy where none is known (R10).
NEARLY_ZERO = 0.1
# Of the gradient's norms, first weight layer over last: a sigmoid takes a factor of four or more,
# four of them a hundred and more.
VANISHED = 0.01
# Of the first reading in the first layer, at a loss of one: there a net has most to learn.
VANISHED_AT_FIRST = 0.005
# Of the gradient at a loss of one: in the last layer that is the norm of the outputs below it, tens
# for a thousand units of order one.
EXPLODED = 300.0
# Nats. Who knows nothing loses ln(classes), 7 of a thousand; more is sure of what is wrong.
WORSE_THAN_KNOWING_NOTHING = 10.0
# Steps from a finite loss to NaN: a step size that is too large takes its time to get there.
AT_ONCE = 5
# Share of ReLU units that fire for no training sample, of all and of one layer: a dead layer, or
# one of which next to nothing is left, stops the net.
DEAD, DEAD_LAYER = 0.45, 0.95
# A printed loss that was once this many times its start was thrown out by a step too large.
THROWN = 1.5
# Noise about the line, as a share of the start: what a trend would be called a change.
SWINGS = CHANGED
# The later slope over the earlier: a net that learns slows down, one that creeps does not. And the
# share of its start that a training loss has lost by then, had anything been learnt (also R3).
CREEPS, FAR = 0.4, 0.25


def diagnose(run: Run) -> str:
    """The names of what is wrong with a run, joined by `;`; empty where nothing is."""
    return ";".join(name for name in told(run) if name not in NO_FAULT)


def names(run: Run) -> set[str]:
    """All that a run is called, also what is no fault."""
    return set(told(run))


def told(run: Run) -> list[str]:
    """The same, in the order of `NAMES`."""
    if run.status not in RESULTS:
        return []
    reading = Reading(run)
    return [name for name in NAMES if RULES[name](reading)]


def _diverged(r: Reading) -> bool:
    return r.run.status == "diverged"


def _still_learning(r: Reading) -> bool:
    return r.words == ("falling", "falling")


def _only_training_falls(r: Reading) -> bool:
    """While the validation loss, which has something left to lose, does not."""
    alone = r.words in (("falling", "flat"), ("falling", "rising"))
    return alone and r.parts_lately and not r.val.fell(1 - NEARLY_ZERO)


def _only_validation_falls(r: Reading) -> bool:
    """Lately or on the whole, of a net that does poorly on what it is trained on."""
    if not r.is_poor:
        return False
    return (r.words == ("flat", "falling") and r.parts_lately) or _validation_ran_ahead(r)


def _validation_ran_ahead(r: Reading) -> bool:
    """Of a training loss read in evaluation mode: the one that training prints, which may be all
    that is known, is held up by dropout too."""
    train, val = r.train.left, r.val.left
    if r.printed is r.train or train is None or val is None:
        return False
    if r.train.fell(FAR) or not r.val.fell(FELL):
        return False
    return 1 - val >= FAR_AHEAD * (1 - train)


def _bottleneck(r: Reading) -> bool:
    """Both flat, and not because there is nothing left to learn."""
    return r.words == ("flat", "flat") and r.is_poor


def _both_rise(r: Reading) -> bool:
    return r.printed.rises and r.val.rises


def _far_apart(r: Reading) -> bool:
    train, val, start = r.train.end, r.val.end, r.val.start
    if train is None or val is None or start is None or start <= 0:
        return False
    return train <= FAR_BELOW * val and val - train >= FAR_BELOW_SHARE * start


def _reading_is_at_fault(r: Reading) -> bool:
    return r.accuracy_is_wrong or _learns_nothing_true(r)


def _learns_nothing_true(r: Reading) -> bool:
    """Low training accuracy, a training loss that fell, a validation loss that is no lower."""
    if r.train_accuracy is None or not r.is_poor:
        return False
    return r.train.fell(FELL) and r.val.end is not None and not r.val.fell(CHANGED)


def _overfits(r: Reading) -> bool:
    train, val = r.train_accuracy, r.val_accuracy
    if train is None or val is None:
        return False
    return train >= HIGH_ACCURACY and train - val >= OVERFITTING_GAP - 1e-9  # 0.95 - 0.85 < 0.1


def _validation_loss_is_wrong(r: Reading) -> bool:
    """From the untrained net on, where both parts must lose alike, or at most readings."""
    ratios = r.validation_over_training
    if not ratios:
        return False
    below = [ratio < WRONGLY_BELOW for _, ratio in ratios]
    return (below[0] and ratios[0][0] == 0) or sum(below) > len(below) / 2


def _underfits(r: Reading) -> bool:
    return r.is_poor and not _diverged(r) and not _reading_is_at_fault(r)


def _validation_left_behind(r: Reading) -> bool:
    """Since its lowest the validation loss fell no more while the training loss did."""
    high = r.train.fell(1 - NEARLY_ZERO) if r.train_accuracy is None else (
        r.train_accuracy >= HIGH_ACCURACY
    )  # fmt: skip
    has_left = not r.val.fell(1 - NEARLY_ZERO)
    return high and has_left and r.val.fell_at_first(FELL) and r.fell_on >= CHANGED


def _vanishes(r: Reading) -> bool:
    """On the way to the first layer, or with the signal on its way to the last.

    A gradient of zero itself is cut, by units that are dead say, not worn away.
    """
    share, first = r.gradient_share, r.first_gradient
    if not r.is_poor or not share or first is None:
        return False
    return share < VANISHED or first < VANISHED_AT_FIRST


def _explodes(r: Reading) -> bool:
    if not (r.is_poor or _diverged(r)):
        return False
    largest = r.largest_gradient
    return _starts_exploding(r) or (largest is not None and largest > EXPLODED)


def _starts_exploding(r: Reading) -> bool:
    """The loss before the first step, or where its unit is unknown how few steps it took."""
    if r.train.start is None:
        return False
    if r.run.loss in CROSS_ENTROPIES:
        return r.train.start > WORSE_THAN_KNOWING_NOTHING
    steps = r.last("diverged_step")
    return steps is not None and steps <= AT_ONCE


def _is_dead(r: Reading) -> bool:
    return _are_dead(r.last("dead_units"), r.last("dead_layer"))


def _are_dead(units: float | None, layer: float | None) -> bool:
    return (units is not None and units >= DEAD) or (layer is not None and layer >= DEAD_LAYER)


def _steps_too_far(r: Reading) -> bool:
    start = r.train.start
    if start is None:
        return False
    was_thrown = 0 < THROWN * start < r.printed.highest
    is_cause = _diverged(r) and not _starts_exploding(r)
    return is_cause or was_thrown or r.printed.rises or _oscillates(r) or _killed_units(r)


def _killed_units(r: Reading) -> bool:
    """A net that does poorly, of units that were alive before the first step."""
    if not (r.is_poor and _is_dead(r)):
        return False
    units, layer = (r.curve(name).start for name in ("dead_units", "dead_layer"))
    return units is not None and not _are_dead(units, layer)


def _creeps(r: Reading) -> bool:
    """Both losses fall steadily, slowly, without slowing down; nothing else holds them up."""
    if not r.is_poor or _diverged(r) or r.train.fell(FAR) or r.val.fell(FAR):
        return False
    if _vanishes(r) or _is_dead(r) or _steps_too_far(r):
        return False
    return r.train.creeps(CREEPS) and r.val.late is not None and r.val.late.change < 0


def _oscillates(r: Reading) -> bool:
    """Not so where the printed loss surely falls: batch norm, read in evaluation mode, jumps."""
    late, printed = r.train.late, r.printed.late
    if late is None or printed is None or late.noise < SWINGS:
        return False
    return printed.noise >= SWINGS or printed.high >= 0


def _levelled_off(r: Reading) -> bool:
    """The training loss fell, then stays where nobody would leave it."""
    late = r.train.late
    is_flat = late is not None and late.word == "flat"
    return is_flat and r.is_poor and r.train.fell(CHANGED) and not _creeps(r)


RULES: dict[str, Callable[[Reading], bool]] = {
    "diverged": _diverged,
    "R1": _still_learning,
    "R2": _only_training_falls,
    "R3": _only_validation_falls,
    "R4": _bottleneck,
    "R5": _both_rise,
    "R6": _far_apart,
    "R7": _reading_is_at_fault,
    "R7_overfitting": _overfits,
    "R8": _validation_loss_is_wrong,
    "R9": _underfits,
    "R10": _validation_left_behind,
    "vanishing_gradients": _vanishes,
    "exploding_gradients": _explodes,
    "dead_units": _is_dead,
    "lr_too_large": _steps_too_far,
    "lr_too_small": _creeps,
    "oscillation": _oscillates,
    "plateau": _levelled_off,
}
