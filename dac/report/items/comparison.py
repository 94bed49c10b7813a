"""Variants side by side."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

from dac.report.data import ReportData
from dac.report.item import Item, Picture
from dac.report.panels import columns_of, fix_ticks, grid_of, legend, looks
from dac.report.robust import robust_table
from dac.report.score_panels import DASHED, data_mean, score_label
from dac.report.statistics import Summary
from dac.report.symbols import assigned


def comparison_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Variants side by side: mean ± sample standard deviation, one dot per seed, the data's mean dashed."""
    experiment, scores = summary.experiment, summary.run_scores
    look = looks(data)
    grid = grid_of(experiment.tasks, width, "", score_label(data), height=0.8)
    names = [textwrap.fill(assigned(experiment.varied, variant), 10) for variant in experiment.variants]
    longest = max(len(line) for name in names for line in name.splitlines())
    # Inches: a character of a tick's name, and what stands beside the axis of a panel.
    crowded = longest * len(names) * 0.055 > width / columns_of(experiment.tasks, width) - 0.45
    for task, axis in grid.axes.items():
        for place, variant in enumerate(experiment.variants):
            cell = summary.cells[task, variant]
            values = scores.loc[(scores["task"] == task) & (scores["variant"] == variant), "score"].to_numpy()
            drawn = look[experiment.name, variant]
            spread = cell.std if math.isfinite(cell.std) else 0.0
            axis.errorbar(
                place - 0.12, cell.mean, spread, fmt=drawn.marker, color=drawn.colour, markersize=5, capsize=2
            )
            axis.scatter(_beside(place, len(values)), values, s=7, color=drawn.colour, alpha=0.55, linewidths=0)
        data_mean(data, axis, task)
        axis.set_xlim(-0.6, len(experiment.variants) - 0.4)
        fix_ticks(axis, range(len(experiment.variants)), names)
        axis.tick_params(axis="x", length=0, rotation=40 if crowded else 0)
    legend(grid, [])
    return grid.figure


def _beside(place: int, count: int) -> np.ndarray:
    """Where the dots of the seeds go: right of the mean, spread so that equal scores stay apart."""
    return place + 0.14 + (np.linspace(-0.06, 0.14, count) if count > 1 else np.zeros(count))


def comparison_caption(data: ReportData, summary: Summary) -> str:
    """What the figure shows."""
    return f"Score of the variants: mean ± sample standard deviation, small dots: seeds. {DASHED}"


ITEM = Item(place=10, tables=(robust_table,), picture=Picture(comparison_figure, comparison_caption))
