"""What the tests of a report's tables share."""

from __future__ import annotations

from dac.report.data import ReportData
from dac.report.scores import scores_table
from dac.report.statistics import summarise
from dac.report.table import Table, Text


def cells_of(table: Table, task: str) -> list[Text]:
    """The row of a task."""
    return next(list(row) for row in table.rows if row[0].text == task)


def scores_of(data: ReportData) -> Table:
    """The table of scores of the first experiment."""
    return scores_table(data, summarise(data, data.experiments[0]))
