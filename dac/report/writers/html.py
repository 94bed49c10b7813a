"""Tables in HTML: a head that sorts, a row's name as its head, and a button where a number is of some runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from dac.report.table import FOLDED, Cell, Table, Text


def html(table: Table, cells: Mapping[Cell, int]) -> Markup:
    """The table without its notes.

    Args:
        cells: the numbers of the cells whose runs the page can show.
    """
    worded = [_is_worded(column) for column in zip(*table.rows, strict=True)]
    head = Markup("").join(
        Markup('<th scope="col"{}><button type="button" class="sort">{}</button></th>').format(
            _classes(text=left), title
        )
        for title, left in zip(table.header, worded, strict=True)
    )
    body = Markup("\n").join(_row(row, worded, cells, total=_is_total(table, row)) for row in table.rows)
    text = Markup("<table>\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>")
    return text.format(table.caption, head, body)


def _is_worded(column: Sequence[Text]) -> bool:
    """Whether a column is of words, which stand left; no cell of it begins with a number."""
    return not any(re.match(r"[+-]?\d", cell.text) for cell in column)


def _row(row: tuple[Text, ...], worded: list[bool], cells: Mapping[Cell, int], *, total: bool) -> Markup:
    name, *others = row
    columns = [
        Markup("<td{}>{}</td>").format(_classes(text=left, long=_is_long(cell)), _cell(cell, cells))
        for cell, left in zip(others, worded[1:], strict=True)
    ]
    head = Markup('<th scope="row"{}>{}</th>').format(_classes(long=_is_long(name)), name.text)
    return Markup("<tr{}>{}{}</tr>").format(_classes(total=total), head, Markup("").join(columns))


def _classes(**names: bool) -> Markup:
    """The attribute with the names that hold; nothing where none does."""
    found = " ".join(name for name, holds in names.items() if holds)
    return Markup(' class="{}"').format(found) if found else Markup("")


def _is_long(cell: Text) -> bool:
    return len(cell.text) > FOLDED


def _is_total(table: Table, row: tuple[Text, ...]) -> bool:
    """Whether a row is of no runs of its own among some that are: an average, which no sorting moves among them."""
    return all(cell.of is None for cell in row) and any(cell.of for other in table.rows for cell in other)


def _cell(cell: Text, cells: Mapping[Cell, int]) -> Markup:
    text = (Markup("<strong>{}</strong>") if cell.bold else Markup("{}")).format(cell.text)
    number = cells.get(cell.of) if cell.of else None
    if number is None:
        return text
    return Markup('<button type="button" class="runs" data-cell="{}" aria-haspopup="dialog">{}</button>').format(
        number, text
    )
