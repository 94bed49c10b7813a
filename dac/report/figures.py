"""Which figures a report has, and what each draws."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dac.report import bandit
from dac.report.data import Experiment, PageSettings, ReportData
from dac.report.panels import (
    COLUMN_WIDTH,
    TEXT_WIDTH,
    Look,
    band_line,
    columns_of,
    dot,
    fix_ticks,
    grid_of,
    handle,
    label_of,
    legend,
    level,
    looks,
    numbers_of,
    style,
)
from dac.report.published_marks import fit_to_late_steps, paper_place, published_curve
from dac.report.statistics import Summary
from dac.report.symbols import assigned, named_on_axis
from dac.report.table import slug

SCORE, SUCCESS = "Normalised score", "Success rate (%)"
BEST = "best data episode"
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
    """Draw and save the figures of one experiment; returns their paths.

    Each in every format of the settings at the width of a text, and once more as a PDF at the width of a column.
    """
    paths = []
    for kind in figure_kinds(summary.experiment):
        name = figure_name(summary.experiment, kind)
        with style():
            paths += _save(draw(kind, data, summary, TEXT_WIDTH), directory, name, data.settings)
            if "pdf" in data.settings.figure_formats:
                narrow = data.settings.model_copy(update={"figure_formats": ("pdf",)})
                paths += _save(draw(kind, data, summary, COLUMN_WIDTH), directory, f"{name}-column", narrow)
    return paths


def _save(figure: Figure, directory: Path, name: str, settings: PageSettings) -> list[Path]:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it stays as laid out: once, not once more for every format
    paths = [directory / f"{name}.{suffix}" for suffix in settings.figure_formats]
    for path in paths:
        figure.savefig(path, dpi=settings.dpi, metadata=_METADATA.get(path.suffix[1:]))
    return paths


def draw(kind: str, data: ReportData, summary: Summary, width: float = TEXT_WIDTH) -> Figure:
    """One figure of an experiment, `width` inches wide; `kind` is one of `figure_kinds`. Call it inside `style()`."""
    return _DRAW[kind](data, summary, width)


def curves_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Score against gradient steps: mean over seeds with its band; the data's mean and best episode."""
    experiment, points = summary.experiment, summary.curves
    look = looks(data)
    unit, unit_name = _step_unit(float(points["step"].max()))
    grid = grid_of(experiment.tasks, width, f"Gradient steps{unit_name}", score_label)
    for task, axis in grid.axes.items():
        theirs = published_curve(data, axis, summary.experiment.name, task, float(points["step"].max()), unit)
        for variant in experiment.variants:
            line = points[(points["task"] == task) & (points["variant"] == variant)].sort_values("step")
            band_line(axis, line["step"] / unit, line, look[experiment.name, variant], marker=None)
        fit_to_late_steps(axis, points[points["task"] == task], theirs)
        _data_mean(data, axis, task)
        level(axis, data.task_number(task, "data_score_max"), BEST, ":")
        _end_at_success(axis, task)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    legend(grid, [handle(look[experiment.name, v], label_of(experiment, v), None) for v in experiment.variants])
    return grid.figure


def comparison_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Variants side by side: mean ± sample standard deviation, one dot per seed, the data's mean dashed."""
    experiment, scores = summary.experiment, summary.run_scores
    look = looks(data)
    grid = grid_of(experiment.tasks, width, "", score_label, height=0.8)
    names = [textwrap.fill(assigned(experiment.varied, variant), 10) for variant in experiment.variants]
    crowded = sum(max(map(len, name.splitlines())) for name in names) > 48 / columns_of(experiment.tasks, width)
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
        _data_mean(data, axis, task)
        axis.set_xlim(-0.6, len(experiment.variants) - 0.4)
        fix_ticks(axis, range(len(experiment.variants)), names)
        axis.tick_params(axis="x", length=0, rotation=40 if crowded else 0)
    legend(grid, [])
    return grid.figure


def sweep_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Score against the varied setting: mean ± sample standard deviation, a dot per seed; the paper's value marked."""
    experiment, scores = summary.experiment, summary.run_scores
    places, scale = _sweep_axis(experiment.variants)
    drawn = Look(seaborn.color_palette("colorblind")[0], "o", "-")
    setting = experiment.varied or "variant"
    grid = grid_of(experiment.tasks, width, named_on_axis(setting), score_label)
    for task, axis in grid.axes.items():
        order = np.argsort(places, kind="stable")
        line = _sweep_line(data, summary, task).iloc[order]
        band_line(axis, pd.Series(places).iloc[order], line, drawn, marker="o")
        for x, variant in zip(places, experiment.variants, strict=True):
            values = scores.loc[(scores["task"] == task) & (scores["variant"] == variant), "score"]
            axis.scatter([x] * len(values), values, s=6, color=drawn.colour, alpha=0.45, linewidths=0)
        _data_mean(data, axis, task)
        axis.set_xscale(scale)
        fix_ticks(axis, places, experiment.variants)
        place = paper_place(data, experiment, task)
        if place is not None:
            axis.axvline(
                places[place], color="black", linestyle=":", linewidth=0.9, label="the paper's value", zorder=0
            )
    legend(grid, [handle(drawn, "mean over seeds", "o"), dot(drawn, "one seed")])
    return grid.figure


def action_samples_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Score of the kept policies against the number of action samples, on a log2 axis."""
    experiment, points = summary.experiment, summary.action_samples
    look = looks(data)
    counts = sorted(points["action_samples"].unique())
    grid = grid_of(experiment.tasks, width, named_on_axis("action_samples"), score_label)
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


def bandit_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Actions drawn in the bandit of Fig. 2 over the learned Q, a panel per behaviour set."""
    look = looks(data)
    experiment = summary.experiment
    drawn = {variant: look[experiment.name, variant] for variant in experiment.variants}
    return bandit.draw(
        data, experiment, {variant: (item.colour, item.marker) for variant, item in drawn.items()}, width
    )


_DRAW: Mapping[str, Callable[[ReportData, Summary, float], Figure]] = {
    "comparison": comparison_figure,
    "sweep": sweep_figure,
    "action_samples": action_samples_figure,
    "curves": curves_figure,
    "bandit": bandit_figure,
}


def score_label(task: str) -> str:
    """Of the axis of scores: an AntMaze's score is the share of its episodes that reach the goal."""
    return SUCCESS if _is_antmaze(task) else SCORE


def _is_antmaze(task: str) -> bool:
    return task.startswith("antmaze")


def _end_at_success(axis: Axes, task: str) -> None:
    """No rate is above 100 %, whatever a band says."""
    bottom, top = axis.get_ylim()
    if _is_antmaze(task):
        axis.set_ylim(max(bottom, -2), min(top, 102))


def _data_mean(data: ReportData, axis: Axes, task: str) -> None:
    level(axis, data.task_number(task, "data_score_mean"), "data mean", "--")


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
