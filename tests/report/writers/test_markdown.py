"""Tables in Markdown."""

from __future__ import annotations

import pandas as pd

from dac.report.table import Table, Text
from dac.report.writers.markdown import markdown


def test_a_cell_of_markdown_is_one_line_and_escaped() -> None:
    table = Table("t", "", ("Task", "x"), ((Text("a\nb"), Text(r"c\|d <b> [x](y)")),), pd.DataFrame())
    assert len(markdown(table).splitlines()) == 3
    assert r"c\\\|d \<b> [x\](y)" in markdown(table)
