"""Learning curves: score against gradient steps."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dac.report.data import ReportData
from dac.report.item import Item, Picture
from dac.report.panels import band_line, grid_of, handle, label_of, legend, level, looks
from dac.report.published_marks import fit_to_late_steps, has_published_curve, published_curve
from dac.report.robust import robust_table
from dac.report.score_panels import DASHED, around, data_mean, end_at_success, score_label
from dac.report.statistics import Summary

BEST = "best data episode"


def curves_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Score against gradient steps: mean over seeds with its band; the data's mean and best episode."""
    experiment, points = summary.experiment, summary.curves
    look = looks(data)
    unit, unit_name = _step_unit(float(points["step"].max()))
    grid = grid_of(experiment.tasks, width, f"Gradient steps{unit_name}", score_label(data))
    for task, axis in grid.axes.items():
        theirs = published_curve(data, axis, summary.experiment.name, task, float(points["step"].max()), unit)
        for variant in experiment.variants:
            line = points[(points["task"] == task) & (points["variant"] == variant)].sort_values("step")
            band_line(axis, line["step"] / unit, line, look[experiment.name, variant], marker=None)
        fit_to_late_steps(axis, points[points["task"] == task], theirs)
        data_mean(data, axis, task)
        level(axis, data.task_number(task, "data_score_max"), BEST, ":")
        end_at_success(data, axis, task)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    legend(grid, [handle(look[experiment.name, v], label_of(experiment, v), None) for v in experiment.variants])
    return grid.figure


def _step_unit(last: float) -> tuple[float, str]:
    if last >= 1_000_000:
        return 1e6, " (millions)"
    return (1e3, " (thousands)") if last >= 10_000 else (1.0, "")


def curves_caption(data: ReportData, summary: Summary) -> str:
    """What the figure shows; of the published curves only where one is drawn."""
    quoted = (
        f" Thin black: the published curve of DAC, mean of {data.settings.window} evaluations, with its standard "
        "deviation over seeds."
        if has_published_curve(data, summary.experiment)
        else ""
    )
    return (
        f"Score during training. {around(data)} {DASHED} Dotted: its best episode.{quoted} "
        "Where early values lie far outside, the axis fits the second half of the training."
    )


ITEM = Item(place=40, tables=(robust_table,), picture=Picture(curves_figure, curves_caption))
