"""Claims about what happens in a run, decided on its share of seeds; and about equality."""

import math

import numpy as np

from sweeper.claim import Diagnosed, Diverges, Exact, Reaches
from sweeper.evidence import diagnosis
from sweeper.evidence.findings import Evidence, Finding
from sweeper.evidence.power import further_seeds_for_share, in_words
from sweeper.evidence.runs import NOT_ASKED, Run
from sweeper.evidence.sequential import nominal_level
from sweeper.evidence.statistics import LEVEL, Array, median, share_bounds, share_verdict
from sweeper.evidence.wording import dropped, joined, short
from sweeper.metric import last, parse
from sweeper.recipe import Looks
from sweeper.trial import RESULTS

Event = Reaches | Diverges | Diagnosed


def judge_event(evidence: Evidence, assertion: Event) -> Finding:
    """Reproduced if the one-sided 95 % bound of the share of seeds is above one half.

    Over several `arms` it holds for a seed if it does in more than half of them.
    """
    arms = assertion.arms or [str(assertion.arm)]
    rows = [evidence.grid.index[arm] for arm in arms]
    holds, why = _holds(evidence, assertion, rows)
    by_seed = _in_most(holds)
    told = ~np.isnan(by_seed)
    happened, n = int(by_seed[told].sum()), int(told.sum())
    reasons = [next(filter(None, column)) for column in why[:, ~told].T.tolist()]
    missing = dropped(reasons, of=len(told))
    name = evidence.family(assertion).metric if isinstance(assertion, Reaches) else ""
    if n == 0:
        return Finding("undecided", missing, n=0, arm=", ".join(arms), metric=name)
    level = _level(evidence, rows)
    verdict = share_verdict(happened, n, level)
    is_open = verdict == "undecided" and not isinstance(evidence.recipe.seeds, Looks)
    hint = in_words(further_seeds_for_share(happened, n)) if is_open else ""
    reason = joined(f"{happened} of {n} seeds: {_event(evidence, assertion, rows)}", hint, missing)
    return Finding(
        verdict, reason, happened / n, *share_bounds(happened, n, level), n, ", ".join(arms), "",
        name,
    )  # fmt: skip


def _level(evidence: Evidence, rows: list[int]) -> float:
    """What each bound leaves out: less where there are more looks than one."""
    seeds = evidence.recipe.seeds
    if not isinstance(seeds, Looks):
        return LEVEL
    return nominal_level(seeds, int(evidence.grid.asked[rows].min()), 2 * LEVEL) / 2


def _holds(
    evidence: Evidence, assertion: Event, rows: list[int]
) -> tuple[Array, "np.typing.NDArray[np.object_]"]:
    """(arms, seeds) 1 where what is claimed holds, 0 where not, NaN where untold; and why."""
    if isinstance(assertion, Reaches):
        family = evidence.family(assertion)
        values, why = family.measured.values[rows], family.measured.why[rows]
        reached = values <= assertion.level if family.goal == "down" else values >= assertion.level
        holds = np.where(np.isnan(values), np.nan, reached)
    else:
        runs = [evidence.grid.runs[row] for row in rows]
        answers = [[_answer(run, assertion, evidence) for run in row] for row in runs]
        shape = (len(rows), len(evidence.grid.seeds))
        holds = np.array(
            [[math.nan if isinstance(a, str) else float(a) for a in row] for row in answers]
        ).reshape(shape)
        why = np.array(
            [[a if isinstance(a, str) else "" for a in row] for row in answers], dtype=object
        ).reshape(shape)
    return (1 - holds if assertion.negated else holds), why


def _answer(run: Run, assertion: Diverges | Diagnosed, evidence: Evidence) -> bool | str:
    """Whether it happened in this run, or why that cannot be told."""
    if run.status not in RESULTS:
        return run.status
    if isinstance(assertion, Diagnosed):
        return assertion.diagnosis in diagnosis.names(run)
    if run.status != "diverged" or not _looked_fine(run, assertion, evidence):
        return False
    if assertion.within_steps is None:
        return True
    step = run.metrics.get("diverged_step")
    return "without a diverged_step" if step is None else step <= assertion.within_steps


def _looked_fine(run: Run, assertion: Diverges, evidence: Evidence) -> bool:
    """Whether some reading before the end had reached `after_level`, where one is given."""
    if assertion.after_level is None:
        return True
    family = evidence.family(assertion)
    curve = run.curve.get(parse(family.metric).name, ())
    values = [v for v in curve if v is not None and math.isfinite(v)]
    level = assertion.after_level
    return any(v <= level if family.goal == "down" else v >= level for v in values)


def _in_most(holds: Array) -> Array:
    """(seeds,) whether it holds in more than half of the arms; NaN if missing ones could tell."""
    half = len(holds) / 2
    sure, possible = (holds == 1).sum(axis=0), ((holds == 1) | np.isnan(holds)).sum(axis=0)
    return np.where(sure > half, 1.0, np.where(possible <= half, 0.0, np.nan))


def _event(evidence: Evidence, assertion: Event, rows: list[int]) -> str:
    """What was looked for, in words."""
    not_ = "not " * assertion.negated
    most = f" in most of {len(rows)} arms" if len(rows) > 1 else ""
    if isinstance(assertion, Diverges):
        within = f" within {assertion.within_steps} steps" if assertion.within_steps else ""
        if assertion.after_level is not None:
            family = evidence.family(assertion)
            within += f" after a {family.metric} of {short(assertion.after_level)} was reached"
        return f"{not_}diverged{within}{most}"
    if isinstance(assertion, Diagnosed):
        return f"{not_}diagnosed as {assertion.diagnosis}{most}"
    family = evidence.family(assertion)
    sign = "≤" if family.goal == "down" else "≥"
    middle = short(float(median(family.measured.values[rows].reshape(1, -1))[0]))
    return f"{not_}{family.metric} {sign} {short(assertion.level)}{most} (median {middle})"


def judge_exact(evidence: Evidence, assertion: Exact) -> Finding:
    """Reproduced if equal to the last bit at every seed where both have a value."""
    if assertion.check is not None:
        return _checked(evidence, assertion.check)
    arm, grid = str(assertion.arm), evidence.grid
    metric, measured = evidence.measured(assertion)
    reference = evidence.reference_of(arm, assertion.reference)
    if reference not in grid.index:
        return Finding("undecided", f"{arm!r} has no arm to be compared with", arm=arm)
    rows = [grid.index[arm], grid.index[reference]]
    one, other = measured.values[rows]
    # two diverged runs have no number that could be equal
    told = ~np.isnan(one) & ~np.isnan(other) & ~(np.isinf(one) & np.isinf(other))
    different = np.flatnonzero(told & (one != other))
    why = measured.why[rows][:, ~told].T.tolist()
    missing = dropped([next(filter(None, c), "diverged in both") for c in why], of=len(told))
    n = int(told.sum())
    if len(different):
        first = different[0]
        reason = f"seed {grid.seeds[first]}: {float(one[first])!r} against {float(other[first])!r}"
        verdict = "contradicted"
    else:
        verdict = "reproduced" if n else "undecided"
        reason = f"equal to the last bit at {n} of {n} seeds" if n else ""
    largest = float(np.abs(one[told] - other[told]).max()) if n else math.nan
    return Finding(
        verdict, joined(reason, missing), largest, n=n,
        arm=arm, reference=reference, metric=metric,
    )  # fmt: skip


def _checked(evidence: Evidence, name: str) -> Finding:
    """Holds where every run that reports the metric `name` reports 1."""
    runs = [run for row in evidence.grid.runs for run in row if run.status != NOT_ASKED]
    values = {run.trial_id: _check_value(run, name) for run in runs}
    told = [run for run in runs if values[run.trial_id] is not None]
    if not told:
        ended = dropped([run.status for run in runs if run.status not in RESULTS], of=len(runs))
        return Finding("undecided", joined(f"no run reports {name}", ended), n=0, metric=name)
    arms = list(dict.fromkeys(run.arm for run in told))
    # an arm that reports it at one seed was to report it at all of them
    due = [run for run in runs if run.arm in arms]
    silent = [_silence(run, name) for run in due if values[run.trial_id] is None]
    failed = [run for run in told if values[run.trial_id] != 1]
    reason = f"holds in {len(told) - len(failed)} of {len(told)} runs"
    if failed:
        reason = f"{_failure(failed[0], name, names_arm=len(arms) > 1)}; {reason}"
    differences = [d for run in told if (d := _difference(run, name)) is not None]
    return Finding(
        "contradicted" if failed else "reproduced",
        joined(reason, dropped(silent, of=len(due))),
        max(differences, default=math.nan), n=len(told), arm=", ".join(arms), metric=name,
    )  # fmt: skip


def _check_value(run: Run, name: str) -> float | None:
    return last(name, run.metrics, run.curve) if run.status in RESULTS else None


def _silence(run: Run, name: str) -> str:
    return run.status if run.status not in RESULTS else f"without {name}"


def _difference(run: Run, name: str) -> float | None:
    return last(f"{name}_difference", run.metrics, run.curve)


def _failure(run: Run, name: str, *, names_arm: bool) -> str:
    place = f"arm {run.arm!r}, " if names_arm else ""
    value, difference = _check_value(run, name), _difference(run, name)
    by = "" if difference is None else f" (difference {short(difference)})"
    return f"{place}seed {run.seed}: {name} is {value:g}, not 1{by}"
