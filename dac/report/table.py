"""What a table is: the same cells as Markdown and LaTeX, and their numbers as CSV."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate  # type: ignore[import-untyped]

NUMBER_FORMAT = "%.4f"
NONE = "–"
_WIDE = 7
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "–": "--", "—": "---", "…": r"\ldots{}",
    "†": r"\dag{}", "·": r"$\cdot$", "×": r"$\times$", "≥": r"$\geq$", "η": r"$\eta$", "ρ": r"$\rho$",
    "−": "$-$", "‖": r"$\Vert$",
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """One cell as it is shown."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table: what is shown (`header`, `rows`, `notes` below it) and the numbers behind it (`frame`)."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table and its notes in GitHub's Markdown."""
        body = [[_bold_markdown(cell) for cell in row] for row in self.rows]
        align = ("left", *("right" for _ in self.header[1:]))
        header = [_escape_markdown(title) for title in self.header]
        table = tabulate(body, headers=header, tablefmt="pipe", colalign=align, disable_numparse=True)
        notes = ["", *(f"- {_escape_markdown(note)}" for note in self.notes)] if self.notes else []
        return "\n".join([table, *notes]) + "\n"

    def latex(self) -> str:
        """A booktabs table environment; a wide one is scaled to the text width, which needs graphicx."""
        lines = [r"\begin{tabular}{l" + "r" * (len(self.header) - 1) + "}", r"\toprule"]
        lines += [" & ".join(map(escape_latex, self.header)) + r" \\", r"\midrule"]
        lines += [" & ".join(map(_bold_latex, row)) + r" \\" for row in self.rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
        if wide := len(self.header) > _WIDE:
            lines = [r"\resizebox{\textwidth}{!}{%", *lines, "}"]
        notes = [rf"\par\footnotesize {escape_latex(note)}" for note in self.notes]
        packages = "booktabs, graphicx" if wide else "booktabs"
        head = [f"% packages: {packages}", r"\begin{table}[t]", r"\centering", r"\small"]
        head += [rf"\caption{{{escape_latex(self.caption)}}}", rf"\label{{tab:{self.name}}}"]
        return "\n".join([*head, *lines, *notes, r"\end{table}"]) + "\n"

    def write(self, directory: Path) -> list[Path]:
        """Write `<name>.csv`, `.md` and `.tex`; returns their paths."""
        paths = [directory / f"{self.name}.{suffix}" for suffix in ("csv", "md", "tex")]
        paths[0].write_bytes(csv_bytes(self.frame))
        paths[1].write_bytes(f"{self.caption}\n\n{self.markdown()}".encode())
        paths[2].write_bytes(self.latex().encode())
        return paths


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """The frame as CSV, every float with four decimals and Unix line ends."""
    text: str = frame.to_csv(index=False, float_format=NUMBER_FORMAT, lineterminator="\n")
    return text.encode()


def escape_latex(text: str) -> str:
    """Text with LaTeX's special characters, and the symbols these tables use, as commands."""
    return "".join(_LATEX.get(character, character) for character in text)


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
    return text.replace("|", r"\|").replace("_", r"\_").replace("*", r"\*")


def _bold_markdown(cell: Text) -> str:
    text = _escape_markdown(cell.text)
    return f"**{text}**" if cell.bold else text


def _bold_latex(cell: Text) -> str:
    text = escape_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.bold else text
