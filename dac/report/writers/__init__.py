"""Writers of tables, one module for each format."""

from __future__ import annotations

from pathlib import Path

from dac.report.table import Table
from dac.report.writers import csv, latex, markdown


def write(table: Table, directory: Path) -> list[Path]:
    """Write `<name>.csv`, `.md`, `.tex` (the tabular) and `-float.tex`; returns their paths."""
    texts = {
        f"{table.name}.csv": csv.csv_bytes(table.frame),
        f"{table.name}.md": markdown.with_caption(table).encode(),
        f"{table.name}.tex": latex.tabular(table).encode(),
        f"{table.name}-float.tex": latex.floating(table).encode(),
    }
    for name, content in texts.items():
        (directory / name).write_bytes(content)
    return [directory / name for name in texts]
