"""The door to Optuna: one ask/tell loop for fixed designs (enqueued) and searches (sampled)."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sweeper.errors import RequestError
from sweeper.recipe import Goal, Range
from sweeper.trial import RESULTS

optuna.logging.set_verbosity(optuna.logging.WARNING)
_DIRECTIONS = {"down": StudyDirection.MINIMIZE, "up": StudyDirection.MAXIMIZE}


@dataclass(frozen=True)
class Asked:
    """What the study proposed: the number to tell, and the values by axis."""

    number: int
    values: Mapping[str, Any]


class Study:
    """An Optuna study in memory; rebuilt after a restart by replaying its recorded turns.

    Comparisons use no pruner (Optuna's default would drop arms), and the sampler is explicit.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], goal: Goal, sampler: BaseSampler | None = None
    ) -> None:
        self._space = dict(space)
        self._worst = math.inf if goal == "down" else -math.inf
        self._study = optuna.create_study(
            direction=_DIRECTIONS[goal],
            sampler=sampler or RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        self.turns: list[dict[str, Any]] = []

    def ask(self, fixed: Mapping[str, Any] | None = None) -> Asked:
        """The next proposal; with `fixed` that very one, enqueued just before it is asked for."""
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        trial = self._study.ask(self._space)
        self.turns.append(
            {"ask": trial.number, "values": trial.params, "optuna": optuna.__version__}
        )
        return Asked(trial.number, trial.params)

    def tell(self, number: int, status: str, value: float | None) -> None:
        """A result. Diverged counts as the worst value: told as failed, samplers return there."""
        self.turns.append({"tell": number, "status": status, "value": value})
        if status == "diverged":  # with or without a value of the metric
            value = math.nan
        if status not in RESULTS or value is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, self._worst if math.isnan(value) else value)

    def replay(self, turns: Sequence[Mapping[str, Any]]) -> None:
        """Ask and tell again what was recorded; RequestError where Optuna answers otherwise."""
        for turn in turns:
            if "tell" in turn:
                self.tell(turn["tell"], turn["status"], turn["value"])
            elif self.ask().values != turn["values"]:
                raise RequestError(
                    f"the search was begun under Optuna {turn['optuna']}, and version "
                    f"{optuna.__version__} proposes other values: install that version again, "
                    "or choose another folder with --outputs DIR."
                )

    def best(self) -> Asked | None:
        """The best told proposal, the earliest on a tie; None where nothing was told."""
        told = [t for t in self._study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
        if not told:
            return None
        sign = 1.0 if self._worst > 0 else -1.0
        best = min(told, key=lambda t: (sign * (t.value or 0.0), t.number))
        return Asked(best.number, best.params)


def cell_space(arms: Sequence[str], seeds: Sequence[int]) -> dict[str, BaseDistribution]:
    """A fixed design as a space: the arm and the seed."""
    return {"arm": CategoricalDistribution(list(arms)), "seed": IntDistribution(0, max(seeds))}


def search_space(axes: Mapping[str, Range]) -> dict[str, BaseDistribution]:
    """The distributions of a search's axes."""
    return {axis: _distribution(found) for axis, found in axes.items()}


def _distribution(found: Range) -> BaseDistribution:
    if found.choices is not None:
        return CategoricalDistribution(found.choices)
    assert found.low is not None and found.high is not None
    if found.integer:
        return IntDistribution(int(found.low), int(found.high), log=found.log)
    return FloatDistribution(found.low, found.high, log=found.log)


def make_sampler(settings: Mapping[str, Any], study: str) -> BaseSampler:
    """The sampler as set; its seed also depends on the study's name, so that arms draw apart."""
    seed = (settings["seed"] + crc32(study.encode())) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if settings["name"] == "random":
            return RandomSampler(seed=seed)
        if settings["name"] == "qmc":
            return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
        return TPESampler(
            seed=seed,
            n_startup_trials=settings["startup_trials"],
            multivariate=settings["multivariate"],
            constant_liar=settings["constant_liar"],
        )
