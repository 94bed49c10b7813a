"""Tables of the same cells as one with switches."""

from __future__ import annotations

from collections.abc import Callable

from dac.report.data import Experiment, ReportData
from dac.report.items import tables_of
from dac.report.statistics import summarise
from dac.report.views import seeds_table, views

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]


def test_no_cells_stand_twice(build: Build, experiment: Make) -> None:
    data = build([experiment(show=("sweep", "action_samples"), variants=("2", "10"), varied="ensemble_size")])
    summary = summarise(data, data.experiments[0])
    together, *apart = views(data, summary, tables_of(data, summary))
    assert [table.view for table in together] == ["Mean ± sd", "Interquartile mean", "Per seed"]
    assert [[table.name for table in group] for group in apart] == [["guidance-selection"], ["guidance-action-samples"]]


def test_the_score_of_every_run(data: ReportData) -> None:
    table = seeds_table(data, summarise(data, data.experiments[0]))
    assert table.header == ("Task", "Seed", "soft", "bc_only")
    shown = [[cell.text for cell in row] for row in table.rows]
    # By `conftest.score`: 50 + 2 len(variant) + seed² + 2.5 + 0.25, and 4 more for one's own.
    assert shown[1] == ["hopper-medium-v2", "1", "61.8", "67.8"]
    assert shown[7] == ["own_hopper", "3", "73.8", "79.8"]
    assert len(shown) == 8
    assert table.rows[7][3].of == ("guidance", "own_hopper", "bc_only")
