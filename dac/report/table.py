"""What a table is: the same cells as Markdown and LaTeX, and their numbers as CSV."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate  # type: ignore[import-untyped]

NUMBER_FORMAT = "%.4f"
NONE = "–"
# Characters of a row that fit, with a gap's worth for every column, and how the table is set then.
_GAP, _FOLDED = 2, 34
_PLACES = (
    (58, "table", "small"),
    (68, "table", "footnotesize"),
    (102, "table*", "small"),
    (122, "table*", "footnotesize"),
    (10_000, "table*", "scriptsize"),
)
_PUBLISHED = " (published)"
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


@dataclass(frozen=True)
class Text:
    """One cell as it is shown."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table: what is shown (`header`, `rows`, `notes` below it) and the numbers behind it (`frame`).

    A header that ends in ` (published)` is of numbers that others published. One that is not `inline` says the same of
    the cells of another: the page links it.
    """

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    inline: bool = True

    def markdown(self) -> str:
        """The table and its notes in GitHub's Markdown."""
        body = [[_bold_markdown(cell) for cell in row] for row in self.rows]
        align = ("left", *("left" if length > _FOLDED else "right" for length in self._lengths()[1:]))
        header = [_escape_markdown(title) for title in self.header]
        table = tabulate(body, headers=header, tablefmt="pipe", colalign=align, disable_numparse=True)
        notes = ["", *(f"- {_escape_markdown(note)}" for note in self.notes)] if self.notes else []
        return "\n".join([table, *notes]) + "\n"

    def latex(self) -> str:
        """The tabular alone, to \\input into a table of one's own; it needs booktabs."""
        lines = [rf"\begin{{tabular}}{{@{{}}{self._latex_columns()}@{{}}}}", r"\toprule"]
        lines += _latex_header(self.header)
        lines += [" & ".join(map(_bold_latex, row)) + r" \\" for row in self.rows]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"

    def latex_float(self) -> str:
        """A whole table with caption, label and notes, of the width of a column or, where it needs more, of both."""
        width = sum(min(length, _FOLDED) + _GAP for length in self._lengths())
        environment, size = next((place, size) for limit, place, size in _PLACES if width <= limit)
        head = ["% package: booktabs", rf"\begin{{{environment}}}[t]", r"\centering", rf"\{size}"]
        head += [r"\setlength{\tabcolsep}{3pt}", rf"\caption{{{_symbols(paper_caption(self.caption))}}}"]
        head += [rf"\label{{tab:{self.name}}}"]
        notes = [rf"\par\smallskip\raggedright\footnotesize {_symbols(note)}" for note in self.notes]
        return "\n".join([*head, self.latex().rstrip(), *notes, rf"\end{{{environment}}}"]) + "\n"

    def _lengths(self) -> list[int]:
        """Characters of the longest cell of every column."""
        titles = [len(title.removesuffix(_PUBLISHED)) for title in self.header]
        cells = [[len(row[column].text) for row in self.rows] for column in range(len(self.header))]
        return [max([title, *lengths]) for title, lengths in zip(titles, cells, strict=True)]

    def _latex_columns(self) -> str:
        """l for names and r for numbers; a column of sentences is folded."""
        folded = rf"p{{{_FOLDED * 0.33:g}em}}"
        kinds = [folded if length > _FOLDED else "r" for length in self._lengths()]
        return "".join(["l" if kinds[0] == "r" else kinds[0], *kinds[1:]])

    def write(self, directory: Path) -> list[Path]:
        """Write `<name>.csv`, `.md`, `.tex` (the tabular) and `-float.tex`; returns their paths."""
        texts = {
            f"{self.name}.csv": csv_bytes(self.frame),
            f"{self.name}.md": f"{self.caption}\n\n{self.markdown()}".encode(),
            f"{self.name}.tex": self.latex().encode(),
            f"{self.name}-float.tex": self.latex_float().encode(),
        }
        for name, content in texts.items():
            (directory / name).write_bytes(content)
        return [directory / name for name in texts]


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """The frame as CSV, every float with four decimals and Unix line ends."""
    text: str = frame.to_csv(index=False, float_format=NUMBER_FORMAT, lineterminator="\n")
    return text.encode()


def escape_latex(text: str) -> str:
    """Text with LaTeX's special characters, and the symbols these tables use, as commands."""
    return "".join(_LATEX.get(character, character) for character in text)


def paper_caption(caption: str) -> str:
    """A caption without a number of its own: `Table 1. Scores: …` becomes `Scores (Table 1 of the paper): …`."""
    match = re.match(rf"({_ITEM}(?: and {_ITEM})*)\. ([^:]+)(.*)", caption)
    return f"{match[2]} ({match[1]} of the paper){match[3]}" if match else caption


def _latex_header(header: Sequence[str]) -> list[str]:
    """The head; neighbours that are all published share a heading that says so once."""
    first = next((i for i, title in enumerate(header) if title.endswith(_PUBLISHED)), len(header))
    last = max((i for i, title in enumerate(header) if title.endswith(_PUBLISHED)), default=-1)
    together = last > first and all(title.endswith(_PUBLISHED) for title in header[first : last + 1])
    names = [_symbols(title.removesuffix(_PUBLISHED) if together else title) for title in header]
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


def slug(name: str) -> str:
    """A name as a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def number(value: float) -> str:
    """A score with one decimal; "–" where it is unknown or infinite; no negative zero."""
    return f"{round(value, 1) + 0.0:.1f}" if math.isfinite(value) else NONE


def mean_std(mean: float, std: float | None) -> str:
    """Such as 95.8 ± 3.9; the deviation is "–" for one seed (NaN), absent where a source gives none."""
    return number(mean) if std is None or not math.isfinite(mean) else f"{number(mean)} ± {number(std)}"


def _escape_markdown(text: str) -> str:
    """On one line, with what Markdown would take for its own escaped."""
    escaped = re.sub(r"([\\|_*<`])", r"\\\1", " ".join(text.split()))
    return escaped.replace("](", r"\](")


def _bold_markdown(cell: Text) -> str:
    text = _escape_markdown(cell.text)
    return f"**{text}**" if cell.bold else text


def _bold_latex(cell: Text) -> str:
    text = _symbols(" ".join(cell.text.split()))
    return rf"\textbf{{{text}}}" if cell.bold else text
