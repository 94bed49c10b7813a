"""Tables in LaTeX, for papers of one or two columns; they need the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dac.report.table import FOLDED, PUBLISHED, Table, Text

# Characters of a row that fit, with a gap's worth for every column, and how the table is set then.
_GAP = 2
_PLACES = (
    (58, "table", "small"),
    (68, "table", "footnotesize"),
    (102, "table*", "small"),
    (122, "table*", "footnotesize"),
    (10_000, "table*", "scriptsize"),
)
_ITEM = r"(?:Figs?|Tables?)\.? \d+"
_LATEX = {
    "[": "{[}", "]": "{]}",
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "–": "--", "—": "---", "…": r"\ldots{}",
    "†": r"\dag{}", "·": r"$\cdot$", "×": r"$\times$", "≥": r"$\geq$", "η": r"$\eta$", "ρ": r"$\rho$", "γ": r"$\gamma$",
    "α": r"$\alpha$", "β": r"$\beta$", "δ": r"$\delta$", "ε": r"$\varepsilon$", "λ": r"$\lambda$", "μ": r"$\mu$",
    "σ": r"$\sigma$", "τ": r"$\tau$", "≤": r"$\leq$", "→": r"$\to$", "°": r"$^\circ$",
    "−": "$-$", "‖": r"$\Vert$",
}  # fmt: skip


def tabular(table: Table) -> str:
    """The tabular alone, to \\input into a table of one's own."""
    lines = [rf"\begin{{tabular}}{{@{{}}{_columns(table)}@{{}}}}", r"\toprule"]
    lines += _head(table.header)
    lines += [" & ".join(map(_cell, row)) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def floating(table: Table) -> str:
    """A whole table with caption, label and notes, of the width of a column or, where it needs more, of both."""
    width = sum(min(length, FOLDED) + _GAP for length in table.lengths())
    environment, size = next((place, size) for limit, place, size in _PLACES if width <= limit)
    head = ["% package: booktabs", rf"\begin{{{environment}}}[t]", r"\centering", rf"\{size}"]
    head += [r"\setlength{\tabcolsep}{3pt}", rf"\caption{{{_symbols(paper_caption(table.caption))}}}"]
    head += [rf"\label{{tab:{table.name}}}"]
    notes = [rf"\par\smallskip\raggedright\footnotesize {_symbols(note)}" for note in table.notes]
    return "\n".join([*head, tabular(table).rstrip(), *notes, rf"\end{{{environment}}}"]) + "\n"


def escape_latex(text: str) -> str:
    """Text with LaTeX's special characters, and the symbols these tables use, as commands."""
    return "".join(_LATEX.get(character, character) for character in text)


def paper_caption(caption: str) -> str:
    """A caption without a number of its own: `Table 1. Scores: …` becomes `Scores (Table 1 of the paper): …`."""
    match = re.match(rf"({_ITEM}(?: and {_ITEM})*)\. ([^:]+)(.*)", caption)
    return f"{match[2]} ({match[1]} of the paper){match[3]}" if match else caption


def _columns(table: Table) -> str:
    """l for names and r for numbers; a column of sentences is folded."""
    folded = rf"p{{{FOLDED * 0.33:g}em}}"
    kinds = [folded if length > FOLDED else "r" for length in table.lengths()]
    return "".join(["l" if kinds[0] == "r" else kinds[0], *kinds[1:]])


def _head(header: Sequence[str]) -> list[str]:
    """The head; neighbours that are all published share a heading that says so once."""
    first = next((i for i, title in enumerate(header) if title.endswith(PUBLISHED)), len(header))
    last = max((i for i, title in enumerate(header) if title.endswith(PUBLISHED)), default=-1)
    together = last > first and all(title.endswith(PUBLISHED) for title in header[first : last + 1])
    names = [_symbols(title.removesuffix(PUBLISHED) if together else title) for title in header]
    heading = [
        "& " * first
        + rf"\multicolumn{{{last - first + 1}}}{{c}}{{published}}"
        + " &" * (len(header) - 1 - last)
        + r" \\",
        rf"\cmidrule(lr){{{first + 1}-{last + 1}}}",
    ]
    return [*(heading if together else []), " & ".join(names) + r" \\", r"\midrule"]


def _symbols(text: str) -> str:
    """Escaped text in which symbols and negative numbers are set as mathematics."""
    escaped = escape_latex(text)
    escaped = escaped.replace(r"N\_a", "$N_a$")
    escaped = re.sub(r"\b([HTNb]) = ", r"$\1$ = ", escaped)
    return re.sub(r"(?<![\w.$-])-(?=\d)", "$-$", escaped)


def _cell(cell: Text) -> str:
    text = _symbols(" ".join(cell.text.split()))
    return rf"\textbf{{{text}}}" if cell.bold else text
