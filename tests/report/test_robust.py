"""The table of interquartile means."""

from __future__ import annotations

import re
from collections.abc import Callable

from report_tables import cells_of, scores_of

from dac.report.data import ReportData
from dac.report.robust import robust_table
from dac.report.statistics import summarise


def test_one_seed_shows_a_dash(build: Callable[..., ReportData]) -> None:
    data = build(seeds=1)
    cells = cells_of(scores_of(data), "hopper-medium-v2")
    assert [cell.text for cell in cells[1:3]] == ["1", "60.8 ± –"]
    robust = robust_table(data, summarise(data, data.experiments[0]))
    assert cells_of(robust, "hopper-medium-v2")[1].text == "60.8"


def test_robust_table_ends_with_all_tasks(data: ReportData) -> None:
    summary = summarise(data, data.experiments[0])
    table = robust_table(data, summary)
    # Seeds 60.75, 61.75, 64.75, 69.75: the middle two.
    assert cells_of(table, "hopper-medium-v2")[1].text.startswith("63.2 [")
    assert table.rows[-1][0].text == "All tasks (2)"
    low, high = (float(bound) for bound in re.findall(r"[\d.]+", cells_of(table, "hopper-medium-v2")[1].text)[1:])
    assert 60.7 <= low < 63.25 < high <= 69.8
