"""The generated pages say what was measured, of every documented claim, and none is stale."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "docs"))

import pages  # noqa: E402


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines_of_ledger() -> Iterator[str]:
    """Each claim of the ledger, and each of its parts."""
    for row in rows(pages.LEDGER):
        yield row["claim"]
        yield from (row["claim"] + letter for letter in row["parts"])


def test_every_line_of_the_ledger_is_a_claim_of_its_recipe() -> None:
    for row in rows(pages.LEDGER):
        recipe = yaml.safe_load((ROOT / "recipes" / f"{row['recipe']}.yaml").read_text())
        claims = {claim["id"]: set(claim.get("parts", ())) for claim in recipe["claims"]}
        assert row["claim"] in claims, f"{row['recipe']} makes no claim {row['claim']}"
        assert claims[row["claim"]] >= set(row["parts"]), f"{row['claim']} lacks parts"


def test_every_line_of_the_ledger_has_a_verdict_that_was_measured() -> None:
    verdicts = {row["claim"]: row["verdict"] for row in rows(pages.MEASURED / "claims.csv")}
    assert set(lines_of_ledger()) - set(verdicts) == set()
    assert set(verdicts.values()) == {"reproduced", "contradicted", "undecided"}


@pytest.fixture(scope="module")
def asked() -> dict[str, str]:
    """What each recipe asks today."""
    return {request.plan.name: pages.question(request) for request in pages.requests()}


def test_what_was_measured_is_what_the_recipes_ask(asked: dict[str, str]) -> None:
    measured = {row["recipe"]: row["question"] for row in rows(pages.MEASURED / "recipes.csv")}
    stale = {name for name, question in asked.items() if measured.get(name) != question}
    assert not stale, "run `make reproduce`, then `make pages`"


def test_no_page_is_stale() -> None:
    texts = pages.pages()
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run `make pages`"
    assert {*pages.PAGES.glob("*.md")} == texts.keys() - {pages.README}
