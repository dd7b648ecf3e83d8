"""What has changed since the trials of a request were answered, and what to do about it."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, get_args

from sweeper import __version__
from sweeper.compose import Composer
from sweeper.errors import RequestError
from sweeper.executors import workdir
from sweeper.fingerprint import DataSets, digest_of, digest_of_file
from sweeper.folders import Outputs
from sweeper.planning import Request, Search
from sweeper.proposals import proposed, study_name
from sweeper.records import Provenance, Reader
from sweeper.store import Store
from sweeper.trial import FINAL, RESULTS

Choice = Literal["keep", "rerun"]
_RETRIED = FINAL - RESULTS - {"pruned", "skipped"}
_SHOWN = 3


@dataclass(frozen=True)
class Change:
    """A file or a folder that a trial ran with and that is another by now, or gone."""

    path: str
    is_data: bool
    is_gone: bool
    files: tuple[str, ...] = ()  # of a folder: those that differ

    def __str__(self) -> str:
        what = f"the data set {self.path}" if self.is_data else self.path
        if self.is_gone:
            return f"{what} is gone"
        if not self.files:
            return f"{what} changed"
        more = ", …" if len(self.files) > _SHOWN else ""
        shown = ", ".join(self.files[:_SHOWN]) + more
        differ = "1 file differs" if len(self.files) == 1 else f"{len(self.files)} files differ"
        return f"{what} changed ({differ}: {shown})"


@dataclass
class Changes:
    """What changed, and the trials whose answers it concerns."""

    found: dict[Change, None] = field(default_factory=dict)  # in order, each once
    stale: dict[Provenance, str] = field(default_factory=dict)  # with the files' state of now

    def __bool__(self) -> bool:
        return bool(self.stale)

    def __str__(self) -> str:
        *first, last = map(str, self.found)
        listed = f"{', '.join(first)} and {last}" if first else last
        count = len(self.stale)
        return f"{listed} since {count} finished trial{'s' * (count > 1)} ran"


def changes(
    reader: Reader, requests: Sequence[Request], composer: Composer, data: DataSets
) -> Changes:
    """Compare what each answered trial of these requests ran with to the files of now."""
    return _compare(reader, _answered(reader, requests, composer), data)


def settle(
    store: Store,
    requests: Sequence[Request],
    composer: Composer,
    data: DataSets,
    choice: Choice | None,
    *,
    retry: bool = False,
) -> None:
    """Before anything is launched: keep what other files answered, or send it back to waiting.

    Raises RequestError where there is such an answer and no choice.
    """
    if choice not in (None, *get_args(Choice)):
        raise RequestError(f"changed={choice!r}: it is 'keep', 'rerun' or None.")
    for request in requests:
        for config in request.configs:
            data.of(config)  # now, and not between two trials
    answered = _answered(store, requests, composer)
    if retry:
        statuses = store.statuses()
        answered = [p for p in answered if statuses[p.trial_id] not in _RETRIED]
    found = _compare(store, answered, data, once_kept=choice == "rerun")
    if found.stale and choice is None:
        raise RequestError(
            f"{found}: add --keep to count them as they are, or --rerun to run them again "
            "(their records stay)."
        )
    if choice == "rerun":
        others = [p for p in answered if _is_of_other_versions(p)]
        _send_back(store, requests, composer, dict.fromkeys([*found.stale, *others]))
    with store.turn():
        for digest, listing in data.listings.items():
            store.add_content(digest, listing)
        if choice == "keep":
            for provenance, now in found.stale.items():
                store.keep(provenance.trial_id, provenance.attempt, now)


def _answered(reader: Reader, requests: Sequence[Request], composer: Composer) -> list[Provenance]:
    """The answers of the requests' trials, those of their searches included."""
    known = reader.provenances()
    asked: set[str] = set()
    for request in requests if known else ():
        asked |= request.trials.keys()
        asked |= _followed(reader, request)
        if request.searches:
            asked |= {t for s in request.searches for t in _proposed(reader, request, s, composer)}
    return [provenance for provenance in known if provenance.trial_id in asked]


def _followed(reader: Reader, request: Request) -> set[str]:
    """What came of this plan's measurements last time: winners of searches, further seeds."""
    if request.plan.name not in reader.plan_names():
        return set()
    return {c.trial_id for c in reader.plan(request.plan.name).cells if request.may_grow(c.arm)}


def _proposed(
    reader: Reader, request: Request, search: Search, composer: Composer
) -> Iterator[str]:
    for _, trials in proposed(reader, request, search, composer):
        yield from (trial.trial_id for trial in trials)


def _compare(
    reader: Reader, answered: Sequence[Provenance], data: DataSets, *, once_kept: bool = False
) -> Changes:
    """Answers of other files than those of now, less those kept under just these, or with them."""
    by_fingerprint: dict[str, list[Provenance]] = defaultdict(list)
    for provenance in answered:
        if provenance.fingerprint:
            by_fingerprint[provenance.fingerprint].append(provenance)
    found = Changes()
    digests: dict[str, str | None] = {}  # of sources, each read once
    for fingerprint, provenances in by_fingerprint.items():
        before = reader.content(fingerprint)
        if not before:
            continue
        for path in before["sources"].keys() - digests.keys():
            digests[path] = digest_of_file(path)
        now = {
            "sources": {path: digests[path] for path in before["sources"]},
            "data": {path: data.digest(path) for path in before["data"]},
        }
        state = digest_of(now)
        others = provenances if fingerprint != state else ()
        stale = [p for p in others if once_kept or p.kept != state]
        found.stale |= dict.fromkeys(stale, state)
        if stale:
            found.found |= dict.fromkeys(_differences(reader, before, now, data))
    return found


def _differences(
    reader: Reader,
    before: Mapping[str, Mapping[str, str]],
    now: Mapping[str, Mapping[str, str | None]],
    data: DataSets,
) -> Iterator[Change]:
    for kind in ("sources", "data"):
        for path, was in sorted(before[kind].items()):
            if (becomes := now[kind][path]) != was:
                old, new = reader.content(was), data.listings.get(becomes or "", {})
                files = sorted(f for f in {**old, **new} if old.get(f) != new.get(f))
                is_gone = becomes is None and not Path(path).exists()
                yield Change(path, kind == "data", is_gone, tuple(files) if old and new else ())


def _is_of_other_versions(provenance: Provenance) -> bool:
    """Whether torch or this package is another by now than what answered the trial."""
    ran_with = json.loads(provenance.versions)
    return any(ran_with.get(name, now) != now for name, now in versions_now().items())


def versions_now() -> dict[str, str]:
    """The versions that tell trials apart, as installed."""
    found = {"sweeper": __version__}
    with suppress(PackageNotFoundError):
        found["torch"] = version("torch")
    return found


def _send_back(
    store: Store,
    requests: Sequence[Request],
    composer: Composer,
    stale: Mapping[Provenance, None],
) -> None:
    """Let trials run again, from nothing; a search that was told of one begins anew."""
    ids = {provenance.trial_id for provenance in stale}
    for provenance in stale:
        _set_work_aside(store.outputs, provenance)
    with store.turn():
        store.forget(ids)
        for request in requests:
            for search in request.searches:
                if not ids.isdisjoint(_proposed(store, request, search, composer)):
                    store.set_aside(study_name(request, search))


def _set_work_aside(outputs: Outputs, provenance: Provenance) -> None:
    """A checkpoint of the other code would end the new attempt before it began."""
    folder = outputs.trial(provenance.trial_id)
    workdir.settle(folder)
    work = folder / workdir.SETTLED
    aside = work.with_suffix(f".{provenance.attempt}")
    if work.is_dir() and not aside.exists():
        work.rename(aside)
