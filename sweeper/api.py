"""The Python door: `run` what is missing of some recipes, `load` what was measured."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper import folders
from sweeper.errors import RequestError
from sweeper.executors.job import Ended, Job
from sweeper.fingerprint import DataSets
from sweeper.folders import Outputs
from sweeper.narrator import Log, SilentWatcher
from sweeper.recipe import Recipe, is_name_of_a_plan
from sweeper.recipe_file import every, load_recipe, recipe_names, recipe_order
from sweeper.targets import check_prefixes
from sweeper.trial import RESULTS

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.changes import Choice
    from sweeper.compose import Composer
    from sweeper.evidence.tables import Tables
    from sweeper.multirun import Multirun
    from sweeper.planning import Request


@dataclass(frozen=True)
class Places:
    """Where configuration, recipes and results lie, and which user code is trusted."""

    outputs: Outputs
    conf: tuple[Path, ...]
    recipes: tuple[Path, ...]
    allowed: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        outputs: str | Path = "outputs",
        conf: Iterable[str | Path] = (),
        recipes: Iterable[str | Path] = (),
        allow: Iterable[str] = (),
    ) -> "Places":
        """Raises RequestError for a folder of conf or recipes that does not exist."""
        trusted = os.environ.get("SWEEPER_ALLOW", "").replace(",", " ").split()
        return cls(
            Outputs(Path(outputs)),
            tuple(folders.search("conf", conf)),
            tuple(folders.search("recipes", recipes)),
            (*check_prefixes(allow), *check_prefixes(trusted)),
        )


@dataclass
class Outcome:
    """What a run came to: the tables by plan, and how many trials ended in which status."""

    tables: "dict[str, Tables]" = field(default_factory=dict)
    was_interrupted: bool = False
    without_winner: bool = False  # of some search: its arm has no reported trials

    def statuses(self) -> dict[str, int]:
        """How many cells have each status, those of searches included."""
        counts: dict[str, int] = {}
        for found in self.tables.values():
            for status, count in found.trials["status"].value_counts().items():
                counts[str(status)] = counts.get(str(status), 0) + int(count)
        return counts

    @property
    def all_ended_in_results(self) -> bool:
        """Skipped arms are no failure, but a recipe that nothing of applies to has no result."""
        if self.without_winner or self.without_result or not self.tables:
            return False
        return self.statuses().keys() <= {*RESULTS, "pruned", "skipped"}

    @property
    def without_result(self) -> list[str]:
        """The recipes that nothing of came to a result."""
        return [
            name
            for name, found in self.tables.items()
            if not found.trials["status"].isin(RESULTS).any()
        ]

    @property
    def all_reproduced(self) -> bool:
        return all((t.claims["verdict"] == "reproduced").all() for t in self.tables.values())


def prepare(
    names: Sequence[str],
    overrides: Sequence[str],
    places: Places,
    as_name: str | None = None,
    multirun: "Multirun | None" = None,
) -> "tuple[list[Request], Composer]":
    """Compose every arm of these recipes, or of the one sweep that `multirun` makes.

    Raises RequestError, before anything is launched, for whatever is wrong with any of them.
    """
    from sweeper.compose import Composer
    from sweeper.overrides import parse_overrides
    from sweeper.planning import make_request

    if multirun is not None:
        return _prepare_sweep(names, overrides, places, as_name, multirun)
    parsed = parse_overrides(overrides)
    recipes = [load_recipe(name, list(places.recipes)) for name in _every(names, places)]
    if "all" in names:
        recipes.sort(key=lambda found: recipe_order(*found))
    doubled = [name for name, n in Counter(name for name, _ in recipes).items() if n > 1]
    if doubled:
        raise RequestError(f"two of these recipes are named {doubled[0]!r}: run one at a time.")
    if as_name is not None and len(recipes) > 1:
        raise RequestError("--as names one variant: give one recipe with it.")
    _check_name(as_name, places, recipes)
    composer = Composer(places.conf)
    requests = [make_request(n, recipe, composer, parsed, as_name) for n, recipe in recipes]
    return requests, composer


def _prepare_sweep(
    names: Sequence[str],
    overrides: Sequence[str],
    places: Places,
    as_name: str | None,
    multirun: "Multirun",
) -> "tuple[list[Request], Composer]":
    from sweeper.compose import Composer
    from sweeper.multirun import make_sweep
    from sweeper.overrides import parse_overrides
    from sweeper.planning import make_request

    if len(set(names)) > 1 or "all" in names:
        raise RequestError("-m sweeps on the baseline of one recipe, or of none: name one at most.")
    start = next((load_recipe(name, list(places.recipes)) for name in names), None)
    _check_name(as_name, places, [start] if start else [])
    composer = Composer(places.conf)
    parsed = parse_overrides(overrides, composer.groups)
    sweep = make_sweep(multirun, parsed, composer, as_name, start, places.outputs.root)
    request = make_request(sweep.name, sweep.recipe, composer, sweep.overrides)
    return [replace(request, notes=(*sweep.notes, *request.notes), file=sweep.file)], composer


def _check_name(
    as_name: str | None, places: Places, recipes: "Sequence[tuple[str, Recipe]]"
) -> None:
    known = {*recipe_names(list(places.recipes)), *(name for name, _ in recipes)}
    if as_name is not None and (as_name in known or not is_name_of_a_plan(as_name)):
        why = "is a recipe's" if as_name in known else "cannot name a folder of results"
        raise RequestError(f"--as {as_name!r} {why}: choose another, as in --as wider_net.")


def _every(names: Sequence[str], places: Places) -> list[str]:
    chosen = every(names, recipe_names(list(places.recipes)))
    if not chosen:
        raise RequestError("name a recipe, or `all`; `sweeper list` shows them.")
    return chosen


def run(
    recipe: str | Sequence[str],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    outputs: str | Path = "outputs",
    *,
    conf: Iterable[str | Path] = (),
    recipes: Iterable[str | Path] = (),
    allow: Iterable[str] = (),
    changed: "Choice | None" = None,
    as_name: str | None = None,
    multirun: "Multirun | None" = None,
) -> "dict[str, Tables]":
    """Run what is missing of one or more recipes; returns their tables by plan name.

    `as_name` names a variant. With `multirun` the overrides may list values, as in
    `run((), ["optim.lr=0.1,0.01"], as_name="rates", multirun=Multirun("ladder"))`.
    `overrides` are Hydra's (`["optim.lr=0.03", "seeds=10"]`) or a mapping of keys to values.
    `changed` says what becomes of trials that other source or data answered: "keep" or "rerun".
    Raises RequestError where the request is wrong, and KeyboardInterrupt where the sweep was told
    to stop: the same call goes on from there.
    """
    names = [recipe] if isinstance(recipe, str) else list(recipe)
    texts = _texts(overrides)
    places = Places.of(outputs, conf, recipes, allow)
    outcome = run_all(names, texts, places, as_name=as_name, multirun=multirun, changed=changed)
    if outcome.was_interrupted:
        raise KeyboardInterrupt
    return outcome.tables


def _texts(overrides: Sequence[str] | Mapping[str, Any]) -> list[str]:
    if isinstance(overrides, str):
        raise RequestError(f"overrides is a list or a mapping, as in [{overrides!r}].")
    if isinstance(overrides, Mapping):
        return [f"{key}={'null' if v is None else v}" for key, v in overrides.items()]
    return list(overrides)


def run_all(
    names: Sequence[str],
    overrides: Sequence[str],
    places: Places,
    *,
    as_name: str | None = None,
    multirun: "Multirun | None" = None,
    retry: bool = False,
    changed: "Choice | None" = None,
    watcher: SilentWatcher | None = None,
) -> Outcome:
    """Run what is missing of these recipes, with tables as soon as each recipe ends."""
    from sweeper.changes import settle
    from sweeper.executors.make import make_executor, slots_of
    from sweeper.overrides import parse_overrides, typed_targets
    from sweeper.store import Store
    from sweeper.sweep import How, Sweep

    watcher = watcher or SilentWatcher()
    requests, composer = prepare(names, overrides, places, as_name, multirun)
    where = requests[0].executor
    if any(request.executor != where for request in requests):
        raise RequestError(
            "these recipes ask for different executors: run one at a time, or say which for all, "
            "as in executor.slots=2."
        )
    slots_of(where)  # what this machine does not have is refused before anything is written
    data = DataSets(places.outputs.cache, places.outputs.root)
    typed = parse_overrides(overrides, None if multirun is None else composer.groups)
    how = How(
        outputs=places.outputs,
        allowed=(*places.allowed, *typed_targets(typed)),
        timeout_s=where["timeout_s"],
        memory_mib=where["memory_mib"],
        retry=retry,
        data=data,
    )
    outcome = Outcome()
    with (
        folders.private(),
        Store(places.outputs) as store,
        Log(places.outputs.log) as log,
        _TableWriter(places.outputs, watcher, outcome) as writer,
    ):
        settle(store, requests, composer, data, changed, retry=retry)
        _write_recipes(requests, places.outputs)
        executor = make_executor(where, places.outputs.root)
        sweep = Sweep(store, executor, how, _Everybody(watcher, log, writer))
        try:
            sweep.run(requests, composer)
        finally:
            executor.close()
            with suppress(RequestError):  # without room the next run does it, as it begins
                store.cancel_running()
        outcome.was_interrupted = sweep.was_interrupted
        if sweep.was_interrupted and not sweep.was_preempted:  # then there is no time for tables
            for request in requests:
                writer.write(request.plan.name)
    return outcome


def _write_recipes(requests: "Sequence[Request]", outputs: Outputs) -> None:
    """Beside the tables lies the recipe of a sweep that was read from no file."""
    from sweeper.evidence.csvfile import write_text

    for request in requests:
        if request.file:
            write_text([request.file], outputs.recipe_file(request.plan.name))


class _TableWriter:
    """Writes the tables of each plan in a thread of its own, while the next recipe's trials run."""

    def __init__(self, outputs: Outputs, watcher: SilentWatcher, outcome: Outcome) -> None:
        self._outputs, self._watcher, self.outcome = outputs, watcher, outcome
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._pending: list[Future[None]] = []

    def __enter__(self) -> "_TableWriter":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._pool.shutdown()
        if error is None:  # else that is what is said
            for pending in self._pending:
                pending.result()

    def write(self, name: str) -> None:
        self._pending.append(self._pool.submit(self._write, name))

    def _write(self, name: str) -> None:
        from sweeper.evidence.rebuild import rebuild

        built = dict(rebuild(self._outputs, [name]))
        self.outcome.tables.update(built)
        self._watcher.written(name, built[name])


class _Everybody(SilentWatcher):
    """Passes everything on to the watcher and to the log, a finished recipe to the writer too."""

    def __init__(self, watcher: SilentWatcher, log: Log, writer: _TableWriter) -> None:
        self._told, self._writer = (watcher, log), writer

    def planned(self, request: "Request", trials: int, done: int) -> None:
        for watcher in self._told:
            watcher.planned(request, trials, done)

    def grown(self, request: "Request") -> None:
        for watcher in self._told:
            watcher.grown(request)

    def started(self, job: Job) -> None:
        for watcher in self._told:
            watcher.started(job)

    def ended(self, event: Ended, *, again: bool) -> None:
        for watcher in self._told:
            watcher.ended(event, again=again)

    def interrupted(self, running: int, *, is_preempted: bool) -> None:
        for watcher in self._told:
            watcher.interrupted(running, is_preempted=is_preempted)

    def noted(self, note: str) -> None:
        for watcher in self._told:
            watcher.noted(note)

    def finished(self, request: "Request") -> None:
        for watcher in self._told:
            watcher.finished(request)
        self._writer.write(request.plan.name)
        for search in request.plan.searches:
            applies = any(proposal.status != "skipped" for proposal in search.proposals)
            self._writer.outcome.without_winner |= search.winner is None and applies


def load(outputs: str | Path = "outputs") -> "pd.DataFrame":
    """Every trial of every plan under `outputs`, a row a trial and plan, columns as in trials.csv.

    Raises RequestError where there is no store.
    """
    from sweeper.evidence import rebuild

    return rebuild.load(Outputs(Path(outputs)))
