"""The files of numbers beside a page."""

from __future__ import annotations

from collections.abc import Callable

from dac.report.data import Experiment, ReportData
from dac.report.data_files import provenance_frame, scores_frame
from dac.report.statistics import summarise


def test_scores_of_every_run_in_one_file(build: Callable[..., ReportData]) -> None:
    data = build(diverged=[("own_hopper", "soft", 1)])
    frame = scores_frame(data, [summarise(data, data.experiments[0])])
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
