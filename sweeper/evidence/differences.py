"""Claims about differences between arms: better, worse, no_effect, order."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sweeper.claim import Comparison, Order
from sweeper.evidence.comparisons import Family, Results, Weights, is_pair
from sweeper.evidence.findings import Evidence, Finding
from sweeper.evidence.power import further_seeds, in_words, seeds_needed_by_ranks
from sweeper.evidence.statistics import LEVEL, Array, median
from sweeper.evidence.wording import (
    aliased,
    contrast_in_words,
    dropped,
    interval,
    joined,
    p_value,
    short,
)


@dataclass(frozen=True)
class Difference:
    """One comparison of a family, at the p its verdict is read from."""

    family: Family
    weights: Weights
    p: float
    corrected: bool

    @cached_property
    def results(self) -> Results:
        """Tested in the direction asked for, which may mirror the family's."""
        return self.family.tested([self.weights])

    @cached_property
    def verdict(self) -> str:
        p = np.array([self.p])
        return str(self.results.verdicts(p, self.family.smallest_effect, self.family.goal)[0])

    @cached_property
    def is_no_worse(self) -> bool:
        """Whether the bad end of the 90 % interval stays within the smallest effect.

        The one-sided test at 5 % (non-inferiority); of ranks only `better` shows it.
        """
        if self.by_ranks:
            return self.verdict == "better"
        paired, limit = self.results.paired, self.family.smallest_effect
        if self.family.goal == "down":
            return bool(paired.high90[0] < limit)
        return bool(paired.low90[0] > -limit)

    @property
    def by_ranks(self) -> bool:
        return bool(self.results.by_ranks[0])

    @property
    def mean(self) -> float:
        return float(self.results.paired.mean[0])

    @property
    def interval(self) -> tuple[float, float]:
        return float(self.results.paired.low[0]), float(self.results.paired.high[0])

    @cached_property
    def values(self) -> Array:
        """(arms of it, seeds) in the metric's own units, NaN where what is compared has none."""
        rows = [row for row, _ in self.weights]
        compared = self.family.compared.values[rows]
        values = np.where(np.isnan(compared), np.nan, self.family.measured.values[rows])
        if self.family.looking is not None:  # of further seeds an arm alone has none counts
            values[:, self.family.looking.numbers([self.weights])[0] :] = np.nan
        return values

    @property
    def told(self) -> npt.NDArray[np.bool_]:
        """(seeds,) whether every arm of it has a value."""
        return np.asarray(~np.isnan(self.values).any(axis=0))

    @property
    def n(self) -> int:
        """Pairs; of an unpaired test the runs of the smaller side."""
        if self.by_ranks:
            return int((~np.isnan(self.values)).sum(axis=1).min())
        return int(self.results.paired.n[0])


def judge_comparison(evidence: Evidence, assertion: Comparison) -> Finding:
    """Reproduced if the decided verdict is the claimed one, contradicted by another decided one.

    `no_worse` is reproduced by its own one-sided test, and contradicted by `worse`.
    """
    weights = evidence.weights(assertion)
    if not weights:
        subject = assertion.arm or assertion.effect
        return Finding("undecided", f"{subject!r} has no arm to be compared with")
    family = evidence.family(assertion)
    difference = Difference(family, weights, family.corrected(weights), corrected=True)
    verdict, reason = _as_claimed(assertion, difference), _reason(difference)
    if others := evidence.aliases(assertion):
        told = _paired(difference) if difference.n else reason
        verdict, reason = "undecided", joined(aliased(others), told)
    low, high = difference.interval
    return Finding(
        verdict, reason, difference.mean, low, high, difference.n,
        *_subject(assertion, evidence), family.metric,
    )  # fmt: skip


def _as_claimed(assertion: Comparison, difference: Difference) -> str:
    if assertion.kind == "no_worse":
        otherwise = "contradicted" if difference.verdict == "worse" else "undecided"
        return "reproduced" if difference.is_no_worse else otherwise
    decided = {assertion.kind: "reproduced", "undecided": "undecided"}
    return decided.get(difference.verdict, "contradicted")


def _subject(assertion: Comparison, evidence: Evidence) -> tuple[str, str]:
    """What stands in the columns `arm` and `reference`."""
    if assertion.effect is not None:
        return assertion.effect, ""
    if assertion.contrast is not None:
        return contrast_in_words(assertion.contrast), ""
    arm = str(assertion.arm)
    return arm, evidence.reference_of(arm, assertion.reference) or ""


def judge_order(evidence: Evidence, assertion: Order) -> Finding:
    """Each arm better than the next, tested one by one at 5 %: all must hold (Berger 1982).

    Contradicted when a neighbour is decided otherwise: worse, or without effect.
    """
    family, index = evidence.family(assertion), evidence.grid.index
    differences = []
    for one, other in pairwise(assertion.arms):
        weights: Weights = ((index[one], 1.0), (index[other], -1.0))
        alone = float(family.over((weights,)).p_holm[0])
        differences.append(Difference(family, weights, alone, corrected=False))
    verdicts = {difference.verdict for difference in differences}
    verdict = "undecided"
    if verdicts == {"better"}:
        verdict = "reproduced"
    elif verdicts & {"worse", "no_effect"}:
        verdict = "contradicted"
    reasons = [
        f"{one} is {_relation(d.verdict)} {other} ({_reason(d)})"
        for (one, other), d in zip(pairwise(assertion.arms), differences, strict=True)
    ]
    return Finding(
        verdict, joined(*reasons), n=min(d.n for d in differences),
        arm=", ".join(assertion.arms), metric=family.metric,
    )  # fmt: skip


def _relation(verdict: str) -> str:
    return {
        "better": "better than", "worse": "worse than", "no_effect": "no different from",
    }.get(verdict, "undecided against")  # fmt: skip


def _reason(difference: Difference) -> str:
    missing = _dropped(difference)
    if difference.n == 0:
        return missing or "a run diverged, and a contrast of several arms has no rank test"
    if difference.by_ranks:
        return joined(_ranks(difference), missing)
    return joined(_paired(difference), _hint(difference), missing)


def _dropped(difference: Difference) -> str:
    """Why seeds have no pair; an arm's own reasons, in the order of the comparison."""
    rows = [row for row, _ in difference.weights]
    why = difference.family.compared.why[rows]
    reasons = [next(filter(None, column)) for column in why.T.tolist() if any(column)]
    return dropped(reasons, of=why.shape[1])


def _paired(difference: Difference) -> str:
    family, n = difference.family, difference.n
    what = "log10 difference" if family.log else "difference"
    measured = f"{what} {short(difference.mean)}"
    if is_pair(difference.weights):
        arm, reference = difference.values[:, difference.told].mean(axis=1).tolist()
        levels = f"{family.metric} {short(reference)} → {short(arm)}, paired "
    else:
        levels = f"weighted sum of {family.metric}, "
    if n == 1:
        return f"{levels}{measured}; one seed has no interval: add seeds"
    return joined(
        f"{levels}{measured} {interval(*difference.interval)}, {_p(difference)}",
        _variance(difference),
    )


def _variance(difference: Difference) -> str:
    """What the interval and p rest on, unless on independent differences of their own variance."""
    variance, weights = difference.family.variance, [difference.weights]
    shared, given = float(variance.shared_by(weights)[0]), variance.given(weights)
    folds = f"corrected for {1 / shared + 1:.0f} folds" if shared else ""
    is_pooled = given is not None and not np.isnan(given.std[0])
    return joined(folds, f"variance of {len(variance.pooled_arms)} arms" if is_pooled else "")


def _p(difference: Difference) -> str:
    size = difference.family.size
    after = f" after Holm over {size}" if difference.corrected and size > 1 else ""
    return p_value(difference.p) + after + _looked(difference)


def _looked(difference: Difference) -> str:
    """Which look the p has been corrected for, where there may be several."""
    looking = difference.family.looking
    if looking is None:
        return ""
    (number,) = looking.numbers([difference.weights]).tolist()
    return f" and looks, at {number} of {looking.seeds.max} seeds"


def _hint(difference: Difference) -> str:
    """What the interval says of a small effect, and what would decide an undecided one."""
    family, paired = difference.family, difference.results.paired
    low90, high90 = float(paired.low90[0]), float(paired.high90[0])
    limit = f"±{short(family.smallest_effect)}"
    if difference.verdict == "no_effect":
        return f"its 90 % interval {interval(low90, high90)} lies inside {limit}"
    if difference.verdict != "undecided" or difference.n < 2:
        return ""
    std = float(paired.std[0])
    if std == 0:
        return "every difference is the same"
    small = ""
    if difference.p <= LEVEL:
        small = (
            f"smaller than {limit}, but its 90 % interval {interval(low90, high90)} is not inside"
        )
    if family.looking is not None:  # how many more there are is settled by the looks
        return small
    family_size = family.size if difference.corrected else 1
    shared = float(family.variance.shared_by([difference.weights])[0])
    more = further_seeds(
        difference.mean, std, difference.n, family.smallest_effect, family_size, shared
    )
    return joined(small, in_words(more))


def _ranks(difference: Difference) -> str:
    family, values = difference.family, difference.values
    arm, reference = median(values).tolist()
    worst = [f"{np.isinf(v).sum()} of {(~np.isnan(v)).sum()}" for v in values]
    levels = (
        f"median {family.metric} {short(reference)} → {short(arm)}, "
        f"{worst[0]} runs at the worst value against {worst[1]}"
    )
    if bool(np.isinf(values[~np.isnan(values)]).all()):
        return f"{levels}: no difference can be told"
    needed = seeds_needed_by_ranks(family.size if difference.corrected else 1)
    more = ""
    if difference.verdict == "undecided" and difference.n < needed:
        more = f"ranks decide from {needed} seeds on"
    return joined(f"{levels}, {_p(difference)} by ranks", more)
