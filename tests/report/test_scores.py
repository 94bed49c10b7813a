from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from report_tables import cells_of, scores_of

from dac.report.data import Experiment, Planned, ReportData
from dac.report.writers.csv import csv_bytes
from dac.report.writers.latex import tabular
from dac.report.writers.markdown import markdown


def test_scores_hold_mean_deviation_seeds_and_the_data(data: ReportData) -> None:
    table = scores_of(data)
    assert table.header == (
        "Task",
        "Seeds",
        "soft",
        "bc_only",
        "DAC (published)",
        "IQL (published)",
        "Data",
    )
    cells = cells_of(table, "hopper-medium-v2")
    assert [cell.text for cell in cells] == [
        "hopper-medium-v2", "4", "64.2 ± 4.0", "70.2 ± 4.0", "101.2", "66.3", "44.3",
    ]  # fmt: skip


def test_bold_is_what_is_not_told_apart_from_the_best(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    """By `conftest.score` a variant is 2 above another for each letter more; the seeds' deviation is 4."""
    names = ("a", "ab", "abcdefgh")
    table = scores_of(build([experiment(variants=names)]))
    cells = cells_of(table, "hopper-medium-v2")[2:5]
    assert [cell.text for cell in cells] == ["58.2 ± 4.0", "60.2 ± 4.0", "72.2 ± 4.0"]
    assert [cell.bold for cell in cells] == [False, False, True]
    near = cells_of(scores_of(build([experiment(variants=names[:2])])), "hopper-medium-v2")[2:4]
    assert [cell.bold for cell in near] == [True, True]
    single = cells_of(scores_of(build([experiment(variants=names[:2])], seeds=1)), "hopper-medium-v2")[2:4]
    assert [cell.bold for cell in single] == [False, True]


def test_dac_stands_beside_ours_whatever_the_order_of_methods(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    table = scores_of(build([experiment(published=("BC", "IQL", "DAC"))]))
    assert table.header[2:] == ("soft", "bc_only", "DAC (published)", "BC (published)", "IQL (published)", "Data")


def test_values_of_a_swept_setting_have_its_symbol(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    table = scores_of(build([experiment(variants=("2", "10"), varied="diffusion_steps")]))
    assert table.header[2:4] == ("T = 2", "T = 10")


def test_published_numbers_stand_beside_comparable_tasks_only(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    mixed = scores_of(build())
    assert [cell.text for cell in cells_of(mixed, "hopper-medium-v2")[4:6]] == ["101.2", "66.3"]
    assert [cell.text for cell in cells_of(mixed, "own_hopper")[4:6]] == ["–", "–"]
    assert "Not comparable with published scores: own_hopper (other data than D4RL's)." in mixed.notes
    alone = scores_of(build([experiment(tasks=("own_hopper",))]))
    assert alone.header == ("Task", "Seeds", "soft", "bc_only", "Data")
    text = markdown(alone) + tabular(alone) + csv_bytes(alone.frame).decode()
    assert "101.2" not in text
    assert "66.3" not in text
    assert "Not comparable with published scores: own" in text


def test_each_cell_says_whether_the_published_numbers_of_its_row_are_comparable(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    """One incomparable variant drops no published number, and none that is comparable speaks for another."""
    data = build([experiment(tasks=("hopper-medium-v2", "walker2d-medium-v2"))])
    differing = {
        **data.differences,
        ("guidance", "hopper-medium-v2", "bc_only"): ("guidance none, not soft", "steps 10, not 20"),
        ("guidance", "walker2d-medium-v2", "soft"): ("steps 10, not 20",),
        ("guidance", "walker2d-medium-v2", "bc_only"): ("guidance none, not soft", "steps 10, not 20"),
    }
    table = scores_of(replace(data, differences=differing))
    hopper, walker = cells_of(table, "hopper-medium-v2"), cells_of(table, "walker2d-medium-v2")
    assert [cell.text for cell in hopper[2:5]] == ["64.2 ± 4.0", "70.2 ± 4.0 (a, b)", "101.2"]
    # No cell of the second row is comparable: nothing published stands there, and nothing is marked.
    assert [cell.text for cell in walker[2:5]] == ["64.2 ± 4.0", "70.2 ± 4.0", "–"]
    letters = [note for note in table.notes if note.startswith("(")]
    assert letters == [
        "(a) not comparable with the published scores of its row: guidance none, not soft.",
        "(b) not comparable with the published scores of its row: steps 10, not 20.",
    ]
    assert "Not comparable with published scores: walker2d-medium-v2 (steps 10, not 20)." in table.notes
    average = next(row for row in table.rows if row[0].text.startswith("Average"))
    assert [cell.text for cell in average[2:5]] == ["64.2 ± 4.0", "70.2 ± 4.0", "–"]
    frame = table.frame[table.frame["source"] == "this study"].set_index(["task", "method"])["differs"]
    assert frame["hopper-medium-v2", "soft"] == ""
    assert frame["hopper-medium-v2", "bc_only"] == "guidance none, not soft; steps 10, not 20"


def test_an_average_beside_a_published_one_has_the_marks_of_its_cells(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    tasks = ("hopper-medium-v2", "walker2d-medium-v2")
    data = build([experiment(tasks=tasks)])
    hard = {("guidance", task, "bc_only"): ("guidance none, not soft",) for task in tasks}
    table = scores_of(replace(data, differences={**data.differences, **hard}))
    average = next(row for row in table.rows if row[0].text.startswith("Average"))
    assert [cell.text for cell in average[2:5]] == ["64.2 ± 4.0", "70.2 ± 4.0 (a)", "99.0"]


def test_a_part_of_a_suite_has_an_average_that_says_so(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    two = scores_of(build([experiment(tasks=("hopper-medium-v2", "walker2d-medium-v2"))]))
    name = "Average of these 2 tasks (Hopper)"  # all tasks of the study have that environment
    # The tasks' seeds differ by the same from their mean, so the averages' deviation is that of each.
    assert [cell.text for cell in cells_of(two, name)] == [
        name, "4", "64.2 ± 4.0", "70.2 ± 4.0", "99.0", "72.3", "44.3",
    ]  # fmt: skip
    one = scores_of(build([experiment(tasks=("hopper-medium-v2",))]))
    assert [row[0].text for row in one.rows] == ["hopper-medium-v2"]
    mixed = scores_of(build())
    assert [cell.text for cell in cells_of(mixed, name)[2:]] == ["66.2 ± 4.0", "72.2 ± 4.0", "–", "–", "44.3"]


def test_diverged_runs_are_counted_and_explained(build: Callable[..., ReportData]) -> None:
    table = scores_of(build(diverged=[("own_hopper", "soft", 1), ("own_hopper", "soft", 3)]))
    assert cells_of(table, "own_hopper")[2].text.endswith(" †2")
    assert "†" not in cells_of(table, "hopper-medium-v2")[2].text
    assert any(note.startswith("†2 diverged") for note in table.notes)
    assert table.frame.query("task == 'own_hopper' and method == 'soft'")["diverged"].tolist() == [2]
    assert not any("†" in note for note in scores_of(build()).notes)


def test_equal_means_are_both_bold_and_a_single_variant_is_not(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    tied = scores_of(build([experiment(variants=("soft", "hard"))]))
    assert [cell.bold for cell in cells_of(tied, "hopper-medium-v2")[2:4]] == [True, True]
    single = scores_of(build([experiment(variants=("soft",))]))
    assert not any(cell.bold for row in single.rows for cell in row)


def test_of_a_partial_page_scores_and_averages_say_of_how_many_seeds_they_are(data: ReportData) -> None:
    """An average is of the seeds that all of its tasks have: each task lacks another one of four."""
    lacking = {"hopper-medium-v2": 1, "own_hopper": 2}
    there = data.curves["seed"] != data.curves["task"].map(lacking)
    table = scores_of(replace(data, curves=data.curves[there], planned=Planned((0, 1, 2, 3), 12, 10)))
    assert cells_of(table, "hopper-medium-v2")[2].text.endswith(" (3 of 4 seeds)")
    average = next(row for row in table.rows if row[0].text.startswith("Average"))
    # By `conftest.score` seed 3 is 9 above seed 0, whose means are 60.75 and 64.75.
    assert average[2].text == "67.2 ± 6.4 (2 of 4 seeds)"
