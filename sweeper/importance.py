"""How much each axis of a search matters, beside what chance alone would give it."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution

from sweeper.plan import Proposal
from sweeper.recipe import Goal, Range
from sweeper.study import search_space

if TYPE_CHECKING:  # it loads scikit-learn, which only the end of a search needs
    from optuna.importance import BaseImportanceEvaluator

# Fewer proposals with a finite value say nothing of any axis.
LEAST_PROPOSALS = 10
# With so many the 95 % quantile is one of them, exactly.
PERMUTATIONS: Mapping[str, int] = {"ped_anova": 99, "fanova": 19}
_LEVEL = 0.05
# A sampler that learns goes back to where chance was kind, which no permutation does: at this
# level its error stays near 5 % (benchmarks/importance.py).
_LEVEL_OF_LEARNING = 0.02
_NOTHING = 1e-9
_DO_NOT_LEARN = ("random", "qmc")
_TREES = 16  # Optuna's own 64, once for each permutation, would take a search too long
# PED-ANOVA asks what sets the better half apart. Optuna's best tenth are two proposals of twenty,
# and of many that a sampler has gathered around the best values they are those of most luck.
_BETTER = 0.5

Array = npt.NDArray[np.float64]


def importances(
    axes: Mapping[str, Mapping[str, Any]],
    proposals: Sequence[Proposal],
    goal: Goal,
    sampler: Mapping[str, Any],
) -> dict[str, tuple[float, float]]:
    """Each axis' share of the importance, and the noise floor of that share.

    PED-ANOVA (Watanabe et al. 2023) or fANOVA (Hutter et al. 2014) of the ranks of the first told
    number: a diverged proposal ranks last, however many decades the others span. Which of them is
    the sampler's `importance`. The floor is what the share of no axis rises above in 95 % of
    permutations of the told numbers over the same proposals, each axis measured in its own spread
    (Westfall and Young 1993); it may exceed one. An axis that not every proposal has is scored over
    those that have it. Left out are axes of fewer than ten proposals of finite value, and all for
    `none` and where every proposal was told the same.
    """
    method = sampler.get("importance", "ped_anova")
    told = [p for p in proposals if p.told and not math.isnan(p.told[0])]
    if method == "none" or _finite(told) < LEAST_PROPOSALS:
        return {}
    sign = 1.0 if goal == "down" else -1.0
    values = np.array([sign * p.told[0] for p in told])
    scores = _scores(axes, told, np.unique(values, return_inverse=True)[1], method)
    if not scores:
        return {}
    total = sum(column[0] for column in scores.values()) or 1.0
    level = _LEVEL if sampler["name"] in _DO_NOT_LEARN else _LEVEL_OF_LEARNING
    floors = _floors(np.stack(list(scores.values()), axis=1), level)
    return {
        axis: (float(column[0] / total), float(floor / total))
        for (axis, column), floor in zip(scores.items(), floors, strict=True)
    }


def _finite(proposals: Sequence[Proposal]) -> int:
    return sum(math.isfinite(p.told[0]) for p in proposals)


def _scores(
    axes: Mapping[str, Mapping[str, Any]],
    told: Sequence[Proposal],
    ranks: npt.NDArray[np.intp],
    method: str,
) -> dict[str, Array]:
    """(1 + permutations,) for each axis: the score as told, then of each permutation."""
    chance = np.random.default_rng(0)
    orders = [ranks, *(chance.permutation(ranks) for _ in range(PERMUTATIONS[method]))]
    found: dict[str, Array] = {}
    for rows, names in _together(axes, told):
        if _finite([told[row] for row in rows]) >= LEAST_PROPOSALS:
            scorer = _Scorer(axes, [told[row].values for row in rows], method)
            scores = np.array([scorer.scores(order[rows], names) for order in orders])
            found |= zip(names, scores.T, strict=True)
    # What no order changes says nothing: all were told the same, or fANOVA has a single axis.
    found = {axis: column for axis, column in found.items() if np.ptp(column) > _NOTHING}
    return {axis: found[axis] for axis in axes if axis in found}


def _together(
    axes: Mapping[str, Any], told: Sequence[Proposal]
) -> Iterator[tuple[list[int], list[str]]]:
    """The proposals that have an axis, with all the axes that these very proposals have."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for axis in axes:
        groups.setdefault(tuple(i for i, p in enumerate(told) if axis in p.values), []).append(axis)
    for rows, names in groups.items():
        yield list(rows), names


class _Scorer:
    """The same proposals scored under one order of their told numbers after another."""

    def __init__(
        self, axes: Mapping[str, Any], values: Sequence[Mapping[str, Any]], method: str
    ) -> None:
        common = [axis for axis in axes if all(axis in v for v in values)]
        space = search_space({axis: Range.model_validate(axes[axis]) for axis in common})
        self._study = optuna.create_study()
        self._study.add_trials([_trial(v, space, number) for number, v in enumerate(values)])
        self._method = method

    def scores(self, ranks: npt.NDArray[np.intp], names: Sequence[str]) -> list[float]:
        """Of each named axis, at these ranks (the best is 0) of the proposals."""
        from optuna.importance import get_param_importances

        with warnings.catch_warnings():  # that a target is minimised, and of `normalize`
            warnings.simplefilter("ignore")
            found = get_param_importances(
                self._study,
                evaluator=self._evaluator(ranks),
                target=lambda trial: float(ranks[trial.number]),
                normalize=False,
            )
        return [float(found[name]) for name in names]

    def _evaluator(self, ranks: npt.NDArray[np.intp]) -> "BaseImportanceEvaluator":
        from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

        if self._method == "fanova":
            return FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
        return PedAnovaImportanceEvaluator(target_quantile=_better(ranks))


def _better(ranks: npt.NDArray[np.intp]) -> float:
    """The share of proposals in the better half, without those that tie across its end.

    Where more than half diverged these are all that did not.
    """
    sizes = np.unique(ranks, return_counts=True)[1].cumsum()
    within = sizes[sizes <= _BETTER * len(ranks)]
    size = within[-1] if len(within) else sizes[0]
    return float((size - 0.5) / len(ranks))  # which Optuna rounds up


def _trial(
    values: Mapping[str, Any], space: Mapping[str, BaseDistribution], number: int
) -> optuna.trial.FrozenTrial:
    params = {axis: values[axis] for axis in space}
    return optuna.trial.create_trial(params=params, distributions=dict(space), value=float(number))


def _floors(scores: Array, level: float) -> Array:
    """(axes,) of (1 + permutations, axes): one quantile for all axes, each in its own spread."""
    of_chance = scores[1:]
    mean, spread = of_chance.mean(axis=0), of_chance.std(axis=0)
    largest = ((of_chance - mean) / np.where(spread > 0, spread, 1.0)).max(axis=1)
    place = math.ceil((1 - level) * len(scores) - 1e-9)
    return np.asarray(mean + np.sort(largest)[min(place, len(largest)) - 1] * spread)
