"""The door to Optuna: one ask/tell loop for fixed designs (enqueued) and searches (sampled)."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from zlib import crc32

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeper.errors import RequestError
from sweeper.executors.perform import one_thread
from sweeper.recipe import Goal, Range, is_among
from sweeper.trial import RESULTS

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what samplers fall back to: docs/recipes.md
VERSION = optuna.__version__
_DIRECTIONS = {"down": StudyDirection.MINIMIZE, "up": StudyDirection.MAXIMIZE}

Told = float | Sequence[float | None] | None


@dataclass(frozen=True)
class Asked:
    """What the study proposed: the number to tell, and the values by axis."""

    number: int
    values: Mapping[str, Any]


class OtherValues(RequestError):
    """Optuna proposes, or gives up, otherwise than was recorded."""


class Study:
    """An Optuna study in memory; rebuilt after a restart by replaying its recorded turns.

    Comparisons use no pruner (Optuna's default would drop arms), and the sampler is explicit.
    Several goals make it multi-objective.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        goal: Goal | Sequence[Goal],
        sampler: BaseSampler | None = None,
        pruner: BasePruner | None = None,
        *,
        name: str | None = None,
        when: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    ) -> None:
        self._space, self._when = dict(space), dict(when or {})  # parents before what needs them
        goals: Sequence[Goal] = (goal,) if isinstance(goal, str) else goal
        self._worst = [math.inf if goal == "down" else -math.inf for goal in goals]
        self._study = optuna.create_study(
            directions=[_DIRECTIONS[goal] for goal in goals],
            sampler=sampler or RandomSampler(seed=0),
            pruner=pruner or NopPruner(),
            study_name=name,  # from which Hyperband draws its brackets
        )
        self._quiet = _quietly if sampler else nullcontext
        self._open: dict[int, optuna.Trial] = {}
        self.turns: list[dict[str, Any]] = []

    def ask(self, fixed: Mapping[str, Any] | None = None) -> Asked:
        """The next proposal; with `fixed` that very one, enqueued just before it is asked for."""
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        with self._quiet():
            trial = self._study.ask()
            for axis, distribution in self._space.items():
                if self._is_there(axis, trial.params):
                    _suggest(trial, axis, distribution)
        self._open[trial.number] = trial
        self.turns.append({"ask": trial.number, "values": trial.params, "optuna": VERSION})
        return Asked(trial.number, trial.params)

    def _is_there(self, axis: str, values: Mapping[str, Any]) -> bool:
        conditions = self._when.get(axis, {}).items()
        return all(p in values and is_among(values[p], allowed) for p, allowed in conditions)

    def report(self, number: int, step: int, value: float) -> bool:
        """What a proposal has come to at a step, once for each; whether to give it up."""
        trial = self._open[number]
        with _quietly():
            trial.report(self._worst[0] if math.isnan(value) else value, step)
            prune = bool(trial.should_prune())
        self.turns.append({"report": number, "step": step, "value": value, "prune": prune})
        return prune

    def tell(self, number: int, status: str, value: Told) -> None:
        """A result. Diverged counts as the worst value: told as failed, samplers return there."""
        self.turns.append({"tell": number, "status": status, "value": value})
        self._open.pop(number, None)
        if status == "pruned":
            self._study.tell(number, state=TrialState.PRUNED)
            return
        found = list(value) if isinstance(value, Sequence) else [value]
        if status == "diverged":  # with or without a value of the metric
            found = [math.nan] * len(self._worst)
        numbers = [v for v in found if v is not None]
        if status not in RESULTS or len(numbers) < len(self._worst):
            self._study.tell(number, state=TrialState.FAIL)
            return
        worst = zip(numbers, self._worst, strict=True)
        self._study.tell(number, [w if math.isnan(v) else v for v, w in worst])

    def replay(self, turns: Sequence[Mapping[str, Any]]) -> None:
        """Ask, report and tell again what was recorded.

        Raises OtherValues where Optuna answers otherwise.
        """
        for turn in turns:
            if "tell" in turn:
                self.tell(turn["tell"], turn["status"], turn["value"])
            elif "report" in turn:
                again = self.report(turn["report"], turn["step"], turn["value"])
                _check(again, turn["prune"], turns, "gives up other proposals")
            else:
                _check(self.ask().values, turn["values"], turns, "proposes other values")

    def enqueue(self, turns: Sequence[Mapping[str, Any]]) -> None:
        """Take what was recorded as it was, whatever Optuna would propose by now."""
        for turn in turns:
            if "tell" in turn:
                self.tell(turn["tell"], turn["status"], turn["value"])
            elif "report" in turn:
                self.report(turn["report"], turn["step"], turn["value"])
            else:
                self.ask(turn["values"])
        self.turns = [dict(turn) for turn in turns]

    def told(self, number: int) -> tuple[float, ...]:
        """What was told of a proposal that counts; empty of one that failed or was given up."""
        trial = self._trials()[number]
        return tuple(trial.values) if trial.state == TrialState.COMPLETE else ()

    def best(self) -> Asked | None:
        """The best told proposal, the earliest on a tie; None where nothing was told.

        Of several goals: the best by the first of them among the Pareto set.
        """
        counts = [t for t in self._trials() if t.state == TrialState.COMPLETE]
        told = counts if len(self._worst) == 1 else self._study.best_trials
        if not told:
            return None
        sign = 1.0 if self._worst[0] > 0 else -1.0
        best = min(told, key=lambda t: (sign * t.values[0], t.number))
        return Asked(best.number, best.params)

    def pareto(self) -> tuple[int, ...]:
        """Of several goals, the proposals that none is better than in all; of one goal none."""
        if len(self._worst) == 1:
            return ()
        return tuple(sorted(t.number for t in self._study.best_trials))

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Optuna's warnings of what is meant so, and on one thread where torch computes."""
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        yield


def _check(now: Any, recorded: Any, turns: Sequence[Mapping[str, Any]], does: str) -> None:
    if now == recorded:
        return
    versions = [turn["optuna"] for turn in turns if "ask" in turn]
    other = next((version for version in versions if version != VERSION), VERSION)
    raise OtherValues(
        f"the search was begun under Optuna {other}, and version {VERSION} {does}: install that "
        "version again, let it go on from the recorded values with `replay: enqueue` under "
        "`search:`, or choose another folder with --outputs DIR."
    )


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


def _suggest(trial: optuna.Trial, axis: str, found: BaseDistribution) -> None:
    if isinstance(found, CategoricalDistribution):
        trial.suggest_categorical(axis, found.choices)
    elif isinstance(found, IntDistribution):
        trial.suggest_int(axis, found.low, found.high, log=found.log)
    elif isinstance(found, FloatDistribution):
        trial.suggest_float(axis, found.low, found.high, log=found.log)


def make_sampler(
    settings: Mapping[str, Any], study: str, *, is_conditional: bool = False
) -> BaseSampler:
    """The sampler as set; its seed also depends on the study's name, so that arms draw apart."""
    seed = (settings["seed"] + crc32(study.encode())) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match settings["name"]:
            case "random":
                return RandomSampler(seed=seed)
            case "qmc":
                return QMCSampler(seed=seed, scramble=True)
            case "gp":
                # It would load torch within its first fit, when it is too late to say how many
                # threads that may use: other threads, other bits, another proposal.
                import_module("torch")
                return GPSampler(
                    seed=seed,
                    n_startup_trials=settings["startup_trials"],
                    deterministic_objective=settings["deterministic"],
                )
            case "cmaes":
                return _cmaes(settings, seed)
        return _tpe(settings, seed, is_conditional=is_conditional)


def _tpe(settings: Mapping[str, Any], seed: int, *, is_conditional: bool) -> TPESampler:
    group = settings.get("group")
    return TPESampler(
        seed=seed,
        n_startup_trials=settings["startup_trials"],
        multivariate=settings["multivariate"],
        group=(is_conditional and settings["multivariate"]) if group is None else group,
        constant_liar=settings["constant_liar"],
    )


def _cmaes(settings: Mapping[str, Any], seed: int) -> CmaEsSampler:
    return CmaEsSampler(
        seed=seed,
        n_startup_trials=settings["startup_trials"],
        popsize=settings["population_size"],
        use_separable_cma=settings["separable"],
        with_margin=settings["with_margin"],
        lr_adapt=settings["adapt_learning_rate"],
        consider_pruned_trials=settings["consider_pruned"],
    )


_PRUNERS: Mapping[str, type[BasePruner]] = {
    "none": NopPruner,
    "median": MedianPruner,
    "percentile": PercentilePruner,
    "asha": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
    "wilcoxon": WilcoxonPruner,
}
_OPTUNAS_NAMES = {
    "startup_trials": "n_startup_trials",
    "warmup_steps": "n_warmup_steps",
    "min_trials": "n_min_trials",
    "startup_steps": "n_startup_steps",
}


def make_pruner(settings: Mapping[str, Any]) -> BasePruner:
    """The pruner as set; `none` gives nothing up."""
    options = {_OPTUNAS_NAMES.get(k, k): v for k, v in settings.items() if k != "name"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _PRUNERS[settings["name"]](**options)
