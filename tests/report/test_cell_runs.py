"""Where the number in a cell comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dac.report.cell_runs import HEADER, cell_runs
from dac.report.data import Experiment, ReportData
from dac.report.statistics import summarise

Build = Callable[..., ReportData]


def test_a_cell_names_its_runs_settings_data_and_commands(build: Build, experiment: Callable[..., Experiment]) -> None:
    swept = experiment(variants=("2", "10"), varied="ensemble_size")
    data = build([swept], diverged=[("own_hopper", "2", 3)])
    settings = {**data.made_with["guidance", "own_hopper", "2"], "ensemble_size": 2, "precision": "tf32"}
    data = replace(data, made_with={**data.made_with, ("guidance", "own_hopper", "2"): settings})
    cell = cell_runs(data, [summarise(data, swept)])["guidance", "own_hopper", "2"]
    assert cell["title"] == "Guidance type: own_hopper, H = 2"
    assert dict(cell["facts"]) == {
        "Settings that differ from the defaults": "H = 2, precision = tf32",
        "Dataset": "own_hopper",
        "sha256 of the data": "c" * 64,
        "Environment": "Hopper-v4",
        "Runs": "results/runs/own_hopper/2-ab12cd34ef56",
        "Logs, where they were trained": "logs/train/own_hopper/2-ab12cd34ef56",
    }
    assert [row[:3] for row in cell["runs"]] == [
        ["0", "58.8", "complete"], ["1", "59.8", "complete"], ["2", "62.8", "complete"], ["3", "67.8", "diverged"],
    ]  # fmt: skip
    assert dict(zip(HEADER, cell["runs"][0], strict=True))["Machine"] == "box"
    assert cell["commands"] == ["rm -r results/runs/own_hopper/2-ab12cd34ef56", "snakemake demo --cores all"]
