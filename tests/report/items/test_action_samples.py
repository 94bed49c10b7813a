"""Score against N_a."""

from __future__ import annotations

from collections.abc import Callable

from report_figures import drawn, heights, panels

from dac.report.data import Experiment, ReportData
from dac.report.items.action_samples import action_samples_table
from dac.report.statistics import summarise

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]


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


def test_action_samples_are_on_a_log2_axis(data: ReportData) -> None:
    axis = panels(drawn(data, "action_samples"))["own_hopper"]
    assert axis.get_xscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "4"]
    assert heights(axis.lines[0]) == [68.25, 70.25]
