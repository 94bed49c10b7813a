"""How figures look: a panel per task, in colours that colour-blind readers can tell apart, one legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from dac.report.data import Experiment

PAGE_WIDTH = 10.0
DATA_GREY = "0.45"
_STYLE = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 9, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "0.9", "grid.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.4,
    "legend.frameon": False,
    "pdf.fonttype": 42, "svg.hashsalt": "dac", "path.simplify": True,
}  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)))
# The eighth colour of the palette is the grey that stands for the data; yellow is last, being faint on white.
_COLOUR_ORDER = (0, 1, 2, 3, 4, 9, 5, 6, 8)


@dataclass(frozen=True)
class Look:
    """How one variant is drawn, in every figure of the study."""

    colour: tuple[float, float, float]
    marker: str
    dashes: Any


@dataclass(frozen=True)
class Grid:
    """A figure with one axis per task."""

    figure: Figure
    axes: Mapping[str, Axes]


def looks(experiments: Sequence[Experiment]) -> dict[tuple[str, str], Look]:
    """(experiment, variant) → look. A variant's name has one look in the whole study.

    The values of a swept setting are ordered, so they take the steps of a sequential map instead.
    """
    palette = seaborn.color_palette("colorblind")
    names = dict.fromkeys(v for e in experiments if e.varied is None for v in e.variants)
    free = {
        name: Look(
            palette[_COLOUR_ORDER[i % len(_COLOUR_ORDER)]],
            _MARKERS[i % len(_MARKERS)],
            _DASHES[(i // len(_COLOUR_ORDER)) % len(_DASHES)],
        )
        for i, name in enumerate(names)
    }
    result = {}
    for experiment in experiments:
        steps = seaborn.color_palette("viridis_r", n_colors=len(experiment.variants) + 1)[1:]
        for i, variant in enumerate(experiment.variants):
            swept = Look(steps[i], _MARKERS[i % len(_MARKERS)], "-")
            result[experiment.name, variant] = free[variant] if experiment.varied is None else swept
    return result


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults and this report's style, whatever the user's own configuration says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def grid_of(tasks: Sequence[str], xlabel: str, ylabel: str, compact: bool = False) -> Grid:
    """A figure with an axis per task, rows filled one after the other; `compact` panels are a little lower."""
    count = len(tasks)
    columns = _columns(count)
    rows = math.ceil(count / columns)
    width = min(PAGE_WIDTH / columns, 4.5) if count > 1 else 5.5
    height = width * (0.62 if count < 3 else 0.68 if compact else 0.72)
    figure = Figure(figsize=(width * columns, height * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    used = dict(zip(tasks, axes.flat, strict=False))
    for task, axis in used.items():
        axis.set_title(textwrap.fill(task, int(width * 12)))
    for place, axis in enumerate(axes.flat):
        if place >= count:
            axis.set_visible(False)
        elif place + columns >= count:
            axis.set_xlabel(xlabel)
        if place % columns == 0:
            axis.set_ylabel(ylabel)
    return Grid(figure, used)


def _columns(count: int) -> int:
    return count if count <= 3 else 2 if count == 4 else 3 if count <= 9 else 4 if count <= 16 else 5


def band_line(axis: Axes, x: pd.Series, line: pd.DataFrame, drawn: Look, marker: str | None) -> None:
    """A line of means (`mean`) with its band (`low` to `high`), where there is one."""
    axis.plot(
        x.to_numpy(),
        line["mean"].to_numpy(),
        color=drawn.colour,
        linestyle=drawn.dashes,
        marker=marker,
        markersize=5,
    )
    if line["low"].notna().any():
        low, high = line["low"].to_numpy(), line["high"].to_numpy()
        axis.fill_between(x.to_numpy(), low, high, color=drawn.colour, alpha=0.16, linewidth=0)


def legend(grid: Grid, handles: list[Any]) -> None:
    """One legend below all panels: the variants, then the reference lines that some panel shows."""
    for axis in grid.axes.values():
        shown = {handle.get_label() for handle in handles}
        new, labels = axis.get_legend_handles_labels()
        handles = handles + [h for h, label in zip(new, labels, strict=True) if label not in shown]
    widest = max(len(line) for handle in handles for line in str(handle.get_label()).splitlines())
    columns = max(1, int(grid.figure.get_figwidth() / (0.085 * widest + 0.6)))
    grid.figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def handle(drawn: Look, label: str, marker: str | None) -> Line2D:
    """A line of the legend: how a variant is drawn."""
    return Line2D([], [], color=drawn.colour, linestyle=drawn.dashes, marker=marker, markersize=5, label=label)


def dot(drawn: Look, label: str) -> Line2D:
    """A small dot of the legend, such as a seed."""
    return Line2D([], [], color=drawn.colour, marker="o", linestyle="none", markersize=3, alpha=0.45, label=label)


def label_of(experiment: Experiment, variant: str) -> str:
    """A variant as the legend names it; the value of a swept setting with its name."""
    name = variant if experiment.varied is None else f"{words(experiment.varied)} = {variant}"
    return textwrap.fill(name, 48)


def words(setting: str) -> str:
    """A setting in words."""
    return setting.replace("_", " ")


def fix_ticks(axis: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    """Ticks at these places alone, with these labels."""
    axis.xaxis.set_major_locator(FixedLocator(list(places)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(list(places), labels)
