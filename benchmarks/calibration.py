"""How often the evidence errs where the truth is known.

    python benchmarks/calibration.py              all of it, ten minutes on one core
    python benchmarks/calibration.py --quick      a fiftieth of the draws, prints only

The very functions behind the tables, on drawn numbers. Writes docs/calibration.md.
Everything is seeded. Differences have a deviation of one, so a difference is an effect size d.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweeper.evidence.comparisons import Results
from sweeper.evidence.looking import Final, as_if_known
from sweeper.evidence.power import further_seeds
from sweeper.evidence.ranks import rank_test
from sweeper.evidence.sequential import FUTILE, looks, nominal_level, repeated_p
from sweeper.evidence.statistics import LEVEL, Array, Spread, holm, paired
from sweeper.recipe import Looks

RESULT = Path(__file__).resolve().parents[1] / "docs" / "calibration.md"
SIZES = (3, 5, 10, 20)
FAMILIES = (1, 2, 4, 8)
# The portfolio of arms: share of each effect size.
Table = tuple[Sequence[object], Sequence[Sequence[object]]]
EFFECTS, SHARES = np.array([0.0, 0.8, 2.5]), (0.5, 0.3, 0.2)


def share(happened: npt.NDArray[np.bool_]) -> str:
    """In per cent, with twice the standard error."""
    p, n = float(happened.mean()), happened.size
    return f"{100 * p:.1f} ± {200 * np.sqrt(max(p * (1 - p), 1 / n) / n):.1f}"


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def written(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join([row(*header), row(*["---"] * len(header)), *(row(*r) for r in rows)])


def verdicts(differences: Array, p: Array, smallest: float = 0.0) -> npt.NDArray[np.object_]:
    """As the arms table words them, of (comparisons, seeds) differences at these p."""
    result = paired(differences)
    none = np.zeros(len(p), dtype=bool)
    results = Results(result, none, result.p, np.sign(result.mean), np.abs(result.mean))
    return results.verdicts(p, smallest, "down")


def holm_of(p: Array) -> Array:
    """Of (families, comparisons)."""
    return np.stack([holm(family) for family in p])


def null_families(rng: np.random.Generator, draws: int) -> Table:
    """Families of arms that differ from their baseline in nothing: how many claim an effect?"""
    rows = []
    for arms in FAMILIES:
        cells = []
        for n in SIZES:
            values = rng.standard_normal((draws, arms + 1, n))
            differences = values[:, 1:] - values[:, :1]  # they share their baseline
            p = paired(differences.reshape(-1, n)).p.reshape(draws, arms)
            said = verdicts(differences.reshape(-1, n), holm_of(p).ravel()).reshape(draws, arms)
            cells.append(share(np.isin(said, ["better", "worse"]).any(axis=1)))
        rows.append([arms, *cells])
    return ["arms", *(f"n = {n}" for n in SIZES)], rows


DRAWS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Array], float]] = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0),
    "uniform": (lambda rng, shape: rng.uniform(-1, 1, shape), 0.0),
    "t with 3 degrees of freedom": (lambda rng, shape: rng.standard_t(3, shape), 0.0),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 1, shape), float(np.exp(0.5))),
}


def coverage(rng: np.random.Generator, draws: int) -> Table:
    """95 % intervals of the mean difference: how many hold it?"""
    rows = []
    for name, (draw, mean) in DRAWS.items():
        cells = []
        for n in SIZES:
            found = paired(draw(rng, (draws, n)))
            cells.append(share((found.low <= mean) & (mean <= found.high)))
        rows.append([name, *cells])
    cells = []
    for n in SIZES:  # the arm's loss is the reference's times a lognormal factor: compared on logs
        found = paired(np.log10(rng.lognormal(0, 1, (draws, n))))
        cells.append(share((found.low <= 0) & (found.high >= 0)))
    rows.append(["lognormal, `scale: log`", *cells])
    return ["differences", *(f"n = {n}" for n in SIZES)], rows


def ranks(rng: np.random.Generator, draws: int) -> Table:
    """The exact rank test on two samples of one skewed distribution, some of them at the worst."""
    rows = []
    for diverged in (0.0, 0.3):
        cells = []
        for n in SIZES:
            x, y = (_with_worst(rng, rng.lognormal(0, 1, (draws, n)), diverged) for _ in range(2))
            p = np.array([rank_test(a, b).p for a, b in zip(x, y, strict=True)])
            cells.append(share(p <= LEVEL))
        rows.append([f"lognormal, {diverged:.0%} of the runs diverged", *cells])
    return ["values", *(f"n = {n}" for n in SIZES)], rows


def _with_worst(rng: np.random.Generator, values: Array, how_many: float) -> Array:
    return np.where(rng.uniform(size=values.shape) < how_many, np.inf, values)


def equivalence(rng: np.random.Generator, draws: int) -> Table:
    """A difference of the smallest effect: how often is it called none? And one of none?"""
    rows = []
    for n in SIZES:
        cells: list[object] = [n]
        for smallest in (0.5, 1.0, 2.0):
            for true in (smallest, 0.0):
                x = rng.standard_normal((draws, n)) + true
                said = verdicts(x, np.ones(draws), smallest)
                cells.append(share(said == "no_effect"))
        rows.append(cells)
    header = ["n"]
    for smallest in (0.5, 1.0, 2.0):
        header += [f"± {smallest}: wrongly", f"± {smallest}: rightly"]
    return header, rows


def power(rng: np.random.Generator, draws: int) -> Table:
    """Of `better` and `worse` for one comparison, beside the noncentral t distribution."""
    rows = []
    for n in SIZES:
        for d in (0.5, 0.8, 1.5):
            x = rng.standard_normal((draws, n)) + d
            found = np.isin(verdicts(x, paired(x).p), ["better", "worse"])
            critical = stats.t.isf(LEVEL / 2, n - 1)
            shift = d * np.sqrt(n)
            theory = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
            off = 100 * abs(found.mean() - theory)
            rows.append([n, d, share(found), f"{100 * theory:.1f}", f"{off:.1f}"])
    return ["n", "d", "measured", "theory", "off by"], rows


def promised(rng: np.random.Generator, draws: int) -> Table:
    """`about 7 further seeds would decide`: with so many, how often is it decided?"""
    rows = []
    for d in (0.8, 1.2):
        more = int(further_seeds(d, 1.0, 5, 0.0, 1))
        x = rng.standard_normal((draws, 5 + more)) + d
        rows.append([d, more, share(paired(x).p <= LEVEL)])
    return ["d", "further seeds", "decided"], rows


@dataclass(frozen=True)
class Looked:
    """What looking came to, for (recipes, arms); `trials` (recipes,) counts the baseline's too."""

    rejected: npt.NDArray[np.bool_]
    covered: npt.NDArray[np.bool_]
    used: npt.NDArray[np.int64]

    @property
    def trials(self) -> Array:
        return np.asarray(self.used.sum(axis=1) + self.used.max(axis=1), dtype=float)


def look(values: Array, d: Array, seeds: Looks, *, pooled: bool) -> Looked:
    """Seeds added in looks to (recipes, 1 + arms, seeds) values, as evidence.looking adds them."""
    known = looks(seeds)
    tests = [
        _tested(values, n, nominal_level(seeds, n) if n in known else LEVEL)
        for n in range(1, seeds.max + 1)
    ]
    used = np.full(d.shape, seeds.min)
    while True:
        found = _at(tests, used, pooled=pooled)
        p = repeated_p(seeds, found["p"].ravel(), used.ravel()).reshape(d.shape)
        rejected = holm_of(p) <= LEVEL
        left = np.maximum((~rejected).sum(axis=1, keepdims=True), 1) + np.zeros(d.shape, int)
        chance = np.zeros(d.shape)
        for n, m in {*zip(used.ravel().tolist(), left.ravel().tolist(), strict=True)}:
            if n < seeds.max:
                here = (used == n) & (left == m)
                mean, std, plain = (found[name][here] for name in ("mean", "std", "p"))
                std = as_if_known(mean, std, n, plain)
                chance[here] = Final(seeds, m).chance(mean, std, n)
        more = ~rejected & (chance > FUTILE)
        if not more.any():
            covered = (found["low"] <= d) & (d <= found["high"])
            return Looked(rejected, covered, used)
        used = used + more


def _tested(values: Array, n: int, level: float) -> tuple[Array, Array, float]:
    """The first n seeds: (recipes, arms, n) differences, the residual mean square, the level."""
    seen = values[:, :, :n]
    residual = seen - seen.mean(axis=1, keepdims=True)
    residual -= residual.mean(axis=2, keepdims=True)
    df = max((seen.shape[1] - 1) * (n - 1), 1)
    return seen[:, 1:] - seen[:, :1], (residual**2).sum(axis=(1, 2)) / df, level


def _at(
    tests: list[tuple[Array, Array, float]], used: npt.NDArray[np.int64], *, pooled: bool
) -> dict[str, Array]:
    """Each arm's test at its own number of seeds; `pooled` by the variance of all arms.

    That is of the seeds that all arms have.
    """
    recipes, arms = used.shape
    found = {name: np.empty(used.shape) for name in ("p", "mean", "std", "low", "high")}
    n_of_all = used.min(axis=1)
    squares = np.array([mean_square for _, mean_square, _ in tests])
    std = np.sqrt(2 * squares[n_of_all - 1, np.arange(recipes)])[:, None] + np.zeros(used.shape)
    df = (n_of_all[:, None] - 1.0) * arms + np.zeros(used.shape)
    for n in np.unique(used):
        here, (differences, _, level) = used == n, tests[n - 1]
        given = Spread(std[here], df[here]) if pooled else None
        result = paired(differences[here], level, given=given)
        for name, values in found.items():
            values[here] = getattr(result, name)
    return found


def drawn(
    rng: np.random.Generator, recipes: int, arms: int, n: int, shares: Sequence[float]
) -> tuple[Array, Array]:
    """Effects (recipes, arms) and values (recipes, 1 + arms, n) whose differences deviate by 1."""
    d = rng.choice(EFFECTS, size=(recipes, arms), p=shares) * rng.choice([-1, 1], (recipes, arms))
    values = rng.standard_normal((recipes, arms + 1, n)) / np.sqrt(2)
    values[:, 1:] += d[:, :, None]
    return d, values


def looked_at_nothing(rng: np.random.Generator, draws: int) -> Table:
    seeds = Looks(min=3, max=20)
    rows = []
    for arms in FAMILIES:
        d, values = drawn(rng, draws, arms, seeds.max, (1.0, 0.0, 0.0))
        own, pooled = (look(values, d, seeds, pooled=p) for p in (False, True))
        naive = peeked(values, seeds)
        cells = [share(x.any(axis=1)) for x in (own.rejected, pooled.rejected, naive)]
        rows.append([arms, *cells, share(own.covered.ravel()), share(pooled.covered.ravel())])
    header = ["arms", "an effect", "`variance: pooled`", "peeking", "intervals that hold", "pooled"]
    return header, rows


def peeked(values: Array, seeds: Looks) -> npt.NDArray[np.bool_]:
    """(recipes, arms) whether a plain p was ever small enough, after Holm."""
    recipes, arms = values.shape[0], values.shape[1] - 1
    found = np.zeros((recipes, arms), dtype=bool)
    for n in looks(seeds):
        p = paired((values[:, 1:, :n] - values[:, :1, :n]).reshape(-1, n)).p
        found |= holm_of(p.reshape(recipes, arms)) <= LEVEL
    return found


def fixed_power(rng: np.random.Generator, arms: int, n: int, draws: int) -> tuple[float, float]:
    """Of a fixed number of seeds: the families that err, and the d = 0.8 that are found."""
    d, values = drawn(rng, draws, arms, n, SHARES)
    p = paired((values[:, 1:] - values[:, :1]).reshape(-1, n)).p.reshape(draws, arms)
    found = holm_of(p) <= LEVEL
    return float((found & (d == 0)).any(axis=1).mean()), float(found[np.abs(d) == 0.8].mean())


def portfolio(rng: np.random.Generator, draws: int) -> Table:
    """Trials of recipes with arms of all kinds, beside a fixed number of seeds."""
    rows = []
    for arms in FAMILIES:
        powers = {n: fixed_power(rng, arms, n, 4 * draws) for n in range(12, 33)}
        target = next(n for n, (_, found) in powers.items() if found >= 0.9)
        most = int(1.1 * target)
        for pooled in (False, True) if arms > 1 else (False,):
            d, values = drawn(rng, draws, arms, most, SHARES)
            got = look(values, d, Looks(min=3, max=most), pooled=pooled)
            found = got.rejected[np.abs(d) == 0.8]
            fixed = np.interp(found.mean(), [f for _, f in powers.values()], list(powers))
            trials = (arms + 1) * fixed
            errs = share((got.rejected & (d == 0)).any(axis=1))
            rows.append([arms, "pooled" if pooled else "own", most, errs, share(found)])
            rows[-1] += [f"{got.used[np.abs(d) == e].mean():.1f}" for e in EFFECTS]
            rows[-1] += [f"{got.trials.mean():.1f}", f"{trials:.1f} (n = {fixed:.1f})"]
            rows[-1] += [f"**{trials / got.trials.mean():.2f}**", f"{most / fixed:.2f}"]
        naive = _peeked_trials(rng, arms, most, draws)
        rows.append([arms, "peeking", most, *naive, "", ""])
    header = ["arms", "variance", "max", "errs", "finds", "seeds, d = 0", "d = 0.8", "d = 2.5"]
    header += ["trials", "fixed", "times fewer", "max / fixed"]
    return header, rows


def _peeked_trials(rng: np.random.Generator, arms: int, most: int, draws: int) -> list[str]:
    """Stopping each arm at its first small plain p."""
    d, values = drawn(rng, draws, arms, most, SHARES)
    found, used = np.zeros(d.shape, dtype=bool), np.full(d.shape, most)
    for n in looks(Looks(min=3, max=most)):
        p = paired((values[:, 1:, :n] - values[:, :1, :n]).reshape(-1, n)).p.reshape(d.shape)
        now = ~found & (holm_of(p) <= LEVEL)
        used[now], found = n, found | now
    trials = used.sum(axis=1) + used.max(axis=1)
    seeds = [f"{used[np.abs(d) == e].mean():.1f}" for e in EFFECTS]
    return [
        share((found & (d == 0)).any(axis=1)),
        share(found[np.abs(d) == 0.8]),
        *seeds,
        f"{trials.mean():.1f}",
        "",
    ]


PARTS: tuple[tuple[str, str, Callable[[np.random.Generator, int], Table], int], ...] = (
    (
        "Null data: families that claim an effect, in %",
        "At most 5 is promised. The arms differ from their baseline in nothing.",
        null_families, 20_000,
    ),
    (
        "95 % intervals: how many hold the true mean difference, in %",
        "The t interval is made for normal differences. On skewed ones it is too sure, with 20 "
        "seeds too: compare such a metric on a log scale, where its differences are logarithms of "
        "ratios.",
        coverage, 20_000,
    ),
    (
        "Ranks on null data: how many p are at most 0.05, in %",
        "At most 5 is promised. Two samples of one skewed distribution, compared as arms are of "
        "which a run diverged; few runs have few ranks.",
        ranks, 4_000,
    ),
    (
        "`no_effect`, in %",
        "*Wrongly*: the true difference is the smallest effect itself; at most 5 is promised. "
        "*Rightly*: there is none.",
        equivalence, 20_000,
    ),
    (
        "Power of one comparison, in %",
        "`better` and `worse` beside the noncentral t distribution.",
        power, 20_000,
    ),
    (
        "The further seeds that are promised, in %",
        "Where mean and deviation are as they were seen with 5 seeds, so many more decide in so "
        "many cases; 90 is meant.",
        promised, 20_000,
    ),
    (
        "Seeds added in looks, on null data, in %",
        "`seeds: {min: 3, max: 20}`, a look after each seed. *Peeking* is the same without "
        "correction: stop as soon as the plain p is at most 0.05. An interval is that of the look "
        "at which its arm stopped.",
        looked_at_nothing, 5_000,
    ),
    (
        "Seeds added in looks: how many trials they spare",
        "Half of the arms differ in nothing, 30 % by d = 0.8, 20 % by d = 2.5. `max` is 1.1 times "
        "the fixed number of seeds that finds 90 % of the d = 0.8. *Errs* (recipes that claim an "
        "effect where there is none) and *finds* (of the d = 0.8) are in %; *fixed* is the number "
        "of trials with which a fixed number of seeds finds as many.",
        portfolio, 5_000,
    ),
)  # fmt: skip
OPENING = """# Calibration

Written by `python benchmarks/calibration.py`: the functions behind the tables, on drawn numbers of
which the truth is known. Shares are in per cent ± twice their standard error."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the draws, no file")
    quick = parser.parse_args().quick
    text = [OPENING]
    for number, (title, note, part, draws) in enumerate(PARTS):
        found = part(np.random.default_rng(number), draws // 50 if quick else draws)
        text.append(f"## {title}\n\n{note}\n\n{written(*found)}")
        print(text[-1], end="\n\n", flush=True)
    if not quick:
        RESULT.write_text("\n\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
