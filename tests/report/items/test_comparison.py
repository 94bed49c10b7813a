"""Variants side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from report_figures import drawn, panels

from dac.report.data import Experiment, ReportData
from dac.report.panels import COLUMN_WIDTH, TEXT_WIDTH, style

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]


def test_a_data_mean_far_below_is_a_note_beneath_all_points(data: ReportData) -> None:
    tasks = data.tasks.copy()
    tasks.loc[tasks["task"] == "own_hopper", "data_score_mean"] = -200.0
    axis = panels(drawn(replace(data, tasks=tasks), "comparison"))["own_hopper"]
    assert [text.get_text() for text in axis.texts] == ["data mean: -200 ↓"]
    dots = [item for item in axis.collections if type(item).__name__ == "PathCollection"]
    lowest = min(float(np.asarray(item.get_offsets(), dtype=float)[:, 1].min()) for item in dots)
    bottom, top = axis.get_ylim()
    assert bottom > -100
    assert lowest > bottom + 0.1 * (top - bottom)


def test_variants_are_named_on_the_axis(data: ReportData) -> None:
    figure = drawn(data, "comparison")
    for axis in panels(figure).values():
        assert [tick.get_text() for tick in axis.get_xticklabels()] == ["soft", "bc_only"]


def test_comparison_has_a_dot_per_seed(data: ReportData) -> None:
    axis = panels(drawn(data, "comparison"))["hopper-medium-v2"]
    heights = [
        sorted(np.asarray(dots.get_offsets(), dtype=float)[:, 1].tolist())
        for dots in axis.collections
        if type(dots).__name__ == "PathCollection"
    ]
    assert heights == [[60.75, 61.75, 64.75, 69.75], [66.75, 67.75, 70.75, 75.75]]
    bottom, top = axis.get_ylim()
    assert bottom < 60.75
    assert top > 75.75


def test_names_that_would_touch_are_turned(build: Build, experiment: Make) -> None:
    tasks = ("hopper-medium-v2", "walker2d-medium-v2", "own_hopper")
    data = build([experiment(tasks=tasks, variants=("soft", "hard", "denoised"), show=("comparison",))])
    turned = {}
    for width in (COLUMN_WIDTH, TEXT_WIDTH):
        with style():
            figure = drawn(data, "comparison", width)
            figure.draw_without_rendering()
        axis = figure.axes[0]
        ticks = axis.get_xticklabels()
        turned[width] = ticks[0].get_rotation() > 0
        boxes = [tick.get_window_extent() for tick in ticks]
        assert turned[width] or all(left.x1 + 2 < right.x0 for left, right in itertools.pairwise(boxes))
    assert turned == {COLUMN_WIDTH: True, TEXT_WIDTH: False}
