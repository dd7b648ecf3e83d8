"""A run's record as the rules of diagnosis read it: curves with a start, an end and trends."""

import math
from collections.abc import Sequence
from functools import cached_property
from statistics import median

from sweeper.evidence.runs import Run
from sweeper.evidence.trends import CHANGED, FEWEST, Trend, Word, blocks, trend
from sweeper.metric import last

# Poor on the training set: below this accuracy, or with more than two thirds of the loss left that
# the net started with (of a mean absolute error the root of that, since it goes as the root of a
# square). Data with much noise, such as diabetes, leave half of the loss to a sound regression.
POOR_ACCURACY, POOR_SHARE = 0.8, 2 / 3
# An accuracy's bound holds for these alone; a mean square has no such relation to it.
CROSS_ENTROPIES = ("cross_entropy", "naive_cross_entropy")
# How far below its bound an accuracy must lie: it is measured on other weights than a running loss.
MARGIN = 0.05
TRAINING_LOSSES = ("train_loss", "running_loss")
# The end of a curve is the median of so many readings, so that one of them says little.
END = 3


def least_accuracy(loss: float) -> float:
    """The accuracy that a mean cross-entropy of `loss` nats implies at least.

    The true class of a misclassified sample has a probability of at most 1/2, since another has
    no less; it costs ln 2 or more, so at most loss / ln 2 of the samples are misclassified.
    """
    return 1 - loss / math.log(2)


class Curve:
    """The finite readings of one name, as `blocks` has them, and its first and highest ones."""

    def __init__(self, steps: Sequence[float | None], values: Sequence[float | None]) -> None:
        points = sorted(
            (s, v)
            for s, v in zip(steps, values, strict=False)
            if s is not None and v is not None and math.isfinite(v)
        )
        self.steps, self.values = blocks([s for s, _ in points], [v for _, v in points])
        self.start = points[0][1] if points else None
        self.highest = max((v for _, v in points), default=-math.inf)
        self.end = median(self.values[-END:]) if len(self.values) > END else (
            self.values[-1] if self.values else None
        )  # fmt: skip

    def at(self, steps: Sequence[float]) -> list[float | None]:
        """Its readings at these steps, None where there is none."""
        known = dict(zip(self.steps, self.values, strict=True))
        return [known.get(step) for step in steps]

    def fell(self, share: float) -> bool:
        """Whether it lost so much of what it started with."""
        return self.left is not None and self.left <= 1 - share

    def fell_at_first(self, share: float) -> bool:
        """Whether it had done so at its lowest."""
        start = self.start or 0.0
        return start > 0 and min(self.values) <= (1 - share) * start

    @cached_property
    def left(self) -> float | None:
        """The end as a share of the start."""
        if self.end is None or self.start is None or self.start <= 0:
            return None
        return self.end / self.start

    @cached_property
    def late(self) -> Trend | None:
        """The trend of the recent part: the second half."""
        first = self._middle
        return trend(self.steps[first:], self.values[first:], self.start or 0)

    @cached_property
    def whole(self) -> Trend | None:
        """The trend from the first reading on."""
        return trend(self.steps, self.values, self.start or 0)

    @property
    def rises(self) -> bool:
        """Whether it does so lately, or on the whole."""
        if not self.values or self.values[-1] <= min(self.values):
            return False
        return any(t is not None and t.word == "rising" for t in (self.late, self.whole))

    def creeps(self, share: float) -> bool:
        """Whether it surely falls, and at no less than this share of its pace in the first half."""
        first = self._middle
        if self.late is None or not self.start or first == 0 or self.late.high >= 0:
            return False
        before = (self.values[first] - self.values[0]) / self.start
        pace = before / (self.steps[first] - self.steps[0])
        return self.late.change / self.late.span <= share * pace < 0

    @property
    def _middle(self) -> int:
        n = len(self.values)
        return max(0, n - max(FEWEST + 1, math.ceil(n / 2)))


class Reading:
    """What the rules ask of a run. Nothing is computed, or decoded, before it is asked for."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def curve(self, name: str) -> Curve:
        """A reported name over the steps."""
        return Curve(self._steps, self.run.curve.get(name, ()))

    @cached_property
    def _steps(self) -> Sequence[float | None]:
        return self.run.curve.get("step", ())

    def last(self, name: str) -> float | None:
        """A metric's final value, where that is a number."""
        value = last(name, self.run.metrics, self.run.curve)
        return value if value is not None and math.isfinite(value) else None

    @cached_property
    def train(self) -> Curve:
        """The training loss, of the net as it stood after each epoch."""
        return self.curve("train_loss")

    @cached_property
    def val(self) -> Curve:
        return self.curve("val_loss")

    @cached_property
    def printed(self) -> Curve:
        """The training loss that a training loop prints: the running one, where it is recorded.

        The documents' rules speak of that. Under dropout and augmentation it is the higher.
        """
        if "running_loss" not in self.run.curve:
            return self.train
        running = self.curve("running_loss")
        running.start = self.train.start  # before training there is none
        return running if len(running.values) >= FEWEST else self.train

    @cached_property
    def words(self) -> tuple[Word | None, Word | None]:
        """What the training and the validation loss did lately."""
        train, val = self.printed.late, self.val.late
        return train.word if train else None, val.word if val else None

    @cached_property
    def parts_lately(self) -> bool:
        """Whether one of the two losses lost more lately than the other, and no little more."""
        train, val = self.printed.late, self.val.late
        return train is not None and val is not None and abs(train.change - val.change) >= CHANGED

    @cached_property
    def train_accuracy(self) -> float | None:
        return self._accuracy("train_accuracy")

    @cached_property
    def val_accuracy(self) -> float | None:
        return self._accuracy("val_accuracy")

    def _accuracy(self, name: str) -> float | None:
        """The end of its curve; a share of one: a percentage is not guessed at."""
        end = self.curve(name).end
        value = self.last(name) if end is None else end
        return value if value is not None and 0 <= value <= 1 else None

    @cached_property
    def accuracy_is_wrong(self) -> bool:
        """Whether the training accuracy is lower than the training loss allows, at the last reading
        and at most of the last ones: batch norm, read in evaluation mode, may lag behind at one."""
        if self.run.loss not in CROSS_ENTROPIES or self.train_accuracy is None:
            return False
        ends = [
            accuracy < least_accuracy(loss) - MARGIN for accuracy, loss in self._ends_of_training
        ]
        return bool(ends) and ends[-1] and sum(ends) > len(ends) / 2

    @cached_property
    def _ends_of_training(self) -> list[tuple[float, float]]:
        """The last training accuracies, each with the lower of the losses read with it."""
        curve = self.curve("train_accuracy")
        accuracies, ends = curve.values[-END:], curve.steps[-END:]
        losses = [self.curve(name).at(ends) for name in TRAINING_LOSSES]
        if not accuracies:
            accuracies = [self.train_accuracy] if self.train_accuracy is not None else []
            losses = [[self.last(name)] for name in TRAINING_LOSSES]
        known = [
            [loss for loss in at if loss is not None and loss >= 0]
            for at in zip(*losses, strict=True)
        ]
        return [(a, min(at)) for a, at in zip(accuracies, known, strict=True) if at]

    @cached_property
    def is_poor(self) -> bool:
        """Whether the net does poorly on what it was trained on.

        Nothing is said of a net of which too few readings were taken to see it learn.
        """
        if len(self.train.values) < FEWEST:
            return False
        if self.train_accuracy is not None and not self.accuracy_is_wrong:
            last_one = self.last("train_accuracy") or 0.0
            return max(self.train_accuracy, last_one, self._implied_accuracy) < POOR_ACCURACY
        share = math.sqrt(POOR_SHARE) if self.run.loss == "mae" else POOR_SHARE
        return self.train.left is not None and self.train.left > share

    @property
    def _implied_accuracy(self) -> float:
        """What the printed loss implies at least: batch norm may lag behind it when evaluated."""
        end = self.printed.end
        if self.run.loss not in CROSS_ENTROPIES or end is None or end < 0:
            return 0.0
        return least_accuracy(end)

    @cached_property
    def validation_over_training(self) -> list[tuple[float, float]]:
        """Validation loss over the printed training loss, at each step at which both were read."""
        losses = dict(zip(self.train.steps, self.train.values, strict=True))
        losses |= dict(zip(self.printed.steps, self.printed.values, strict=True))
        return [
            (s, v / losses[s])
            for s, v in zip(self.val.steps, self.val.values, strict=True)
            if losses.get(s, 0) > 0
        ]

    @cached_property
    def fell_on(self) -> float:
        """What the printed loss lost after the lowest validation loss, as a share of its start.

        Zero where too few readings came after it to speak of the validation loss as left behind.
        """
        val, train = self.val, self.printed
        if not (val.values and train.values and train.start and train.start > 0):
            return 0.0
        lowest = min(range(len(val.values)), key=val.values.__getitem__)
        if len(val.values) - 1 - lowest < max(END, len(val.values) / 5) or train.end is None:
            return 0.0
        before = [
            v for s, v in zip(train.steps, train.values, strict=True) if s <= val.steps[lowest]
        ]
        return (before[-1] - train.end) / train.start if before else 0.0

    @cached_property
    def gradient_share(self) -> float | None:
        """The gradient's norm in the first weight layer over that in the last, by their sums."""
        first, last_ = self._norms
        return sum(first) / sum(last_) if first and last_ and sum(last_) > 0 else None

    @cached_property
    def first_gradient(self) -> float | None:
        """The first reading of the gradient's norm in the first weight layer, at a loss of one."""
        first, _ = self._norms
        return first[0] / self._of_loss if first else None

    @cached_property
    def largest_gradient(self) -> float | None:
        """The largest of all these norms, at a loss of one."""
        found = [*self._norms[0], *self._norms[1]]
        return max(found) / self._of_loss if found else None

    @cached_property
    def _norms(self) -> tuple[list[float], list[float]]:
        return self.curve("grad_norm_first").values, self.curve("grad_norm_last").values

    @property
    def _of_loss(self) -> float:
        """What the gradient at the outputs comes to.

        That of a cross-entropy or an absolute error is bounded; that of a square twice the error.
        """
        start = self.train.start
        return 2 * math.sqrt(start) if self.run.loss == "mse" and start and start > 0 else 1.0
