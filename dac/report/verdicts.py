"""A study's claims for a terminal, from the table of its page.

Without pandas, whose start takes longer than all else that a second `make quick` does.
"""

from __future__ import annotations

import csv
from pathlib import Path


def lines(table: Path) -> list[str]:
    """The claims of a page's `tables/claims.csv`, a line each."""
    with table.open(encoding="utf-8", newline="") as stream:
        return [_line(row) for row in csv.DictReader(stream)]


def _line(row: dict[str, str]) -> str:
    higher, lower, difference, low, high = (
        float(row[name] or "nan")  # as pandas writes a number that is none
        for name in ("higher_mean", "lower_mean", "difference", "low", "high")
    )
    return (
        f"{row['verdict']:9s} {row['claim']} ({row['task']}): {row['higher']} {higher:.4g}, {row['lower']} {lower:.4g}"
        f", difference {difference:+.4g} [{low:.4g}, {high:.4g}] over {row['seeds']} seeds"
    )
