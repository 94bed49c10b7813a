from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from report_tables import scores_of

from dac.report.data import Experiment, ReportData
from dac.report.selection import selection_table
from dac.report.statistics import summarise
from dac.report.table import Table

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]
METHODS = ("DAC", "IDQL-A", "DQL", "CQL")


def table_of(data: ReportData) -> Table:
    table = selection_table(data, summarise(data, data.experiments[0]))
    assert table is not None
    return table


def test_ours_stands_by_both_rules_beside_the_rule_of_every_published_score(build: Build, experiment: Make) -> None:
    table = table_of(build([experiment(published=METHODS, variants=("soft",))]))
    assert table.header[-1] == "Average of 1 task"
    # By `conftest.score` the last evaluation of four is the best, 0.5 above the mean of the last two.
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["soft (this study)", "mean of the last 2 evaluations", "4", "2", "64.2 ± 4.0"],
        ["soft (this study)", "best evaluation", "4", "2", "64.8 ± 4.0"],
        ["DAC", "mean of the last 5 evaluations", "8", "10", "101.2"],
        ["IDQL-A", "last evaluation", "–", "–", "65.4"],
        ["DQL", "best evaluation", "–", "10", "90.5"],
        ["CQL", "not stated", "–", "–", "58.0"],
    ]
    assert table.frame["mean"].tolist()[:2] == [64.25, 64.75]
    assert any(note.startswith("DQL: Zhendong-Wang/") for note in table.notes)


def test_averages_are_over_the_comparable_tasks(build: Build, experiment: Make) -> None:
    tasks = ("hopper-medium-v2", "walker2d-medium-v2", "own_hopper")
    table = table_of(build([experiment(published=("DAC",), variants=("soft",), tasks=tasks)]))
    assert "Tasks: hopper-medium-v2, walker2d-medium-v2." in table.notes
    assert [row[-1].text for row in table.rows] == ["64.2 ± 4.0", "64.8 ± 4.0", "99.0"]


def test_a_variant_that_is_not_comparable_is_not_beside_them(build: Build, experiment: Make) -> None:
    data = build([experiment(published=METHODS)])
    hard = {("guidance", "hopper-medium-v2", "bc_only"): ("guidance none, not soft",)}
    table = table_of(replace(data, differences={**data.differences, **hard}))
    assert [row[0].text for row in table.rows[:3]] == ["soft (this study)", "soft (this study)", "DAC"]


@pytest.mark.parametrize("changes", [{"published": ()}, {"tasks": ("own_hopper",)}])
def test_nothing_comparable_needs_no_such_table(build: Build, experiment: Make, changes: dict[str, object]) -> None:
    data = build([experiment(**changes)])
    assert selection_table(data, summarise(data, data.experiments[0])) is None


def test_a_table_of_scores_says_what_its_scores_are_of(build: Build, experiment: Make) -> None:
    (note,) = [note for note in scores_of(build([experiment(published=METHODS)])).notes if "score is of" in note]
    assert note == (
        "What a run's score is of. Ours: mean of the last 2 evaluations; DAC: mean of the last 5 evaluations; "
        "IDQL-A: last evaluation; DQL: best evaluation; CQL: not stated."
    )
    assert not [note for note in scores_of(build([experiment(published=())])).notes if "score is of" in note]
