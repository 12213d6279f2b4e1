"""Rows of text as Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, all others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    cells = [[str(cell).replace("|", r"\|") for cell in row] for row in (header, rule, *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a LaTeX tabular (booktabs) of cells that are LaTeX already."""
    lines = [" & ".join(row) + r" \\" for row in (header, *rows)]
    columns = "l" + "r" * (len(header) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Return a text in which no character is special to LaTeX."""
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)


def csv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV under the first one's keys."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
