"""Score against the values of a swept setting."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dac.report.data import ReportData
from dac.report.item import Item, Picture
from dac.report.panels import COLOURS, Look, band_line, dot, fix_ticks, grid_of, handle, legend, numbers_of
from dac.report.published_marks import paper_place
from dac.report.robust import robust_table
from dac.report.score_panels import DASHED, data_mean, score_label
from dac.report.scores import scores_table
from dac.report.selection import selection_table
from dac.report.statistics import Summary
from dac.report.symbols import named, named_on_axis


def sweep_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Score against the varied setting: mean ± sample standard deviation, a dot per seed; the paper's value marked."""
    experiment, scores = summary.experiment, summary.run_scores
    places, scale = _sweep_axis(experiment.variants)
    drawn = Look(COLOURS[0], "o", "-")
    setting = experiment.varied or "variant"
    grid = grid_of(experiment.tasks, width, named_on_axis(setting), score_label(data))
    for task, axis in grid.axes.items():
        order = np.argsort(places, kind="stable")
        line = _sweep_line(data, summary, task).iloc[order]
        band_line(axis, pd.Series(places).iloc[order], line, drawn, marker="o")
        for x, variant in zip(places, experiment.variants, strict=True):
            values = scores.loc[(scores["task"] == task) & (scores["variant"] == variant), "score"]
            axis.scatter([x] * len(values), values, s=6, color=drawn.colour, alpha=0.45, linewidths=0)
        data_mean(data, axis, task)
        axis.set_xscale(scale)
        fix_ticks(axis, places, experiment.variants)
        place = paper_place(data, experiment, task)
        if place is not None:
            axis.axvline(
                places[place], color="black", linestyle=":", linewidth=0.9, label="the paper's value", zorder=0
            )
    legend(grid, [handle(drawn, "mean over seeds", "o"), dot(drawn, "one seed")])
    return grid.figure


def _sweep_line(data: ReportData, summary: Summary, task: str) -> pd.DataFrame:
    """Mean and band at every value, in the order of the variants."""
    cells = [summary.cells[task, variant] for variant in summary.experiment.variants]
    mean = np.array([cell.mean for cell in cells])
    std = np.array([cell.std for cell in cells])
    return pd.DataFrame({"mean": mean, "low": mean - std, "high": mean + std})


def _sweep_axis(variants: Sequence[str]) -> tuple[list[float], str]:
    """Positions and scale of a swept setting: one on which no two neighbours touch, else even spacing."""
    even = [float(place) for place in range(len(variants))]
    values = numbers_of(variants)
    if values is None:
        return even, "linear"
    if _smallest_gap(values) >= 0.08:
        return values, "linear"
    if min(values) > 0 and _smallest_gap([math.log(value) for value in values]) >= 0.08:
        return values, "log"
    return even, "linear"


def _smallest_gap(values: Sequence[float]) -> float:
    """The smallest distance between neighbours, relative to the range; 1 for a single value."""
    ordered = np.sort(np.asarray(values, dtype=float))
    span = ordered[-1] - ordered[0]
    return float(np.diff(ordered).min() / span) if len(ordered) > 1 and span > 0 else 1.0


def sweep_caption(data: ReportData, summary: Summary) -> str:
    """What the figure shows; of the paper's value only where one is marked."""
    experiment = summary.experiment
    places = [paper_place(data, experiment, task) for task in experiment.tasks]
    marked = " Dotted: the paper's value." if any(place is not None for place in places) else ""
    return (
        f"Score against {named(experiment.varied or 'variant')}. Line: mean over seeds; band: one sample "
        f"standard deviation; small dots: seeds. {DASHED}{marked}"
    )


ITEM = Item(
    place=20, tables=(scores_table, selection_table, robust_table), picture=Picture(sweep_figure, sweep_caption)
)
