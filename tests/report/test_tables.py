from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from report_tables import cells_of, scores_of

from dac.report import tables
from dac.report.data import Experiment, ReportData
from dac.report.statistics import summarise
from dac.report.tables import action_samples_table, provenance_frame, robust_table


@pytest.mark.parametrize(
    ("show", "names"),
    [
        (("action_samples",), ["guidance-action-samples"]),
        (("curves",), ["guidance-robust"]),
        (
            ("scores", "action_samples"),
            ["guidance-scores", "guidance-selection", "guidance-action-samples", "guidance-robust"],
        ),
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
    assert table.rows[-1][0].text == "All tasks"
    low, high = (float(bound) for bound in re.findall(r"[\d.]+", cells_of(table, "hopper-medium-v2")[1].text)[1:])
    assert 60.7 <= low < 63.25 < high <= 69.8


def test_action_samples(build: Callable[..., ReportData], experiment: Callable[..., Experiment]) -> None:
    swept = experiment(variants=("2", "10"), varied="ensemble_size", show=("sweep", "action_samples"))
    data = build([swept], diverged=[("own_hopper", "10", 0)])
    samples = action_samples_table(data, summarise(data, swept))
    assert samples.header == ("Task", "Variant", "Seeds", "N_a = 1", "N_a = 4")
    assert [[cell.text for cell in row[:2]] for row in samples.rows] == [
        ["hopper-medium-v2", "H = 2"], ["hopper-medium-v2", "H = 10"],
        ["own_hopper", "H = 2"], ["own_hopper", "H = 10 †1"],
    ]  # fmt: skip
    assert [cell.text for cell in samples.rows[0][3:]] == ["58.2 ± 4.0", "60.2 ± 4.0"]
    assert samples.notes[0].startswith("Mean over kept policies and 2 episodes of each")
    alone = experiment(variants=("soft",), show=("action_samples",))
    data = build([alone], diverged=[("own_hopper", "soft", 0)])
    table = action_samples_table(data, summarise(data, alone))
    assert table.header == ("Task", "Seeds", "N_a = 1", "N_a = 4")
    assert [row[0].text for row in table.rows] == ["hopper-medium-v2", "own_hopper †1"]


def test_a_sweep_is_a_table_of_scores_and_none_stands_twice_on_the_page(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    data = build([experiment(variants=("2", "10"), varied="ensemble_size", show=("sweep",))])
    made = tables.experiment_tables(data, summarise(data, data.experiments[0]))
    assert [(table.name, table.inline) for table in made] == [("guidance-scores", True), ("guidance-robust", False)]


def test_scores_of_every_run_in_one_file(build: Callable[..., ReportData]) -> None:
    data = build(diverged=[("own_hopper", "soft", 1)])
    frame = tables.scores_frame(data, [summarise(data, data.experiments[0])])
    assert len(frame) == 2 * 2 * 4
    (row,) = frame.query("task == 'own_hopper' and variant == 'soft' and seed == 1").to_dict("records")
    # By `conftest.score`: 50 + 4 + 2 * 4 + 1² + step/1000, and 0.25 over the episodes.
    assert (row["suite"], row["score"], row["last"], row["best"]) == ("Locomotion", 65.75, 66.25, 66.25)
    assert (row["status"], row["path"]) == ("diverged", "results/runs/own_hopper/soft-ab12cd34ef56/seed-1")


def test_provenance_lists_a_shared_run_once(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    data = build([experiment(), experiment(name="again", variants=("soft",))], seeds=2)
    frame = provenance_frame(data.runs)
    assert len(frame) == 2 * 2 * 2
    soft = frame[frame["run"].str.startswith("soft")]
    assert set(soft["experiments"]) == {"guidance;again"}
    assert set(frame.loc[~frame.index.isin(soft.index), "experiments"]) == {"guidance"}
