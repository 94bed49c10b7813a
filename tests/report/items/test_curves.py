"""Learning curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from report_figures import drawn, heights, labels, panels

from dac.report.data import Experiment, ReportData

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]


def test_curves_show_means_and_reference_lines(data: ReportData) -> None:
    found = panels(drawn(data, "curves"))
    assert list(found) == ["hopper-medium-v2", "own_hopper"]
    soft = next(line for line in found["hopper-medium-v2"].lines if line.get_label() != "published")
    # Mean over seeds 0..3 of seed² is 3.5, over two episodes 0.25.
    assert heights(soft) == [61.75, 62.75, 63.75, 64.75]
    # Scores there are 61 to 80, the best episode's 60: a line; the data's mean, 44.3, would squeeze them.
    lines = {str(line.get_label()): line for line in found["own_hopper"].lines}
    assert heights(lines["best data episode"]) == [60.0, 60.0]
    assert [text.get_text() for text in found["own_hopper"].texts] == ["data mean: 44 ↓"]


def test_the_published_curve_is_drawn_for_comparable_tasks_only(build: Build) -> None:
    found = panels(drawn(build(steps=(0, 10_000, 20_000, 30_000)), "curves"))
    assert "published" in labels(found["hopper-medium-v2"])
    assert "published" not in labels(found["own_hopper"])


def test_an_early_spike_does_not_flatten_a_panel(data: ReportData) -> None:
    spiked = data.curves.copy()
    early = (spiked["task"] == "own_hopper") & (spiked["step"] == 0)
    spiked.loc[early, "score"] = 5000.0
    found = panels(drawn(replace(data, curves=spiked), "curves"))
    bottom, top = found["own_hopper"].get_ylim()
    assert bottom < 60 and 65 < top < 2000
    untouched = panels(drawn(data, "curves"))["hopper-medium-v2"].get_ylim()
    assert found["hopper-medium-v2"].get_ylim() == untouched
    # A spike that lasts is shown.
    spiked.loc[(spiked["task"] == "own_hopper") & (spiked["step"] >= 2000), "score"] = 5000.0
    assert panels(drawn(replace(data, curves=spiked), "curves"))["own_hopper"].get_ylim()[1] > 5000


def test_a_best_episode_far_above_does_not_flatten_a_panel(data: ReportData) -> None:
    tasks = data.tasks.copy()
    tasks.loc[tasks["task"] == "own_hopper", "data_score_max"] = 500.0
    axis = panels(drawn(replace(data, tasks=tasks), "curves"))["own_hopper"]
    assert axis.get_ylim()[1] < 100
    assert "best data episode" not in labels(axis)
    assert "best data episode: 500 ↑" in [text.get_text() for text in axis.texts]


def test_an_antmaze_has_a_success_rate_that_ends_at_100(build: Build, experiment: Make) -> None:
    data = build([experiment(tasks=("own_hopper",))])
    frames = {name: getattr(data, name).assign(task="my-maze") for name in ("curves", "evaluations", "runs", "tasks")}
    frames["tasks"]["env"] = "D4RL/AntMaze_UMaze-v2"
    frames["curves"]["score"] = 95 + frames["curves"]["seed"] * 2.0
    data = replace(data, experiments=(experiment(tasks=("my-maze",)),), differences={}, **frames)
    axis = panels(drawn(data, "curves"))["my-maze"]
    assert axis.get_ylabel() == "Success rate (%)"
    assert axis.get_ylim()[1] <= 102


def test_a_published_curve_far_from_ours_stays_in_view(build: Build) -> None:
    data = build(steps=tuple(range(0, 400_000, 10_000)))
    curves = data.curves.assign(score=30 + data.curves["seed"] * 0.1)
    curves.loc[curves["step"] == 0, "score"] = -500.0
    axis = panels(drawn(replace(data, curves=curves), "curves"))["hopper-medium-v2"]
    (line,) = [line for line in axis.lines if line.get_label() == "published"]
    assert axis.get_ylim()[0] > -400
    assert axis.get_ylim()[1] > heights(line)[-1] > 70


def test_scores_that_are_not_finite_are_drawn_as_far_as_they_are(build: Build) -> None:
    data = build(seeds=1)
    data.curves["score"] = np.inf
    assert "own_hopper" in panels(drawn(data, "curves"))
