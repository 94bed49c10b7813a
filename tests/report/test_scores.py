from __future__ import annotations

from collections.abc import Callable

from report_tables import cells_of, scores_of

from dac.report import scores
from dac.report.data import Experiment, ReportData
from dac.report.scores import suites
from dac.report.table import csv_bytes


def test_scores_hold_mean_deviation_seeds_and_the_data(data: ReportData) -> None:
    table = scores_of(data)
    assert table.header == (
        "Task",
        "Seeds",
        "Dataset",
        "soft",
        "bc_only",
        "DAC (published)",
        "IQL (published)",
    )
    cells = cells_of(table, "hopper-medium-v2")
    assert [cell.text for cell in cells[:5]] == ["hopper-medium-v2", "4", "44.3", "64.2 ± 4.0", "70.2 ± 4.0"]
    assert [cell.bold for cell in cells] == [False] * 4 + [True] + [False] * 2


def test_published_numbers_stand_beside_comparable_tasks_only(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    mixed = scores_of(build())
    assert [cell.text for cell in cells_of(mixed, "hopper-medium-v2")[5:]] == ["101.2", "66.3"]
    assert [cell.text for cell in cells_of(mixed, "own_hopper")[5:]] == ["–", "–"]
    assert "Not comparable with published scores: own_hopper (other data than D4RL's)." in mixed.notes
    alone = scores_of(build([experiment(tasks=("own_hopper",))]))
    assert alone.header == ("Task", "Seeds", "Dataset", "soft", "bc_only")
    text = alone.markdown() + alone.latex() + csv_bytes(alone.frame).decode()
    assert "101.2" not in text
    assert "66.3" not in text
    assert "Not comparable with published scores: own" in text


def test_a_part_of_a_suite_has_an_average_that_says_so(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    two = scores_of(build([experiment(tasks=("hopper-medium-v2", "walker2d-medium-v2"))]))
    name = "Average of these 2 tasks (Locomotion)"
    assert [cell.text for cell in cells_of(two, name)] == [name, "4", "44.3", "64.2", "70.2", "99.0", "72.3"]
    one = scores_of(build([experiment(tasks=("hopper-medium-v2",))]))
    assert [row[0].text for row in one.rows] == ["hopper-medium-v2"]
    mixed = scores_of(build())
    assert [cell.text for cell in cells_of(mixed, name)[3:]] == ["66.2", "72.2", "–", "–"]


def test_only_all_of_a_suite_is_its_average(data: ReportData) -> None:
    nine = [f"{env}-{level}" for env in ("halfcheetah", "hopper", "walker2d") for level in ("m", "m-r", "m-e")]
    levels = {"m": "medium", "m-r": "medium-replay", "m-e": "medium-expert"}
    ids = {task: f"d4rl:{task.split('-', 1)[0]}-{levels[task.split('-', 1)[1]]}-v2" for task in nine}
    object.__setattr__(data, "task_rows", {task: {"dataset": name, "env": "x"} for task, name in ids.items()})
    assert scores._average_name(data, "Locomotion", nine) == "Locomotion average"
    assert scores._average_name(data, "Locomotion", nine[:3]) == "Average of these 3 tasks (Locomotion)"


def test_suites_are_told_apart(data: ReportData) -> None:
    rows = {
        "a": {"dataset": "antmaze-umaze-v0", "env": "AntMaze_UMaze-v5"},
        "p": {"dataset": "D4RL/pen/human-v2", "env": "AdroitHandPen-v1"},
        "o": {"dataset": "open-field", "env": "OpenField-v0"},
        "w": {"dataset": "mine", "env": "Walker2d-v5"},
    }
    object.__setattr__(data, "task_rows", rows)
    assert suites(data, list(rows)) == [("AntMaze", ["a"]), ("Adroit", ["p"]), ("Locomotion", ["w"])]


def test_diverged_runs_are_counted_and_explained(build: Callable[..., ReportData]) -> None:
    table = scores_of(build(diverged=[("own_hopper", "soft", 1), ("own_hopper", "soft", 3)]))
    assert cells_of(table, "own_hopper")[3].text.endswith(" †2")
    assert "†" not in cells_of(table, "hopper-medium-v2")[3].text
    assert any(note.startswith("†2 diverged") for note in table.notes)
    assert table.frame.query("task == 'own_hopper' and method == 'soft'")["diverged"].tolist() == [2]
    assert not any("†" in note for note in scores_of(build()).notes)


def test_equal_means_are_both_bold_and_a_single_variant_is_not(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    tied = scores_of(build([experiment(variants=("soft", "hard"))]))
    assert [cell.bold for cell in cells_of(tied, "hopper-medium-v2")[3:5]] == [True, True]
    single = scores_of(build([experiment(variants=("soft",))]))
    assert not any(cell.bold for row in single.rows for cell in row)
