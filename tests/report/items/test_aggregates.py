"""Aggregates over runs and tasks, as a table and as performance profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from report_figures import drawn, heights, panels

from dac.report.data import Experiment, ReportData
from dac.report.items.aggregates import aggregates_table, profiles_figure
from dac.report.panels import COLUMN_WIDTH, looks
from dac.report.statistics import summarise
from dac.report.table import Table

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]
TASKS = ("hopper-medium-v2", "walker2d-medium-v2")


@pytest.fixture
def data(build: Build, experiment: Make) -> ReportData:
    """By `conftest.score`, both tasks alike: 60.75, 61.75, 64.75, 69.75 of `soft`, two more of `longer`."""
    return build([experiment(tasks=TASKS, variants=("soft", "longer"), show=("aggregates",))])


def table_of(data: ReportData) -> Table:
    table = aggregates_table(data, summarise(data, data.experiments[0]))
    assert table is not None
    return table


def test_the_table_has_interquartile_means_and_the_probability_of_improvement(data: ReportData) -> None:
    table = table_of(data)
    assert table.header == ("Tasks", "Variant", "Seeds", "IQM [95 %]", "P(soft is better) [95 %]")
    rows = [[cell.text for cell in row] for row in table.rows]
    assert [row[:3] for row in rows] == [["All tasks (2)", "soft", "4"], ["All tasks (2)", "longer", "4"]]
    # The middle four of eight; two more letters are four points more.
    assert [row[3].split()[0] for row in rows] == ["63.2", "67.2"]
    assert table.frame["iqm"].tolist() == [63.25, 67.25]
    # Of the pairs 60.75, 61.75, 64.75, 69.75 against 64.75, 65.75, 68.75, 73.75: one tie, three above.
    assert table.frame["better"].tolist()[1] == (0.5 + 3) / 16
    assert rows[0][4] == "–" and rows[1][4].startswith("0.22 [0.")
    low, high = table.frame.loc[1, ["better_low", "better_high"]]
    assert 0 <= low < 3.5 / 16 < high < 0.5


def test_one_seed_has_no_intervals_and_one_task_no_table(build: Build, experiment: Make) -> None:
    single = table_of(build([experiment(tasks=TASKS, variants=("soft", "longer"))], seeds=1))
    assert [[cell.text for cell in row[3:]] for row in single.rows] == [["60.8", "–"], ["64.8", "0.00"]]
    one = build([experiment(tasks=TASKS[:1])])
    assert aggregates_table(one, summarise(one, one.experiments[0])) is None


def test_diverged_runs_are_told(build: Build, experiment: Make) -> None:
    data = build([experiment(tasks=TASKS, variants=("soft", "longer"))], diverged=[(TASKS[0], "soft", 1)])
    assert any(note.startswith("†1 diverged") for note in table_of(data).notes)


@pytest.mark.parametrize("width", [COLUMN_WIDTH, 6.75])
def test_profiles_fall_from_all_runs_to_none_in_each_variants_look(data: ReportData, width: float) -> None:
    (axis,) = panels(drawn(data, "aggregates", width)).values()
    soft, longer = axis.lines
    for line in (soft, longer):
        found = heights(line)
        assert (found[0], found[-1]) == (1.0, 0.0)
        assert all(np.diff(found) <= 0)
    # Half of the runs are above what lies between the second and the third seed.
    assert at(soft.get_xdata(), heights(soft), 63.0) == 0.5
    assert at(longer.get_xdata(), heights(longer), 63.0) == 1.0
    look = looks(data)
    assert [line.get_color() for line in (soft, longer)] == [
        look["guidance", variant].colour for variant in ("soft", "longer")
    ]
    assert len(axis.collections) == 2  # a band each
    assert axis.get_xlabel() == "Normalised score τ" and axis.get_ylabel() == "Runs above τ"


def at(places: Sequence[float], values: Sequence[float], place: float) -> float:
    """The value of a line at the place nearest to one."""
    return values[int(np.abs(np.asarray(places, dtype=float) - place).argmin())]


def test_a_suite_has_a_panel_of_its_own(build: Build, experiment: Make) -> None:
    data = build([experiment(tasks=(*TASKS, "own_hopper"), variants=("soft", "longer"))])
    rows = {name: dict(row) for name, row in data.task_rows.items()}
    rows["own_hopper"] |= {"dataset": "mine", "env": "Pendulum-v1"}
    object.__setattr__(data, "task_rows", rows)
    figure = profiles_figure(data, summarise(data, data.experiments[0]), 6.75)
    assert list(panels(figure)) == ["Locomotion tasks (2)", "All tasks (3)"]
