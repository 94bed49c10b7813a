from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dac.report import tables
from dac.report.data import Experiment, ReportData
from dac.report.statistics import summarise
from dac.report.table import Table, Text, csv_bytes
from dac.report.tables import action_samples_table, provenance_frame, robust_table, scores_table, suites, sweep_table


def _cells(table: Table, task: str) -> list[Text]:
    return next(list(row) for row in table.rows if row[0].text == task)


def _scores(data: ReportData) -> Table:
    return scores_table(data, summarise(data, data.experiments[0]))


def test_scores_hold_mean_deviation_seeds_and_the_data(data: ReportData) -> None:
    table = _scores(data)
    assert table.header == (
        "Task",
        "Seeds",
        "Dataset",
        "soft",
        "bc_only",
        "DAC (published)",
        "IQL (published)",
    )
    cells = _cells(table, "hopper-medium-v2")
    assert [cell.text for cell in cells[:5]] == ["hopper-medium-v2", "4", "44.3", "64.2 ± 4.0", "70.2 ± 4.0"]
    assert [cell.bold for cell in cells] == [False] * 4 + [True] + [False] * 2


def test_published_numbers_stand_beside_comparable_tasks_only(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    mixed = _scores(build())
    assert [cell.text for cell in _cells(mixed, "hopper-medium-v2")[5:]] == ["101.2", "66.3"]
    assert [cell.text for cell in _cells(mixed, "own_hopper")[5:]] == ["–", "–"]
    assert "Not comparable with published scores: own_hopper (other data than D4RL's)." in mixed.notes
    alone = _scores(build([experiment(tasks=("own_hopper",))]))
    assert alone.header == ("Task", "Seeds", "Dataset", "soft", "bc_only")
    text = alone.markdown() + alone.latex() + csv_bytes(alone.frame).decode()
    assert "101.2" not in text
    assert "66.3" not in text
    assert "Not comparable with published scores: own" in text


def test_a_part_of_a_suite_has_an_average_that_says_so(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    two = _scores(build([experiment(tasks=("hopper-medium-v2", "walker2d-medium-v2"))]))
    name = "Average of these 2 tasks (Locomotion)"
    assert [cell.text for cell in _cells(two, name)] == [name, "4", "44.3", "64.2", "70.2", "99.0", "72.3"]
    one = _scores(build([experiment(tasks=("hopper-medium-v2",))]))
    assert [row[0].text for row in one.rows] == ["hopper-medium-v2"]
    mixed = _scores(build())
    assert [cell.text for cell in _cells(mixed, name)[3:]] == ["66.2", "72.2", "–", "–"]


def test_only_all_of_a_suite_is_its_average(data: ReportData) -> None:
    nine = [f"{env}-{level}" for env in ("halfcheetah", "hopper", "walker2d") for level in ("m", "m-r", "m-e")]
    levels = {"m": "medium", "m-r": "medium-replay", "m-e": "medium-expert"}
    ids = {task: f"d4rl:{task.split('-', 1)[0]}-{levels[task.split('-', 1)[1]]}-v2" for task in nine}
    object.__setattr__(data, "task_rows", {task: {"dataset": name, "env": "x"} for task, name in ids.items()})
    assert tables._average_name(data, "Locomotion", nine) == "Locomotion average"
    assert tables._average_name(data, "Locomotion", nine[:3]) == "Average of these 3 tasks (Locomotion)"


@pytest.mark.parametrize(
    ("show", "names"),
    [
        (("action_samples",), ["guidance-action-samples"]),
        (("curves",), ["guidance-robust"]),
        (("scores", "action_samples"), ["guidance-scores", "guidance-action-samples", "guidance-robust"]),
    ],
)
def test_the_robust_table_is_of_the_training_and_stands_where_that_is_shown(
    show: tuple[str, ...],
    names: list[str],
    build: Callable[..., ReportData],
    experiment: Callable[..., Experiment],
) -> None:
    data = build([experiment(show=show)])
    assert [table.name for table in tables.experiment_tables(data, summarise(data, data.experiments[0]))] == names


def test_suites_are_told_apart(data: ReportData) -> None:
    rows = {
        "a": {"dataset": "antmaze-umaze-v0", "env": "AntMaze_UMaze-v5"},
        "p": {"dataset": "D4RL/pen/human-v2", "env": "AdroitHandPen-v1"},
        "o": {"dataset": "open-field", "env": "OpenField-v0"},
        "w": {"dataset": "mine", "env": "Walker2d-v5"},
    }
    object.__setattr__(data, "task_rows", rows)
    assert suites(data, list(rows)) == [("AntMaze", ["a"]), ("Adroit", ["p"]), ("Locomotion", ["w"])]


def test_one_seed_shows_a_dash(build: Callable[..., ReportData]) -> None:
    data = build(seeds=1)
    cells = _cells(_scores(data), "hopper-medium-v2")
    assert [cell.text for cell in cells[1:4]] == ["1", "44.3", "60.8 ± –"]
    robust = robust_table(data, summarise(data, data.experiments[0]))
    assert _cells(robust, "hopper-medium-v2")[1].text == "60.8"


def test_diverged_runs_are_counted_and_explained(build: Callable[..., ReportData]) -> None:
    table = _scores(build(diverged=[("own_hopper", "soft", 1), ("own_hopper", "soft", 3)]))
    assert _cells(table, "own_hopper")[3].text.endswith(" †2")
    assert "†" not in _cells(table, "hopper-medium-v2")[3].text
    assert any(note.startswith("†2 diverged") for note in table.notes)
    assert table.frame.query("task == 'own_hopper' and method == 'soft'")["diverged"].tolist() == [2]
    assert not any("†" in note for note in _scores(build()).notes)


def test_equal_means_are_both_bold_and_a_single_variant_is_not(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    tied = _scores(build([experiment(variants=("soft", "hard"))]))
    assert [cell.bold for cell in _cells(tied, "hopper-medium-v2")[3:5]] == [True, True]
    single = _scores(build([experiment(variants=("soft",))]))
    assert not any(cell.bold for row in single.rows for cell in row)


def test_robust_table_ends_with_all_tasks(data: ReportData) -> None:
    summary = summarise(data, data.experiments[0])
    table = robust_table(data, summary)
    # Seeds 60.75, 61.75, 64.75, 69.75: the middle two.
    assert _cells(table, "hopper-medium-v2")[1].text.startswith("63.2 [")
    assert table.rows[-1][0].text == "All tasks"
    low, high = (float(bound) for bound in re.findall(r"[\d.]+", _cells(table, "hopper-medium-v2")[1].text)[1:])
    assert 60.7 <= low < 63.25 < high <= 69.8


def test_action_samples_and_sweep(build: Callable[..., ReportData], experiment: Callable[..., Experiment]) -> None:
    swept = experiment(variants=("2", "10"), varied="ensemble_size", show=("sweep", "action_samples"))
    data = build([swept], diverged=[("own_hopper", "10", 0)])
    summary = summarise(data, swept)
    table = sweep_table(summary)
    assert table.header == ("ensemble_size", "Seeds", "hopper-medium-v2", "own_hopper")
    assert [cell.text for cell in table.rows[1]] == ["10", "4", "60.2 ± 4.0", "64.2 ± 4.0 †1"]
    samples = action_samples_table(summary)
    assert samples.header == ("Task", "Variant", "Seeds", "N_a = 1", "N_a = 4")
    assert [[cell.text for cell in row[:2]] for row in samples.rows] == [
        ["hopper-medium-v2", "2"], ["hopper-medium-v2", "10"], ["own_hopper", "2"], ["own_hopper", "10 †1"],
    ]  # fmt: skip
    assert [cell.text for cell in samples.rows[0][3:]] == ["58.2 ± 4.0", "60.2 ± 4.0"]


def test_provenance_lists_a_shared_run_once(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    data = build([experiment(), experiment(name="again", variants=("soft",))], seeds=2)
    frame = provenance_frame(data.runs)
    assert len(frame) == 2 * 2 * 2
    soft = frame[frame["run"].str.startswith("soft")]
    assert set(soft["experiments"]) == {"guidance;again"}
    assert set(frame.loc[~frame.index.isin(soft.index), "experiments"]) == {"guidance"}
