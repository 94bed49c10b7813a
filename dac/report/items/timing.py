"""Milliseconds of gradient steps against a setting, and how they grow (the paper's Table 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from dac.report.cells import letter
from dac.report.data import Experiment, ReportData
from dac.report.item import Item, Picture
from dac.report.panels import COLUMN_WIDTH, DATA_GREY, Grid, Look, fix_ticks, handle, legend, looks
from dac.report.statistics import Summary
from dac.report.symbols import named, named_on_axis, symbol
from dac.report.table import NONE, PUBLISHED, Table, Text, slug
from dac.report.times import MACHINE, MEASURES, PublishedRatio, machine_text, means, published_ratio

# By measure: how it is drawn, and what it is.
_LINES: tuple[tuple[str, Any, str], ...] = (
    ("step_ms", "-", "whole step"),
    ("actor_ms", (0, (4, 1.5)), "actor's update alone"),
)


def step_table(data: ReportData, summary: Summary) -> Table:
    """Whole gradient steps: a row for every value, on every machine that has times of it."""
    return _table(data, summary.experiment, "step_ms", "timing")


def actor_table(data: ReportData, summary: Summary) -> Table:
    """The same of the actor's update alone, which the variants differ in."""
    return _table(data, summary.experiment, "actor_ms", "timing-actor")


def _table(data: ReportData, experiment: Experiment, measure: str, name: str) -> Table:
    frame = means(data, experiment)
    setting, first = symbol(experiment.varied or ""), experiment.variants[0]
    lowest = f"{setting} = {frame['value'].min():g}"
    machines = list(dict.fromkeys(machine_text(row) for _, row in frame.iterrows()))
    tasks, several = len(experiment.tasks) > 1, len(machines) > 1
    ratios = {value: _published(experiment, value) for value in sorted(frame["value"].unique())}
    known = [found for found in ratios.values() if found is not None]
    header = [
        *(["Task"] if tasks else []),
        *(["Machine"] if several else []),
        setting,
        *(title for variant in experiment.variants for title in (f"{variant} (ms)", f"÷ {lowest}")),
        *(f"{variant} ÷ {first}" for variant in experiment.variants[1:]),
        *([f"{known[0].method} ÷ {known[0].over}{PUBLISHED}"] if known else []),
    ]
    rows = []
    for (task, *_, value), cells in frame.groupby(["task", *MACHINE, "value"], sort=False):
        found = {str(row["variant"]): row for _, row in cells.iterrows()}
        theirs = ratios.get(value)
        place = letter(machines.index(machine_text(cells.iloc[0]))) if several else ""
        texts = [
            *([str(task)] if tasks else []),
            *([place] if several else []),
            f"{value:g}",
            *(text for variant in experiment.variants for text in _times(found.get(variant), measure)),
            *(_ratio(found.get(variant), f"{measure}_ratio") for variant in experiment.variants[1:]),
            *([NONE if theirs is None else f"≈ {theirs.ratio:g}"] if known else []),
        ]
        rows.append(tuple(map(Text, texts)))
    return Table(
        name=f"{slug(experiment.name)}-{name}",
        caption=f"{experiment.title}: milliseconds of {MEASURES[measure]}.",
        header=tuple(header),
        rows=tuple(rows),
        frame=frame,
        notes=_notes(frame, machines, known[0].source if known else None),
    )


def _notes(frame: pd.DataFrame, machines: list[str], source: str | None) -> tuple[str, ...]:
    counts = " to ".join(str(count) for count in dict.fromkeys([frame["repeats"].min(), frame["repeats"].max()]))
    marks = [f"{letter(index)}: " if len(machines) > 1 else "" for index in range(len(machines))]
    return (
        f"One run, without evaluations. Mean ± sample standard deviation (ddof = 1) of {counts} means over calls; "
        "on one thread of a CPU of the process's own time. Ratios are of times of one machine.",
        "Timed here: " + "; ".join(f"{mark}{machine}" for mark, machine in zip(marks, machines, strict=True)) + ".",
        "The next actions are sampled by the same chain of every variant: they are in the whole step, and not in the "
        "actor's update.",
        *([f"Published: {source}."] if source else []),
    )


def _times(row: pd.Series | None, measure: str) -> tuple[str, str]:
    """Milliseconds with their deviation, and how often those of the lowest value they are."""
    if row is None:
        return NONE, NONE
    mean, std = float(row[measure]), float(row[f"{measure}_std"])
    digits = max(0, min(3, 2 - math.floor(math.log10(mean))))
    return f"{mean:.{digits}f} ± {std:.{digits}f}", _ratio(row, f"{measure}_growth")


def _ratio(row: pd.Series | None, column: str) -> str:
    return NONE if row is None or not math.isfinite(row[column]) else f"{row[column]:.2f}"


def timing_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Of every task two panels: milliseconds, and how often those of the first variant the others are."""
    experiment, frame, look = summary.experiment, means(data, summary.experiment), looks(data)
    kinds = ["ms", "ratio"] if len(experiment.variants) > 1 else ["ms"]
    columns = len(kinds) if width > COLUMN_WIDTH else 1
    rows = len(experiment.tasks) * len(kinds) // columns
    figure = Figure(figsize=(width, max(0.62 * width / columns, 1.6) * rows + 0.5))
    panels = figure.subplots(rows, columns, squeeze=False).flat
    axes = {(task, kind): next(panels) for task in experiment.tasks for kind in kinds}
    values = sorted(frame["value"].unique())
    for (task, kind), axis in axes.items():
        for variant in experiment.variants[1 if kind == "ratio" else 0 :]:
            rows_of_it = frame[(frame["task"] == task) & (frame["variant"] == variant)]
            _lines(axis, rows_of_it, "" if kind == "ms" else "_ratio", look[experiment.name, variant])
        axis.set_xscale("log")
        fix_ticks(axis, values, [f"{value:g}" for value in values])
        axis.set_xlabel(named_on_axis(experiment.varied or ""))
        axis.set_title(task)
        _finish_ms(axis) if kind == "ms" else _finish_ratio(axis, experiment, values)
    drawn = {name: look[experiment.name, name] for name in experiment.variants}
    handles = [handle(drawn[name], name, drawn[name].marker) for name in drawn]
    handles += [Line2D([], [], color="black", linestyle=dashes, label=label) for _, dashes, label in _LINES]
    legend(Grid(figure, {f"{task} {kind}": axis for (task, kind), axis in axes.items()}), handles)
    return figure


def _lines(axis: Axes, rows: pd.DataFrame, suffix: str, look: Look) -> None:
    """A line for each measure and machine."""
    for _, of_machine in rows.groupby(MACHINE, sort=False):
        for measure, dashes, _ in _LINES:
            axis.plot(
                of_machine["value"],
                of_machine[f"{measure}{suffix}"],
                color=look.colour,
                linestyle=dashes,
                marker=look.marker,
                markersize=4,
            )


def _finish_ms(axis: Axes) -> None:
    axis.set_ylabel("Milliseconds")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")


def _finish_ratio(axis: Axes, experiment: Experiment, values: Sequence[float]) -> None:
    axis.set_ylabel(f"Time ÷ {experiment.variants[0]}'s")
    axis.axhline(1.0, color=DATA_GREY, linewidth=0.9, zorder=1)
    for value in values:
        if found := _published(experiment, value):
            label = f"published, {found.method} ÷ {found.over}"
            axis.plot(value, found.ratio, color="black", marker="*", markersize=7, linestyle="none", label=label)
    axis.set_ylim(bottom=0)


def _published(experiment: Experiment, value: float) -> PublishedRatio | None:
    return published_ratio(value) if experiment.varied == "diffusion_steps" else None


def timing_caption(data: ReportData, summary: Summary) -> str:
    """What the figure shows; of published ratios only where one is known."""
    experiment, frame = summary.experiment, means(data, summary.experiment)
    machines = dict.fromkeys(machine_text(row) for _, row in frame.iterrows())
    text = f"Time of a gradient step against {named(experiment.varied or '')}, on {'; '.join(machines)}."
    if len(experiment.variants) > 1:
        text += f" Beside it, or below: how many times {experiment.variants[0]}'s time the others take."
    known = [found for value in frame["value"].unique() if (found := _published(experiment, float(value)))]
    return f"{text} Star: the paper's ratio of {known[0].method} to {known[0].over}." if known else text


ITEM = Item(place=60, tables=(step_table, actor_table), picture=Picture(timing_figure, timing_caption))
