"""Which figures a report has, and what each draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from dac.report import bandit, published
from dac.report.data import Experiment, ReportData
from dac.report.panels import (
    DATA_GREY,
    Look,
    band_line,
    dot,
    fix_ticks,
    grid_of,
    handle,
    label_of,
    legend,
    looks,
    style,
    words,
)
from dac.report.statistics import Summary
from dac.report.table import slug

SCORE = "Normalised score"
_METADATA: Mapping[str, Mapping[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


def figure_kinds(experiment: Experiment) -> list[str]:
    """The figures an experiment asks for, in the order of the page."""
    return [kind for kind in _DRAW if kind in experiment.show]


def figure_name(experiment: Experiment, kind: str) -> str:
    """File name without suffix."""
    return f"{slug(experiment.name)}-{kind.replace('_', '-')}"


def write_figures(data: ReportData, summary: Summary, directory: Path) -> list[Path]:
    """Draw and save the figures of one experiment in every format of the settings; returns their paths."""
    paths = []
    for kind in figure_kinds(summary.experiment):
        with style():
            figure = draw(kind, data, summary)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # it stays as laid out: once, not once more for every format
            for suffix in data.settings.figure_formats:
                path = directory / f"{figure_name(summary.experiment, kind)}.{suffix}"
                figure.savefig(path, dpi=data.settings.dpi, metadata=_METADATA.get(suffix))
                paths.append(path)
    return paths


def draw(kind: str, data: ReportData, summary: Summary) -> Figure:
    """One figure of an experiment; `kind` is one of `figure_kinds`. Call it inside `style()`."""
    return _DRAW[kind](data, summary)


def curves_figure(data: ReportData, summary: Summary) -> Figure:
    """Score against gradient steps: mean over seeds with its band; the data's mean and best episode."""
    experiment, points = summary.experiment, summary.curves
    look = looks(data.experiments)
    unit, unit_name = _step_unit(float(points["step"].max()))
    grid = grid_of(experiment.tasks, f"Gradient steps{unit_name}", SCORE)
    for task, axis in grid.axes.items():
        for variant in experiment.variants:
            line = points[(points["task"] == task) & (points["variant"] == variant)].sort_values("step")
            band_line(axis, line["step"] / unit, line, look[experiment.name, variant], marker=None)
        _published_curve(data, axis, summary.experiment.name, task, float(points["step"].max()), unit)
        _data_mean(data, axis, task)
        levels = [data.task_number(task, "data_score_mean"), _best_episode(data, axis, task)]
        _fit_to_late_steps(axis, points[points["task"] == task], levels)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    legend(grid, [handle(look[experiment.name, v], label_of(experiment, v), None) for v in experiment.variants])
    return grid.figure


def comparison_figure(data: ReportData, summary: Summary) -> Figure:
    """Variants side by side: mean ± sample standard deviation, one dot per seed, the data's mean dashed."""
    experiment, scores = summary.experiment, summary.run_scores
    look = looks(data.experiments)
    grid = grid_of(experiment.tasks, "", SCORE, compact=True)
    for task, axis in grid.axes.items():
        for place, variant in enumerate(experiment.variants):
            cell = summary.cells[task, variant]
            values = scores.loc[(scores["task"] == task) & (scores["variant"] == variant), "score"].to_numpy()
            drawn = look[experiment.name, variant]
            spread = cell.std if math.isfinite(cell.std) else 0.0
            axis.errorbar(
                place - 0.12, cell.mean, spread, fmt=drawn.marker, color=drawn.colour, markersize=7, capsize=3
            )
            axis.scatter(_beside(place, len(values)), values, s=11, color=drawn.colour, alpha=0.55, linewidths=0)
        _data_mean(data, axis, task)
        axis.set_xlim(-0.6, len(experiment.variants) - 0.4)
        axis.xaxis.set_major_locator(NullLocator())
    legend(
        grid,
        [
            Line2D(
                [],
                [],
                color=d.colour,
                marker=d.marker,
                linestyle="none",
                markersize=7,
                label=label_of(experiment, v),
            )
            for v in experiment.variants
            for d in (look[experiment.name, v],)
        ],
    )
    return grid.figure


def sweep_figure(data: ReportData, summary: Summary) -> Figure:
    """Score against the varied setting: mean ± sample standard deviation, one dot per seed."""
    experiment, scores = summary.experiment, summary.run_scores
    places, scale = _sweep_axis(experiment.variants)
    drawn = Look(seaborn.color_palette("colorblind")[0], "o", "-")
    grid = grid_of(experiment.tasks, words(experiment.varied or "variant"), SCORE)
    for task, axis in grid.axes.items():
        line = _sweep_line(data, summary, task)
        band_line(axis, pd.Series(places), line, drawn, marker="o")
        for place, variant in zip(places, experiment.variants, strict=True):
            values = scores.loc[(scores["task"] == task) & (scores["variant"] == variant), "score"]
            axis.scatter([place] * len(values), values, s=9, color=drawn.colour, alpha=0.45, linewidths=0)
        _data_mean(data, axis, task)
        axis.set_xscale(scale)
        fix_ticks(axis, places, experiment.variants)
    legend(grid, [handle(drawn, "mean over seeds", "o"), dot(drawn, "one seed")])
    return grid.figure


def action_samples_figure(data: ReportData, summary: Summary) -> Figure:
    """Score of the kept policies against the number of action samples, on a log2 axis."""
    experiment, points = summary.experiment, summary.action_samples
    look = looks(data.experiments)
    counts = sorted(points["action_samples"].unique())
    grid = grid_of(experiment.tasks, "Action samples $N_a$", SCORE)
    for task, axis in grid.axes.items():
        for variant in experiment.variants:
            line = points[(points["task"] == task) & (points["variant"] == variant)].sort_values("action_samples")
            drawn = look[experiment.name, variant]
            band_line(axis, line["action_samples"], line, drawn, marker=drawn.marker)
        _data_mean(data, axis, task)
        axis.set_xscale("log", base=2)
        fix_ticks(axis, counts, [f"{count:g}" for count in counts])
    drawn_variants = [(look[experiment.name, v], label_of(experiment, v)) for v in experiment.variants]
    legend(grid, [handle(drawn, name, drawn.marker) for drawn, name in drawn_variants])
    return grid.figure


def bandit_figure(data: ReportData, summary: Summary) -> Figure:
    """Actions drawn in the bandit of Fig. 2 over the learned Q, a panel per behaviour set."""
    look = looks(data.experiments)
    experiment = summary.experiment
    drawn = {variant: look[experiment.name, variant] for variant in experiment.variants}
    return bandit.draw(data, experiment, {variant: (item.colour, item.marker) for variant, item in drawn.items()})


_DRAW: Mapping[str, Callable[[ReportData, Summary], Figure]] = {
    "comparison": comparison_figure,
    "sweep": sweep_figure,
    "action_samples": action_samples_figure,
    "curves": curves_figure,
    "bandit": bandit_figure,
}


def _data_mean(data: ReportData, axis: Axes, task: str) -> None:
    mean = data.task_number(task, "data_score_mean")
    if math.isfinite(mean):
        axis.axhline(mean, color=DATA_GREY, linestyle="--", linewidth=1, label="data mean", zorder=1)
    # A line inside the margin of the view so far does not widen it, and would lie on the frame.
    axis.autoscale(axis="y")


def _best_episode(data: ReportData, axis: Axes, task: str) -> float:
    """Mark the data's best episode; returns its score where it has a line, else NaN.

    Where the line would more than double the axis, and flatten the curves, it is a note in the panel's corner.
    """
    score, (bottom, top) = data.task_number(task, "data_score_max"), axis.get_ylim()
    if score > 2 * top - bottom:
        note = f"best data episode: {score:.0f} ↑"
        axis.annotate(note, (0.02, 0.98), xycoords="axes fraction", va="top", color=DATA_GREY, fontsize="small")
        return math.nan
    if math.isfinite(score):
        axis.axhline(score, color=DATA_GREY, linestyle=":", linewidth=1, label="best data episode", zorder=1)
        axis.autoscale(axis="y")
    return score


def _fit_to_late_steps(axis: Axes, points: pd.DataFrame, levels: Sequence[float]) -> None:
    """Fit the axis to the second half of the training where earlier values would more than double its range.

    Args:
        points: what the panel shows. levels: of its horizontal lines, NaN where there is none.
    """
    late = points.loc[points["step"] >= points["step"].max() / 2, ["mean", "low", "high"]].to_numpy()
    values = np.concatenate([late.ravel(), levels])
    values = values[np.isfinite(values)]
    span, (bottom, top) = np.ptp(values), axis.get_ylim()
    if top - bottom > 2.2 * span > 0:
        axis.set_ylim(max(bottom, values.min() - 0.08 * span), min(top, values.max() + 0.08 * span))


def _published_curve(data: ReportData, axis: Axes, experiment: str, task: str, last_step: float, unit: float) -> None:
    identity = data.published_id(experiment, task)
    line = published.curve(identity) if identity else pd.DataFrame()
    if not line.empty:
        line = line[line["step"] <= last_step]
        x, y = line["step"] / unit, line["mean"]
        axis.plot(x, y, color="black", linestyle="--", linewidth=0.8, alpha=0.8, label="published", zorder=3)


def _beside(place: int, count: int) -> np.ndarray:
    """Where the dots of the seeds go: right of the mean, spread so that equal scores stay apart."""
    return place + 0.14 + (np.linspace(-0.06, 0.14, count) if count > 1 else np.zeros(count))


def _step_unit(last: float) -> tuple[float, str]:
    if last >= 1_000_000:
        return 1e6, " (millions)"
    return (1e3, " (thousands)") if last >= 10_000 else (1.0, "")


def _sweep_line(data: ReportData, summary: Summary, task: str) -> pd.DataFrame:
    """Mean and band at every value, in the order of the variants."""
    cells = [summary.cells[task, variant] for variant in summary.experiment.variants]
    mean = np.array([cell.mean for cell in cells])
    std = np.array([cell.std for cell in cells])
    return pd.DataFrame({"mean": mean, "low": mean - std, "high": mean + std})


def _sweep_axis(variants: Sequence[str]) -> tuple[list[float], str]:
    """Positions and scale of a swept setting: one on which no two neighbours touch, else even spacing."""
    even = [float(place) for place in range(len(variants))]
    try:
        values = [float(variant) for variant in variants]
    except ValueError:
        return even, "linear"
    if not all(math.isfinite(value) for value in values):
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
