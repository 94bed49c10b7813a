"""Tables in GitHub's Markdown."""

from __future__ import annotations

import re

from tabulate import tabulate  # type: ignore[import-untyped]

from dac.report.table import FOLDED, Table, Text


def markdown(table: Table) -> str:
    """The table with its notes below."""
    body = [[_cell(cell) for cell in row] for row in table.rows]
    align = ("left", *("left" if length > FOLDED else "right" for length in table.lengths()[1:]))
    header = [_escape(title) for title in table.header]
    text = tabulate(body, headers=header, tablefmt="pipe", colalign=align, disable_numparse=True)
    notes = ["", *(f"- {_escape(note)}" for note in table.notes)] if table.notes else []
    return "\n".join([text, *notes]) + "\n"


def with_caption(table: Table) -> str:
    """The table as a file of its own."""
    return f"{inert(table.caption)}\n\n{markdown(table)}"


def without_html(text: str) -> str:
    """A user's Markdown in which nothing is HTML."""
    return text.replace("<", r"\<")


def inert(text: str) -> str:
    """A user's line in which nothing is HTML or a link, to stand within one."""
    return without_html(text).replace("](", r"\](")


def _cell(cell: Text) -> str:
    text = _escape(cell.text)
    return f"**{text}**" if cell.bold else text


def _escape(text: str) -> str:
    """On one line, with what Markdown would take for its own escaped."""
    escaped = re.sub(r"([\\|_*<`])", r"\\\1", " ".join(text.split()))
    return escaped.replace("](", r"\](")
