"""Writes docs/recipes/*.md and the README's table from what was measured: `make pages`.

`keep` copies what is needed out of a full reproduction into docs/measured; `pages` makes every text
of the recipes and of that copy, so that a test can tell when one is stale.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from sweeper.api import Places, prepare
from sweeper.evidence import page
from sweeper.evidence.page import Cell, Column, Table
from sweeper.identity import digest
from sweeper.planning import Request
from sweeper.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
MEASURED, PAGES = ROOT / "docs/measured", ROOT / "docs/recipes"
LEDGER, README = ROOT / "docs/ledger.csv", ROOT / "README.md"
BEGIN, END = "<!-- reproduction -->", "<!-- /reproduction -->"
_COLOURS = 48  # of a figure: a quarter of its bytes, and no difference to the eye
_VERDICTS = ("reproduced", "contradicted", "undecided")
# What an arms table of a page shows.
_ARMS = (
    "recipe", "arm", "metric", "n", "n_diverged", "n_failed", "mean", "median", "ci_low", "ci_high",
    "baseline", "delta", "delta_ci_low", "delta_ci_high", "p_holm", "verdict",
)  # fmt: skip


@cache
def requests() -> list[Request]:
    """Every shipped recipe, composed."""
    return prepare(["all"], [], Places.of())[0]


def question(request: Request) -> str:
    """What was asked, without how it is worded: what was measured answers this alone."""
    recipe = _recipe(request)
    trials = sorted((c.arm, c.seed, c.trial_id) for c in request.plan.cells)
    judged = recipe.model_dump(mode="json", include={"metrics", "search", "seeds"})
    wording = {"statement", "documented"}
    asserted = [
        (line, assertion.model_dump(mode="json", exclude=wording))
        for claim in recipe.claims
        for line, assertion in claim.assertions()
    ]
    return digest([trials, judged, asserted], 16)


def keep(outputs: Path) -> None:
    """Copy the claims, the arms and a figure of each recipe's curves out of a full reproduction."""
    MEASURED.mkdir(exist_ok=True)
    asked = requests()
    claims = _read(outputs / "reproduction.csv")
    claims.to_csv(MEASURED / "claims.csv", index=False)
    arms = [_read(outputs / r.plan.name / "arms.csv")[list(_ARMS)] for r in asked]
    _rounded(pd.concat(arms)).to_csv(MEASURED / "arms.csv", index=False)
    rows = [(r.plan.name, question(r)) for r in asked]
    pd.DataFrame(rows, columns=["recipe", "question"]).to_csv(MEASURED / "recipes.csv", index=False)
    (PAGES / "figures").mkdir(parents=True, exist_ok=True)
    for request in asked:
        _keep_figure(request, outputs / request.plan.name / "figures")


def _rounded(arms: pd.DataFrame) -> pd.DataFrame:
    """Six digits are enough to be read, and a quarter of the bytes."""
    return arms.map(lambda text: f"{float(text):.6g}" if _is_number(text) else text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "." in text


def _keep_figure(request: Request, figures: Path) -> None:
    found = next(iter(_figures(request, figures)), None)
    if found is not None:
        with Image.open(found) as image:
            small = image.convert("RGB").quantize(_COLOURS)
            small.save(PAGES / "figures" / f"{request.plan.name}.png", optimize=True)


def _figures(request: Request, figures: Path) -> Iterator[Path]:
    """The curves of the recipe's first metric that is one of a run, else any."""
    for metric in _recipe(request).metrics:
        yield from figures.glob(f"curves-{metric}.png")
    yield from sorted(figures.glob("curves-*.png"))


def pages() -> dict[Path, str]:
    """Every generated text by its file, from the recipes and docs/measured."""
    claims, arms = _read(MEASURED / "claims.csv"), _read(MEASURED / "arms.csv")
    texts = {
        PAGES / f"{r.plan.name}.md": _page(
            r, claims[claims["recipe"] == r.plan.name], arms[arms["recipe"] == r.plan.name]
        )
        for r in requests()
    }
    before, _, rest = README.read_text().partition(BEGIN)
    table = _in_short(claims, _read(LEDGER))
    texts[README] = f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"
    return texts


def _page(request: Request, claims: pd.DataFrame, arms: pd.DataFrame) -> str:
    recipe, name = _recipe(request), request.plan.name
    figure = f"![{name}: curves by arm](figures/{name}.png)"
    has_figure = (PAGES / "figures" / f"{name}.png").exists()
    sections = {
        "Question": recipe.question,
        "What the document says": _said(recipe, claims),
        "How to run it": (
            f"```sh\nsweeper run {name}          # {len(request.plan.arms)} arms, "
            f"{len(recipe.every_seed)} seeds\nsweeper report {name}\n```"
        ),
        "What each arm changes": markdown(page.changes_table(request.plan)),
        "Result": markdown(page.arms_table(_typed(arms), recipe)),
        "Curves": figure if has_figure else "No curve belongs to this recipe.",
        "Verdict": markdown(_verdicts(claims)),
        "Conditions": recipe.notes.strip() or "As in the table above.",
        "When it may turn out otherwise": recipe.otherwise.strip(),
    }
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    return f"# {name}\n\nGenerated by `make pages` from recipes/{name}.yaml.\n\n{body}\n"


def _said(recipe: Recipe, claims: pd.DataFrame) -> str:
    lines = [
        f"- **{row.claim}** {row.statement}" + (f" ({row.documented})" if row.documented else "")
        for row in claims.itertuples()
        if row.statement
    ]
    return f"Source: {recipe.source}\n\n" + "\n".join(lines)


def _verdicts(claims: pd.DataFrame) -> Table:
    rows = tuple(
        (Cell(row.claim), Cell(row.verdict), Cell(row.n), Cell(row.reason))
        for row in claims.itertuples()
    )
    columns = (Column("claim"), Column("verdict"), Column("n", is_number=True), Column("measured"))
    return Table("", columns, rows)


def _in_short(claims: pd.DataFrame, ledger: pd.DataFrame) -> str:
    """A row a claim of the ledger, with the letters of its parts by verdict."""
    verdicts = dict(zip(claims["claim"], claims["verdict"], strict=True))
    statements = dict(zip(claims["claim"], claims["statement"], strict=True))
    counts = claims[claims["claim"].isin(ledger["claim"])]["verdict"].value_counts()
    counted = ", ".join(f"{counts.get(v, 0)} {v}" for v in _VERDICTS)
    rows = tuple(_short_row(row, verdicts, statements) for row in ledger.itertuples())
    titles = ("claim", "recipe", "what the documents say", "verdict")
    table = markdown(Table("", tuple(map(Column, titles)), rows))
    return f"Of {len(ledger)} documented claims: {counted}.\n\n{table}"


def _short_row(row: Any, verdicts: dict[str, str], statements: dict[str, str]) -> tuple[Cell, ...]:
    claim, recipe = row.claim, row.recipe
    parts = [i for i in verdicts if i[:-1] == claim and i[-1].isalpha()]
    said = statements.get(claim) or "; ".join(f"({i[-1]}) {statements[i]}" for i in parts)
    verdict = verdicts.get(claim, "not run")
    if len({verdicts[i] for i in parts}) > 1:
        verdict += ": " + ", ".join(f"{i[-1]} {verdicts[i]}" for i in parts)
    return (
        Cell(claim), Cell(f"[{recipe}](docs/recipes/{recipe}.md)"), Cell(said), Cell(verdict),
    )  # fmt: skip


def markdown(table: Table) -> str:
    """A table of a report as Markdown."""
    lines = [_row(c.title for c in table.columns)]
    lines.append(_row("---:" if c.is_number else "---" for c in table.columns))
    lines += [_row(cell.text for cell in row) for row in table.rows]
    lines += ["", table.note] if table.note else []
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


def _typed(arms: pd.DataFrame) -> pd.DataFrame:
    """Numbers as numbers again, as the tables of a report want them."""
    texts = ("recipe", "arm", "metric", "baseline", "verdict")
    numbers = {name: pd.to_numeric(arms[name]) for name in arms if name not in texts}
    return arms.assign(**numbers)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _recipe(request: Request) -> Recipe:
    assert request.recipe is not None
    return request.recipe


def main(words: Sequence[str]) -> None:
    if words:
        keep(Path(words[0]))
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
