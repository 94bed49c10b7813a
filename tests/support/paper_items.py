"""What docs/paper-items.md says: each item of the paper, its experiment, and the files that render it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from project import ROOT

PAGE = ROOT / "docs/paper-items.md"


@dataclass(frozen=True)
class PaperItem:
    """A row of the page. `files` are under a study's results, without suffix."""

    name: str
    experiments: tuple[str, ...]
    files: tuple[str, ...]


def paper_items() -> list[PaperItem]:
    """All rows, those of what is not in the paper included."""
    rows = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    listed = [[cell.strip() for cell in row] for row in rows if row[-1].strip() != "rendered as"]
    return [
        PaperItem(cells[0], tuple(re.findall(r"`(\w+)`", cells[-2])), tuple(re.findall(r"`([^`]+)`", cells[-1])))
        for cells in listed
    ]
