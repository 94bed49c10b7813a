"""What a table is: what is shown of it and the numbers behind. Its writers are in `dac.report.writers`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pandas as pd

NONE = "–"
PUBLISHED = " (published)"
FOLDED = 34  # characters from which on a column is one of sentences


Cell = tuple[str, str, str]  # experiment, task, variant: which runs a number is of


@dataclass(frozen=True)
class Text:
    """One cell as it is shown. `of`: whose runs its number is of, where it is of one task and variant."""

    text: str
    bold: bool = False
    of: Cell | None = None


@dataclass(frozen=True)
class Table:
    """A table: what is shown (`header`, `rows`, `notes` below it) and the numbers behind it (`frame`).

    A header that ends in ` (published)` is of numbers that others published. One that is not `inline` says the same of
    the cells of another: the page links it. Where a page has switches, those with a `view` are one with it as the
    switch's name.
    """

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    inline: bool = True
    view: str | None = None

    def lengths(self) -> list[int]:
        """Characters of the longest cell of every column."""
        titles = [len(title.removesuffix(PUBLISHED)) for title in self.header]
        cells = [[len(row[column].text) for row in self.rows] for column in range(len(self.header))]
        return [max([title, *lengths]) for title, lengths in zip(titles, cells, strict=True)]


def slug(name: str) -> str:
    """A name as a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def number(value: float) -> str:
    """A score with one decimal; "–" where it is unknown or infinite; no negative zero."""
    return f"{round(value, 1) + 0.0:.1f}" if math.isfinite(value) else NONE


def mean_std(mean: float, std: float | None) -> str:
    """Such as 95.8 ± 3.9; the deviation is "–" for one seed (NaN), absent where a source gives none."""
    return number(mean) if std is None or not math.isfinite(mean) else f"{number(mean)} ± {number(std)}"
