"""What a design cannot decide, however its trials end: told before anything runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from sweeper import factorial
from sweeper.claim import Assertion, Comparison, Diagnosed, Diverges, Exact, Order, Reaches
from sweeper.evidence.comparisons import claimed, members
from sweeper.evidence.measures import Grid, one_number_for
from sweeper.evidence.power import seeds_needed_by_events, seeds_needed_by_ranks
from sweeper.evidence.wording import aliased
from sweeper.metric import parse
from sweeper.plan import PlannedArm
from sweeper.recipe import Recipe


@dataclass(frozen=True)
class Design:
    """A recipe with the arms that are planned of it; a path has `arms_to_come` besides."""

    recipe: Recipe
    arms: Sequence[PlannedArm]
    n_seeds: int
    arms_to_come: int = 0

    @property
    def grid(self) -> Grid:
        """Without a run."""
        return Grid(tuple(self.arms), (), tuple(() for _ in self.arms))

    def metric(self, assertion: Assertion) -> str:
        return assertion.metric or next(iter(self.recipe.metrics))

    def comparisons(self, assertion: Comparison | Order) -> int:
        """The size of its family; the pairs of an order are tested without correction."""
        if isinstance(assertion, Order):
            return 1
        made = members(self.metric(assertion), self.recipe, self.grid)
        return len(made) + self.arms_to_come


def cannot_decide(
    recipe: Recipe, arms: Sequence[PlannedArm], n_seeds: int, arms_to_come: int = 0
) -> list[str]:
    """What these arms and so many seeds cannot decide: a sentence for each claim or group of them.

    Empty where every claim can be decided.
    """
    design = Design(recipe, arms, n_seeds, arms_to_come)
    sentences = []
    by_ranks: dict[int, list[str]] = {}
    for claim in recipe.claims:
        for line, assertion in claim.assertions():
            sentences += [f"{line}: {why}." for why in _never(assertion, design)]
            needed, why = _needed(assertion)
            if n_seeds < needed:
                sentences.append(f"{line}: {why}; it needs {needed} seeds, not {n_seeds}.")
            elif _may_be_by_ranks(assertion):
                comparisons = design.comparisons(assertion)
                if n_seeds < seeds_needed_by_ranks(comparisons):
                    by_ranks.setdefault(comparisons, []).append(line)
    return sentences + [_ranks_sentence(lines, m, n_seeds) for m, lines in by_ranks.items()]


def _may_be_by_ranks(assertion: Assertion) -> TypeGuard[Comparison | Order]:
    """An effect is a contrast of several arms, which has no rank test."""
    is_comparison = isinstance(assertion, Comparison) and assertion.effect is None
    return (is_comparison or isinstance(assertion, Order)) and assertion.kind != "no_effect"


def _never(assertion: Assertion, design: Design) -> Iterator[str]:
    """Why no number of seeds decides it."""
    recipe = design.recipe
    if isinstance(assertion, Comparison) and assertion.effect is not None:
        effects = recipe.factorial.effects() if recipe.factorial else ()
        effect = factorial.find(assertion.effect, effects)
        if effect and (others := factorial.others(assertion.effect, effect)):
            yield aliased(others)
    elif isinstance(assertion, Comparison | Order) or (
        isinstance(assertion, Exact) and assertion.check is None
    ):
        yield from _of_one_number(assertion, design)


def _of_one_number(assertion: Comparison | Order | Exact, design: Design) -> Iterator[str]:
    """`best_of(axis, m)` is one number a seed for all arms along the axis: they never differ."""
    metric, grid = design.metric(assertion), design.grid
    rows = [grid.index[name] for name in assertion.arms_named() if name in grid.index]
    if isinstance(assertion, Comparison):
        rows = [row for row, _ in claimed(assertion, grid) or ()]
    elif isinstance(assertion, Exact) and assertion.arm in grid.index:
        reference = assertion.reference or grid.arms[grid.index[assertion.arm]].compared_with
        rows += [grid.index[reference]] if reference in grid.index else []
    # of an order each pair is compared, of a contrast only the sum
    enough = 2 if isinstance(assertion, Order) else max(2, len(set(rows)))
    alike = [set(group) & set(rows) for group in one_number_for(parse(metric), grid)]
    for group in [group for group in alike if len(group) >= enough][:1]:
        names = " and ".join(grid.arms[row].name for row in sorted(group))
        yield f"{metric} is one number for {names}, which lie along its axis"


def _needed(assertion: Assertion) -> tuple[int, str]:
    if isinstance(assertion, Reaches | Diverges | Diagnosed):
        return seeds_needed_by_events(), "even a unanimous share has its bound below one half"
    if isinstance(assertion, Comparison | Order):
        return 2, "a single difference has no interval"
    return 1, ""


def _ranks_sentence(lines: list[str], comparisons: int, n_seeds: int) -> str:
    over = f" over {comparisons} comparisons" if comparisons > 1 else ""
    return (
        f"{', '.join(lines)}: if a run diverges, the rank test{over} needs "
        f"{seeds_needed_by_ranks(comparisons)} seeds, not {n_seeds}."
    )
