"""A look at the claims between two batches of seeds: which arms need more of them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import special

from sweeper.claim import Assertion, Comparison, Diagnosed, Diverges, Order, Reaches
from sweeper.evidence.claims import judge
from sweeper.evidence.comparisons import Family, Weights
from sweeper.evidence.findings import Evidence, Finding
from sweeper.evidence.sequential import FUTILE, looks, nominal_level
from sweeper.evidence.statistics import LEVEL, Array, share_verdict
from sweeper.metric import ALONG_AN_AXIS, parse
from sweeper.plan import Look, Plan
from sweeper.recipe import Looks

LOOKS_COLUMNS = ("recipe", "look", "seeds", "trials", "claim", "verdict", "stopped")


@dataclass(frozen=True)
class _Line:
    """A line of the claims at this look: `chance` that the seeds left decide it, if it is open."""

    line: str
    verdict: str
    arms: tuple[str, ...]
    chance: float


def look(evidence: Evidence) -> tuple[Look, Mapping[str, int]]:
    """What is decided by now, and how many seeds each arm needs next: none where it is enough.

    Seeds are added for a claim that is undecided and that those left would decide with a
    probability of more than 5 %. An arm whose claims need no more stays as it is, while the
    baseline goes on for the others.
    """
    seeds = evidence.recipe.seeds
    assert isinstance(seeds, Looks)
    asked = dict(zip(evidence.grid.index, evidence.grid.asked.tolist(), strict=True))
    needed: dict[str, int] = {}
    lines = [_line(evidence, line, one) for line, one in _assertions(evidence)]
    for line in lines:
        if line.verdict == "undecided" and line.chance > FUTILE:
            least = min(asked[arm] for arm in line.arms)
            target = next((n for n in looks(seeds) if n > least), seeds.max)
            needed |= {a: max(target, needed.get(a, 0)) for a in line.arms if asked[a] < target}
    stopped = "" if needed else _why(lines, asked, seeds)
    return Look(asked, {line.line: line.verdict for line in lines}, stopped), needed


def _assertions(evidence: Evidence) -> Iterator[tuple[str, Assertion]]:
    """Those of the claims; without any, that each arm differs from what it is compared with."""
    for claim in evidence.recipe.claims:
        yield from claim.assertions()
    if not evidence.recipe.claims:
        for arm in evidence.grid.arms:
            if arm.compared_with is not None:
                raw = {"kind": "better", "arm": arm.name, "statement": "it differs"}
                yield arm.name, Comparison.model_validate(raw)


def _line(evidence: Evidence, line: str, assertion: Assertion) -> _Line:
    known = {cell.arm for cell in evidence.plan.cells if cell.phase == "report"}
    arms = tuple(a for a in _arms(evidence, assertion) if a in known)  # or a search has no winner
    found = judge(evidence, assertion)
    is_open = found.verdict == "undecided" and bool(arms)
    chance = _chance(evidence, assertion, found) if is_open else 0.0
    verdict = found.verdict if evidence.recipe.claims else _verdict_on_arm(evidence, line)
    return _Line(line, verdict, arms, chance)


def _verdict_on_arm(evidence: Evidence, arm: str) -> str:
    """As the arms table words it, on the first metric."""
    family, row = next(iter(evidence.families.values())), evidence.grid.index[arm]
    place = next(i for i, member in enumerate(family.members) if member[0][0] == row)
    words = family.results.verdicts(family.p_holm, family.smallest_effect, family.goal)
    return str(words[place])


def _arms(evidence: Evidence, assertion: Assertion) -> tuple[str, ...]:
    """Every arm whose seeds have a part in it."""
    names = list(evidence.grid.index)
    metric = assertion.metric or next(iter(evidence.recipe.metrics))
    if parse(metric).function in ALONG_AN_AXIS:
        return tuple(names)
    if isinstance(assertion, Comparison):
        return tuple(names[row] for row, _ in evidence.weights(assertion) or ())
    named = assertion.arms_named()
    if assertion.kind == "exact" and named:
        named.append(evidence.reference_of(named[0], assertion.reference) or named[0])
    return tuple(dict.fromkeys(named))


def _chance(evidence: Evidence, assertion: Assertion, found: Finding) -> float:
    """How probably the seeds that are left would decide it, if they are as those that were seen."""
    if isinstance(assertion, Comparison):
        return _chance_of_comparison(evidence, assertion)
    if isinstance(assertion, Reaches | Diverges | Diagnosed):
        return _chance_of_event(evidence, assertion, found)
    if isinstance(assertion, Order):
        family, index = evidence.family(assertion), evidence.grid.index
        pairs = pairwise(index[arm] for arm in assertion.arms)
        every: list[Weights] = [((one, 1.0), (other, -1.0)) for one, other in pairs]
        return min(_chance_of_difference(family.over((w,)), w, "better") for w in every)
    return 0.0


def _chance_of_comparison(evidence: Evidence, assertion: Comparison) -> float:
    """Of a decision at the last look."""
    weights = evidence.weights(assertion)
    if not weights or evidence.aliases(assertion):
        return 0.0
    return _chance_of_difference(evidence.family(assertion), weights, assertion.kind)


def _chance_of_difference(family: Family, weights: Weights, kind: str) -> float:
    assert family.looking is not None
    results = family.tested([weights])
    (n,) = family.looking.numbers([weights]).tolist()
    pairs = int(results.paired.n[0])
    if n >= family.looking.seeds.max or (np.isnan(results.p[0]) and pairs != 1):
        return 0.0
    if results.by_ranks[0]:
        values = family.compared.values[[row for row, _ in weights]]
        return float(not np.isinf(values[~np.isnan(values)]).all())
    mean, std = results.paired.mean, results.paired.std
    if pairs == 1 or (std[0] == 0 and pairs < 3):
        return 1.0
    if std[0] == 0:  # the sign-flip p of equal differences falls with each; of none at all never
        return float(mean[0] != 0)
    final = Final(family.looking.seeds, family.undecided, family.smallest_effect)
    std = as_if_known(mean, std, pairs, results.p)
    if kind == "no_worse":
        return float(final.chance_of_no_worse(mean if family.goal == "down" else -mean, std, n)[0])
    return float(final.chance(mean, std, n)[0])


def as_if_known(mean: Array, std: Array, n: int, p: Array) -> Array:
    """(comparisons,) the deviation at which a normal test would give the p that the t test gave."""
    z = -special.ndtri(p / 2)
    return np.where(z > 1e-6, np.abs(mean) * math.sqrt(n) / np.maximum(z, 1e-6), std)


@dataclass(frozen=True)
class Final:
    """The last look at comparisons of which `left` of their family are undecided."""

    seeds: Looks
    left: int
    smallest_effect: float = 0.0

    def chance(self, mean: Array, std: Array, n: int) -> Array:
        """(comparisons,) of deciding there for any verdict, given mean and deviation of n seeds."""
        effect, spread = self._effect(std), self._spread(std, n)
        inside = self._inside(std)
        none = special.ndtr((inside - mean) / spread) - special.ndtr((-inside - mean) / spread)
        some = special.ndtr((mean - effect) / spread) + special.ndtr((-mean - effect) / spread)
        return np.asarray(some + np.maximum(none, 0.0))

    def chance_of_no_worse(self, worse: Array, std: Array, n: int) -> Array:
        """The same for `no_worse`, given how much worse the mean is."""
        effect, spread = self._effect(std), self._spread(std, n)
        not_worse = special.ndtr((self._inside(std) - worse) / spread)
        return np.asarray(not_worse + special.ndtr((worse - effect) / spread))

    def _effect(self, std: Array) -> Array:
        """The least mean that is `better` or `worse` there."""
        return np.maximum(self.smallest_effect, self._error(std, LEVEL / self.left))

    def _inside(self, std: Array) -> Array:
        """The largest mean whose 90 % interval lies within the smallest effect."""
        return self.smallest_effect - self._error(std, 2 * LEVEL)

    def _error(self, std: Array, error: float) -> Array:
        level = nominal_level(self.seeds, self.seeds.max, error)
        return np.asarray(-special.ndtri(level / 2) * std / math.sqrt(self.seeds.max))

    def _spread(self, std: Array, n: int) -> Array:
        """The deviation of the mean to come about today's (its predictive distribution)."""
        return std * math.sqrt((self.seeds.max - n) / (self.seeds.max * n))


def _chance_of_event(
    evidence: Evidence, assertion: Reaches | Diverges | Diagnosed, found: Finding
) -> float:
    """With the share to come beta-binomial, as if nothing was known of it before."""
    seeds, n = evidence.recipe.seeds, found.n or 0
    assert isinstance(seeds, Looks)
    rows = [evidence.grid.index[arm] for arm in assertion.arms_named()]
    left = seeds.max - int(evidence.grid.asked[rows].min())
    if n == 0 or left == 0:
        return 0.0
    happened, more = round(found.measured * n), np.arange(left + 1)
    level = nominal_level(seeds, seeds.max, 2 * LEVEL) / 2
    verdicts = [share_verdict(happened + int(k), n + left, level) for k in more]
    rest = left - more
    ways = special.betaln(happened + 1 + more, n - happened + 1 + rest)
    ways = np.exp(ways - special.betaln(more + 1, rest + 1))
    return float(ways[[v != "undecided" for v in verdicts]].sum() / ways.sum())


def _why(lines: list[_Line], asked: Mapping[str, int], seeds: Looks) -> str:
    """Why no more seeds are asked for."""
    undecided = [line for line in lines if line.verdict == "undecided"]
    out = [x.line for x in undecided if x.arms and min(asked[a] for a in x.arms) >= seeds.max]
    rest = [x for x in undecided if x.line not in out]
    unlikely = [f"{x.line} ({x.chance:.2g})" for x in rest if x.chance > 0]
    hopeless = [x.line for x in rest if not x.chance > 0]
    parts = {
        f"{seeds.max} seeds are the most, and do not decide": out,
        f"the seeds left of {seeds.max} would hardly decide": unlikely,
        "no further seed would decide": hopeless,
    }
    said = [f"{why} {', '.join(which)}" for why, which in parts.items() if which]
    return "; ".join(said) or "every claim is decided"


def looks_table(plan: Plan) -> pd.DataFrame:
    """A row per look and line of the claims; `seeds` are the most that an arm had by then."""
    rows = [
        (plan.name, number, max(seeds), sum(seeds), line, verdict, look.stopped)
        for number, look in enumerate(plan.looks, start=1)
        for seeds in [look.seeds.values()]
        for line, verdict in look.verdicts.items()
    ]
    return pd.DataFrame(rows, columns=list(LOOKS_COLUMNS))
