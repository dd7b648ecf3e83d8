"""The claims table: what a document says beside what was measured, and an honest verdict."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import pandas as pd

from sweeper.claim import Assertion, Claim, Comparison, Exact, Order
from sweeper.evidence.differences import judge_comparison, judge_order
from sweeper.evidence.events import judge_event, judge_exact
from sweeper.evidence.findings import Evidence, Finding
from sweeper.evidence.wording import joined

COLUMNS = (
    "claim", "recipe", "source", "statement", "arm", "reference", "metric", "documented",
    "measured", "ci_low", "ci_high", "n", "verdict", "reason",
)  # fmt: skip


def claims_table(evidence: Evidence) -> pd.DataFrame:
    """A row per assertion, and after those of a claim in parts one for the bare id."""
    rows = chain.from_iterable(_rows(evidence, claim) for claim in evidence.recipe.claims)
    return frame(list(rows))


def frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The table of these rows, with the same columns and types however few they are."""
    table = {
        column: pd.Series([row[column] for row in rows], dtype=_dtype(column))
        for column in COLUMNS
    }  # fmt: skip
    return pd.DataFrame(table, columns=list(COLUMNS))


def _dtype(column: str) -> str:
    if column == "n":
        return "Int64"
    return "float64" if column in ("measured", "ci_low", "ci_high") else "object"


def judge(evidence: Evidence, assertion: Assertion) -> Finding:
    """Decide one assertion; what cannot be told is undecided, and the reason says why."""
    unknown = [arm for arm in assertion.arms_named() if arm not in evidence.grid.index]
    if unknown:
        return Finding("undecided", f"there is no arm {unknown[0]!r}")
    if isinstance(assertion, Comparison):
        return judge_comparison(evidence, assertion)
    if isinstance(assertion, Order):
        return judge_order(evidence, assertion)
    if isinstance(assertion, Exact):
        return judge_exact(evidence, assertion)
    return judge_event(evidence, assertion)


def together(verdicts: Sequence[str]) -> str:
    """Reproduced when every part is, contradicted when one is, undecided otherwise."""
    if "contradicted" in verdicts:
        return "contradicted"
    return "reproduced" if set(verdicts) == {"reproduced"} else "undecided"


def _rows(evidence: Evidence, claim: Claim) -> Iterator[dict[str, Any]]:
    source = claim.source or evidence.recipe.source
    verdicts: dict[str, str] = {}
    for line, assertion in claim.assertions():
        finding = judge(evidence, assertion)
        verdicts[line.removeprefix(claim.id)] = finding.verdict
        yield _row(evidence, line, source, finding) | {
            "statement": assertion.statement, "documented": assertion.documented,
            "reason": joined(finding.reason, *_noted_of(evidence, assertion)),
        }  # fmt: skip
    if claim.parts:
        reason = ", ".join(f"{letter} {verdict}" for letter, verdict in verdicts.items())
        whole = Finding(together(list(verdicts.values())), reason)
        yield _row(evidence, claim.id, source, whole) | {"statement": claim.statement}


def _noted_of(evidence: Evidence, assertion: Assertion) -> Iterator[str]:
    """Of the arms that the verdict rests on: why they do not apply, what to mend in searches."""
    arms: list[str | None] = [*assertion.arms_named()]
    if isinstance(assertion, Comparison | Exact) and assertion.arm in evidence.grid.index:
        arms.append(evidence.reference_of(assertion.arm, assertion.reference))
    if isinstance(assertion, Comparison) and assertion.effect is not None:
        arms += evidence.plan.factorial
    for arm in dict.fromkeys(arms):
        if arm in evidence.skipped:
            yield f"{arm} is skipped: {evidence.skipped[arm]}"
        yield from evidence.warnings.get(arm or "", ())


def _row(evidence: Evidence, line: str, source: str, finding: Finding) -> dict[str, Any]:
    return {
        "claim": line, "recipe": evidence.plan.name, "source": source,
        "statement": "", "documented": "", **vars(finding),
    }  # fmt: skip
