"""The tables of a recipe's searches, and what they warn of."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import pandas as pd

from sweeper.evidence.columns import free, plain
from sweeper.evidence.wording import short
from sweeper.plan import ConcludedSearch, Plan, Proposal
from sweeper.recipe import Range

SEARCH_TABLES = ("searches", "importance", "proposals", "pareto")
# How close to the end of its range, as a share of it on its scale, a best value lies at the end.
_EDGE = 0.05
_MOSTLY, _UNEQUAL = 1 / 2, 1 / 3  # shares of the proposals

Warnings = Mapping[str, tuple[str, ...]]  # sentences by arm


def search_tables(plan: Plan, said: Warnings) -> dict[str, pd.DataFrame]:
    """By file name what the plan's searches came to; without a concluded search none."""
    if not plan.searches:
        return {}
    proposed = [(s, p) for s in plan.searches for p in s.proposals]
    ours = [_search(search, said.get(search.arm, ())) for search in plan.searches]
    tables = {
        "searches": _frame(plan, ours, last=("warnings",)),
        "importance": _frame(plan, [*chain.from_iterable(map(_importance, plan.searches))]),
        "proposals": _frame(plan, [_proposal(s, p) for s, p in proposed]),
    }
    if any(len(search.metrics) > 1 for search in plan.searches):
        best = [_proposal(s, p) for s, p in proposed if p.number in s.pareto]
        tables["pareto"] = _frame(plan, best)
    return tables


_Row = tuple[dict[str, Any], Mapping[str, Any], Mapping[str, Any]]  # ours, the metrics', the axes'


def _frame(plan: Plan, rows: Sequence[_Row], last: tuple[str, ...] = ()) -> pd.DataFrame:
    """Our columns, then one for each metric and axis that some row has, then the last of ours."""
    ours = list(dict.fromkeys(chain.from_iterable(own for own, _, _ in rows)))
    table: dict[str, Any] = {"recipe": plain([plan.name] * len(rows))}
    for name in ours:
        table[name] = plain([own.get(name) for own, _, _ in rows])
    taken = ("recipe", *ours)
    for place, kind in ((1, "metric"), (2, "axis")):
        for name in dict.fromkeys(chain.from_iterable(row[place] for row in rows)):
            table[free(name, kind, taken)] = plain([_cell(row[place].get(name)) for row in rows])
        taken = tuple(table)
    for name in last:
        table[name] = table.pop(name)
    return pd.DataFrame(table)


def _cell(value: Any) -> Any:
    """A list or a mapping as compact JSON; anything else as it is."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def _search(search: ConcludedSearch, said: Sequence[str]) -> _Row:
    best = _winner(search)
    own = {
        "arm": search.arm,
        "metric": ", ".join(search.metrics),
        "sampler": _settings(search.sampler),
        "pruner": _settings(search.pruner),
        "optuna": search.optuna,
        "budget": search.budget,
        "n_told": sum(bool(p.told) for p in search.proposals),
        "n_pruned": _count(search, "pruned"),
        "n_diverged": _count(search, "diverged"),
        "n_failed": _failed(search),
        "infeasible_share": _infeasible_share(search),
        "best": None if best is None else _told(best),
        "best_number": search.winner,
        "warnings": "; ".join(said),
    }
    values = {**dict.fromkeys(search.axes), **(best.values if best else {})}
    return own, {}, values


def _settings(settings: Mapping[str, Any]) -> str:
    """`tpe seed=0 startup_trials=10`."""
    others = [f"{k}={_plain_text(v)}" for k, v in settings.items() if k != "name" and v is not None]
    return " ".join([str(settings.get("name", "none")), *others])


def _plain_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _told(proposal: Proposal) -> Any:
    if len(proposal.told) == 1:
        return proposal.told[0]
    return ", ".join(map(repr, proposal.told))


def _winner(search: ConcludedSearch) -> Proposal | None:
    return next((p for p in search.proposals if p.number == search.winner), None)


def _count(search: ConcludedSearch, status: str) -> int:
    return sum(proposal.status == status for proposal in search.proposals)


def _failed(search: ConcludedSearch) -> int:
    """Those without a result that no pruner ended."""
    return sum(p.status not in ("done", "diverged", "pruned") for p in search.proposals)


def _infeasible(search: ConcludedSearch) -> int:
    """Those that diverged or failed."""
    return _count(search, "diverged") + _failed(search)


def _infeasible_share(search: ConcludedSearch) -> float:
    return _infeasible(search) / len(search.proposals) if search.proposals else 0.0


def _importance(search: ConcludedSearch) -> Iterator[_Row]:
    for axis in search.axes:
        share, floor = search.importance.get(axis, (None, None))
        verdict = ""
        if share is not None and floor is not None:
            verdict = "above the floor" if share > floor else "below the floor"
        own = {"arm": search.arm, "axis": axis, "importance": share, "floor": floor}
        yield {**own, "verdict": verdict}, {}, {}


def _proposal(search: ConcludedSearch, proposal: Proposal) -> _Row:
    told = proposal.told or (None,) * len(search.metrics)
    own = {"arm": search.arm, "number": proposal.number, "status": proposal.status}
    return own, dict(zip(search.metrics, told, strict=True)), proposal.values


def warnings(plan: Plan) -> dict[str, tuple[str, ...]]:
    """What is to be mended before a searched arm is believed, in a sentence each, by arm."""
    return {s.arm: tuple(filter(None, _said(s, plan.searches))) for s in plan.searches}


def _said(search: ConcludedSearch, every: Sequence[ConcludedSearch]) -> Iterator[str]:
    if any(proposal.told for proposal in search.proposals):
        yield from _edges(search)
        yield _fewer_finished(search, every)
        yield _infeasible_said(search, every)
    else:
        yield (
            f"the search of {search.arm!r} was told of no proposal, so that the arm has no trials "
            "to report: `sweeper show TRIAL` says why those of trials.csv ended as they did"
        )


def _edges(search: ConcludedSearch) -> Iterator[str]:
    best = _winner(search)
    if best is None or math.isinf(best.told[0]):
        return
    for axis, given in search.axes.items():
        found = Range.model_validate(given)
        if axis not in best.values or found.choices is not None:
            continue
        value = best.values[axis]
        for end, name, beyond in ((found.low, "lower", "below"), (found.high, "upper", "above")):
            if end is not None and _lies_at(value, end, found):
                yield (
                    f"the search of {search.arm!r} found its best {axis}, {short(value)}, at the "
                    f"{name} end of the range: widen {axis} {beyond} {end:g}"
                )


def _lies_at(value: float, end: float, found: Range) -> bool:
    assert found.low is not None and found.high is not None
    if found.integer:
        return value == end
    scale: Callable[[float], float] = math.log if found.log else float
    return abs(scale(value) - scale(end)) <= _EDGE * (scale(found.high) - scale(found.low))


def _finished(search: ConcludedSearch) -> int:
    return len(search.proposals) - _failed(search)


def _fewer_finished(search: ConcludedSearch, every: Sequence[ConcludedSearch]) -> str:
    most = max(every, key=_finished)
    if _finished(search) == _finished(most):
        return ""
    return (
        f"the search of {search.arm!r} finished {_finished(search)} proposals and that of "
        f"{most.arm!r} {_finished(most)}: mend what kept the others from a result, and "
        "`sweeper run … --retry`"
    )


def _infeasible_said(search: ConcludedSearch, every: Sequence[ConcludedSearch]) -> str:
    share, least = _infeasible_share(search), min(every, key=_infeasible_share)
    is_unequal = share - _infeasible_share(least) > _UNEQUAL
    if share <= _MOSTLY and not is_unequal:
        return ""
    bad = f"in the search of {search.arm!r} {_infeasible(search)} of {len(search.proposals)}"
    other = f", in that of {least.arm!r} {_infeasible(least)} of {len(least.proposals)}"
    return (
        f"{bad} proposals diverged or failed{other if is_unequal else ''}: narrow its ranges to "
        "where trials come to a result"
    )
