"""What a run's numbers say is wrong with it: the loss-trend rules, by their names in the documents.

- `diverged`: the run became NaN or inf.
- `R7`: the accuracy on the training set is lower than the training loss allows. Whatever the net,
  the code that reads its outputs is at fault, or dropout and batch statistics differ between the
  two measurements (tuning-notes: "check the code first").
- `R7_overfitting`: high training accuracy and a validation accuracy lower by a tenth or more.
"""

import math

from sweeper.evidence.runs import Run
from sweeper.metric import last
from sweeper.trial import RESULTS

# R7's bound holds for these alone; a mean square has no such relation to the accuracy.
CROSS_ENTROPIES = ("cross_entropy", "naive_cross_entropy")
# How far below its bound an accuracy must lie: it is measured on other weights than a running loss.
MARGIN = 0.05
HIGH_ACCURACY = 0.95
OVERFITTING_GAP = 0.1


def diagnose(run: Run) -> str:
    """The names of what is wrong with a run, joined by `;`; empty where nothing is."""
    if run.status not in RESULTS:
        return ""
    found = {
        "diverged": run.status == "diverged",
        "R7": _loss_contradicts_accuracy(run),
        "R7_overfitting": _overfits(run),
    }
    return ";".join(name for name, holds in found.items() if holds)


def names(run: Run) -> set[str]:
    """The same as a set."""
    return set(diagnose(run).split(";")) - {""}


def least_accuracy(loss: float) -> float:
    """The accuracy that a mean cross-entropy of `loss` nats implies at least.

    The true class of a misclassified sample has a probability of at most 1/2, since another has
    no less; it costs ln 2 or more, so at most loss / ln 2 of the samples are misclassified.
    """
    return 1 - loss / math.log(2)


def _loss_contradicts_accuracy(run: Run) -> bool:
    if run.loss not in CROSS_ENTROPIES:
        return False
    accuracy = _accuracy(run, "train_accuracy")
    losses = [_finite(run, name) for name in ("train_loss", "running_loss")]
    known = [loss for loss in losses if loss is not None and loss >= 0]
    return accuracy is not None and bool(known) and accuracy < least_accuracy(min(known)) - MARGIN


def _overfits(run: Run) -> bool:
    train, val = _accuracy(run, "train_accuracy"), _accuracy(run, "val_accuracy")
    if train is None or val is None:
        return False
    return train >= HIGH_ACCURACY and train - val >= OVERFITTING_GAP - 1e-9  # 0.95 - 0.85 < 0.1


def _finite(run: Run, name: str) -> float | None:
    value = last(name, run.metrics, run.curve)
    return value if value is not None and math.isfinite(value) else None


def _accuracy(run: Run, name: str) -> float | None:
    """A share of one; a percentage is not guessed at."""
    value = _finite(run, name)
    return value if value is not None and 0 <= value <= 1 else None
