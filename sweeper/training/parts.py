"""Which samples train and which validate: split, thinned and ordered, before anything is changed.

Which samples a trial sees is decided before anything is left out, so that arms stay comparable:
the validation part first, then the training samples in one order, so 1,800 are among the 3,200.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import RequestError, nearest
from sweeper.training import streams

Array = NDArray[Any]
Axes = Mapping[str, Any]


class AxisError(RequestError):
    """A data axis that these arrays cannot follow."""


@dataclass(frozen=True)
class Parts:
    """Samples on the way: x (samples, …), y (samples,) numbers of classes, or targets."""

    train_x: Array
    train_y: Array
    val_x: Array
    val_y: Array
    classes: tuple[str, ...]
    seed: int

    def generator(self, name: str) -> np.random.Generator:
        """The stream `name` of the trial's seed, from its start."""
        return streams.generator(self.seed, name)

    def of_training(self, chosen: Array) -> "Parts":
        """With these training samples alone, by number or as a mask."""
        return replace(self, train_x=self.train_x[chosen], train_y=self.train_y[chosen])

    def need_images(self, axis: str, value: Any) -> None:
        """Refuse an axis of images where the samples are vectors."""
        if self.train_x.ndim == 2:
            raise AxisError(f"data.{axis}: {value} needs images; the samples are vectors.")

    def need_classes(self, axis: str) -> None:
        """Refuse an axis of classes where the targets are numbers."""
        if not self.classes:
            raise AxisError(f"data.{axis}: the targets are numbers, there are no classes.")


def split(x: Array, y: Array, axes: Axes, seed: int) -> Parts:
    """Assign the samples of a source to two parts, as `data.split` says."""
    y, classes = _numbered(y)
    if axes["split"] == "by_class" and not classes:
        raise AxisError("data.split: by_class needs classes; the targets are numbers.")
    train, val = _dealt(y, axes, seed)
    n_train = _at_most(axes["train_samples"], len(train), len(val))
    return Parts(x[train[:n_train]], y[train[:n_train]], x[val], y[val], classes, seed)


def _dealt(y: Array, axes: Axes, seed: int) -> tuple[Array, Array]:
    """Which samples may train, in their order, and which validate."""
    how, n_val = axes["split"], axes["validation_samples"] or max(1, len(y) // 5)
    if how == "k_fold":
        return _fold(len(y), axes["folds"], seed)
    if how == "random":
        order = streams.generator(seed, "split").permutation(len(y))
        return order[n_val:], order[:n_val]
    order = np.argsort(y, kind="stable") if how == "by_class" else np.arange(len(y))
    n_train = max(0, len(y) - n_val)
    return order[:n_train], order[n_train:]


def _fold(samples: int, folds: int, seed: int) -> tuple[Array, Array]:
    """Seed s leaves out fold s mod k of the split that s // k draws: k seeds validate all once."""
    if folds > samples:
        raise AxisError(f"data.folds: {folds} folds are asked for, {samples} samples are there.")
    order = streams.generator(seed // folds, "split").permutation(samples)
    rest = np.array_split(order, folds)
    val = rest.pop(seed % folds)
    return np.concatenate(rest), val


def given(arrays: tuple[Array, ...], axes: Axes, seed: int) -> Parts:
    """Parts that the source has split: the axes take the first samples in the seed's order."""
    if axes["split"] != "random":
        raise AxisError(f"data.split: {axes['split']} of what the source has split already.")
    train_x, train_y, val_x, val_y = arrays
    train_y, classes = _numbered(train_y)
    if classes:
        val_y = _as_in_training(val_y, classes)
    n_train = _at_most(axes["train_samples"], len(train_x))
    n_val = axes["validation_samples"] or len(val_x)
    if n_val > len(val_x):
        raise AxisError(f"data.validation_samples: {n_val} of {len(val_x)} that are there.")
    train = streams.generator(seed, "split").permutation(len(train_x))[:n_train]
    val = streams.generator(seed, "split_validation").permutation(len(val_x))[:n_val]
    return Parts(train_x[train], train_y[train], val_x[val], val_y[val], classes, seed)


def _at_most(asked: int | None, there: int, n_val: int = 0) -> int:
    beside = f" beside {n_val} for validation" if n_val else ""
    if there < 1:
        raise AxisError(f"data.validation_samples: {n_val} leaves none for training.")
    if asked is not None and asked > there:
        raise AxisError(f"data.train_samples: {asked} are asked for, {there} are there{beside}.")
    return there if asked is None else asked


def _numbered(y: Array) -> tuple[Array, tuple[str, ...]]:
    """Labels as numbers 0, 1, … with the names of the classes; targets as they are."""
    if y.dtype.kind == "f":
        return y, ()
    if y.ndim != 1:
        raise RequestError(
            f"labels have shape {y.shape}; one per sample is needed, not one-hot rows"
        )
    names, numbers = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise RequestError(f"all labels are {names[0]}: there is nothing to tell apart")
    return numbers.astype(np.int64), tuple(map(str, names))


def _as_in_training(y: Array, classes: tuple[str, ...]) -> Array:
    known = {name: i for i, name in enumerate(classes)}
    foreign = sorted({str(v) for v in y} - set(known))
    if foreign:
        raise RequestError(f"validation has labels that training lacks: {', '.join(foreign)}")
    return np.array([known[str(v)] for v in y], np.int64)


def drop_classes(parts: Parts, axes: Axes) -> Parts:
    """Remove classes from both parts and number those that remain afresh."""
    if not axes["drop_classes"]:
        return parts
    gone = [_class(parts, name, "drop_classes") for name in axes["drop_classes"]]
    stay = np.setdiff1d(np.arange(len(parts.classes)), gone)
    if len(stay) < 2:
        raise AxisError("data.drop_classes: fewer than two classes would be left.")
    renumber = np.full(len(parts.classes), -1)
    renumber[stay] = np.arange(len(stay))
    train, val = (renumber[y] for y in (parts.train_y, parts.val_y))
    if not (train >= 0).any() or not (val >= 0).any():
        raise AxisError("data.drop_classes: no sample is left for training or validation.")
    return Parts(
        parts.train_x[train >= 0],
        train[train >= 0],
        parts.val_x[val >= 0],
        val[val >= 0],
        tuple(parts.classes[i] for i in stay),
        parts.seed,
    )


def _class(parts: Parts, name: Any, axis: str) -> int:
    parts.need_classes(axis)
    if str(name) not in parts.classes:
        hint = nearest(str(name), parts.classes, what="classes")
        raise AxisError(f"data.{axis}: there is no class {str(name)!r}. {hint}")
    return parts.classes.index(str(name))


def thin(parts: Parts, axes: Axes) -> Parts:
    """Keep of each named class the first samples in the training order, at most so many."""
    if not axes["class_samples"]:
        return parts
    keep = np.ones(len(parts.train_y), bool)
    for name, count in axes["class_samples"].items():
        of_class = np.flatnonzero(parts.train_y == _class(parts, name, "class_samples"))
        keep[of_class[count:]] = False
    return parts.of_training(keep)


def order(parts: Parts, axes: Axes) -> Parts:
    """Training samples as they were drawn, or class by class."""
    if axes["order"] == "as_drawn":
        return parts
    parts.need_classes("order")
    return parts.of_training(np.argsort(parts.train_y, kind="stable"))
