"""Writes outputs/reproduction.csv into the README, between its two markers: `make readme`."""

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- reproduction -->", "<!-- /reproduction -->"
COLUMNS = ("claim", "statement", "documented", "n", "verdict", "reason")


def table(claims: pd.DataFrame) -> str:
    """The claims as Markdown; a claim in parts is one row a part, its own row the verdict alone."""
    lines = ["| claim | what the document says | documented | n | verdict | measured |"]
    lines.append("|---|---|---|---|---|---|")
    for row in claims[list(COLUMNS)].itertuples(index=False):
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    claims = pd.read_csv(Path(sys.argv[1]) / "reproduction.csv", dtype=str, keep_default_na=False)
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{table(claims)}\n{END}{after}")


if __name__ == "__main__":
    main()
