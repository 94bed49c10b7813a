"""How figures look: a panel per task, in colours that colour-blind readers can tell apart, one legend."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, NullLocator

from dac.report.data import Experiment, ReportData
from dac.report.symbols import assigned

# Inches, at which the fonts below have their size in print: a text's width of two columns, and one of these.
TEXT_WIDTH, COLUMN_WIDTH = 6.75, 3.25
LEGEND_ROW = 0.17  # inches
DATA_GREY = "0.45"
_NOTE_SIZE, _NOTE_ROW, _NOTE_GAP = 6.5, 8.0, 1.5  # points; the gap is to the edge of the panel, which stays whole
# Of a font of so few characters, without tables of what other scripts need, a PDF embeds its part in a tenth of the
# time; what it lacks is taken from the whole one. tests/support/figure_font.py makes it.
FONT = Path(__file__).parent / "vendor/DejaVuSans-figures.ttf"
SMALL_FONT, FULL_FONT = "DejaVu Sans of figures", "DejaVu Sans"
_STYLE = {
    "font.family": [SMALL_FONT, FULL_FONT],
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 8, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "0.9", "grid.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.2,
    "legend.frameon": False,
    "pdf.fonttype": 42, "svg.hashsalt": "dac", "path.simplify": True,
}  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*")
# As many as colours, so that no two methods that a printer makes grey have the same line.
_DASHES: tuple[Any, ...] = (
    "-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)), (0, (9, 2)), (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)),
    (0, (9, 2, 3, 2)), (0, (3, 3)),
)  # fmt: skip
# seaborn's "colorblind" palette; to load it takes half a second and 60 MB, with SciPy, in each process that draws.
COLOURS = tuple(
    to_rgb(colour)
    for colour in (
        "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9",
    )
)  # fmt: skip
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


def looks(data: ReportData) -> dict[tuple[str, str], Look]:
    """(experiment, variant) → look. A method has one look in the whole study, under whatever name.

    Variants are one method if they have a name or a run in common: DAC of the main table is the soft guidance of its
    ablation. The numbers of a swept setting are ordered, so they take the steps of a sequential map instead.
    """
    methods = _methods(data)
    free: dict[int, int] = {}
    result = {}
    for experiment in data.experiments:
        steps = sequential(len(experiment.variants))
        taken: set[int] = set()
        for i, variant in enumerate(experiment.variants):
            if is_numeric(experiment):
                result[experiment.name, variant] = Look(steps[i], _MARKERS[i % len(_MARKERS)], "-")
                continue
            method = methods[experiment.name, variant]
            # Two variants of one experiment with the same runs are still to be told apart.
            index = free.setdefault(method if method not in taken else -1 - len(free), len(free))
            taken.add(method)
            result[experiment.name, variant] = _free_look(index)
    return result


def is_numeric(experiment: Experiment) -> bool:
    """Whether the variants are numbers of a swept setting."""
    return experiment.varied is not None and numbers_of(experiment.variants) is not None


def numbers_of(variants: Sequence[str]) -> list[float] | None:
    """The finite numbers that variants are named by; None where one is not."""
    try:
        values = [float(variant) for variant in variants]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def sequential(count: int) -> list[tuple[float, float, float]]:
    """Colours of a map, equally far from each other, without its faint end."""
    places = np.linspace(0, 1, count + 3)[2:-1]
    return [to_rgb(colour) for colour in matplotlib.colormaps["viridis_r"](places)]


def _free_look(index: int) -> Look:
    return Look(
        COLOURS[_COLOUR_ORDER[index % len(_COLOUR_ORDER)]],
        _MARKERS[index % len(_MARKERS)],
        _DASHES[index % len(_DASHES)],
    )


def _methods(data: ReportData) -> dict[tuple[str, str], int]:
    """(experiment, variant) → number of its method."""
    found: list[tuple[set[tuple[str, str]], set[object]]] = []
    of: dict[tuple[str, str], set[object]] = {}
    columns = (data.runs[name].tolist() for name in ("experiment", "variant", "task", "run"))
    for name, variant, *run in zip(*columns, strict=True):
        of.setdefault((name, variant), set()).add(tuple(run))
    for experiment in data.experiments:
        for variant in experiment.variants if not is_numeric(experiment) else ():
            names = {(experiment.name, variant)}
            marks: set[object] = {variant, *of.get((experiment.name, variant), ())}
            for group in [group for group in found if group[1] & marks]:
                found.remove(group)
                names, marks = names | group[0], marks | group[1]
            found.append((names, marks))
    order = [(e.name, v) for e in data.experiments for v in e.variants]
    found.sort(key=lambda group: min(order.index(name) for name in group[0]))
    return {name: number for number, (names, _) in enumerate(found) for name in names}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults and this report's style, whatever the user's own configuration says."""
    _add_font()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


@cache
def _add_font() -> None:
    font_manager.fontManager.addfont(FONT)


def grid_of(
    tasks: Sequence[str], width: float, xlabel: str, ylabel: Callable[[str], str], height: float = 0.74
) -> Grid:
    """A figure with an axis per task, see `arranged`.

    Args:
        width: of the figure, in inches.
        ylabel: of the first panel of a row, by its task.
        height: of a panel, as a share of its width.
    """
    columns = columns_of(tasks, width)
    rows = arranged(tasks, columns, ylabel)
    width = min(width, 4.0) if len(tasks) == 1 else width
    panel = width / columns
    # Titles and ticks take as much of a small panel as of a large one.
    figure = Figure(figsize=(width, max(panel * height, 1.4) * len(rows) + 0.45))
    places = figure.add_gridspec(len(rows), columns)
    axes: dict[str, Axes] = {}
    lowest: dict[int, str] = {}
    for row, names in enumerate(rows):
        for column, task in enumerate(names):
            axes[task] = figure.add_subplot(places[row, column])
            axes[task].set_title(textwrap.fill(task, int(panel * 14)))
            lowest[column] = task
        axes[names[0]].set_ylabel(ylabel(names[0]))
    for task in lowest.values():
        axes[task].set_xlabel(textwrap.fill(xlabel, int(panel * 14)))
    return Grid(figure, axes)


def columns_of(tasks: Sequence[str], width: float) -> int:
    """Panels side by side in a figure of a width in inches."""
    return min(len(tasks), 3 if width > COLUMN_WIDTH else 2)


def arranged(tasks: Sequence[str], columns: int, ylabel: Callable[[str], str]) -> list[list[str]]:
    """Rows of at most `columns` tasks, each of one label.

    A family begins a row, where each has tasks to compare and none would leave a part of its last row blank; see
    `_family_rows`.
    """
    families = [list(names) for _, names in itertools.groupby(tasks, lambda task: task.partition("-")[0])]
    if len(families) > 1 and min(map(len, families)) < 2:
        families = [list(tasks)]
    if any(len(names) > columns and len(names) % columns for names in families):
        families = [list(names) for _, names in itertools.groupby(tasks, ylabel)]
    return [row for names in families for row in _family_rows(names, columns)]


def _family_rows(names: list[str], columns: int) -> list[list[str]]:
    """Rows of one family. Kinds such as AntMaze's sizes are its columns where there are as many."""
    kinds = [list(kind) for _, kind in itertools.groupby(names, lambda task: "-".join(task.split("-")[:2]))]
    if len(kinds) == columns and len(set(map(len, kinds))) == 1:
        return [list(row) for row in zip(*kinds, strict=True)]
    return [names[start : start + columns] for start in range(0, len(names), columns)]


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
    widest = max((len(line) for handle in handles for line in str(handle.get_label()).splitlines()), default=1)
    if handles:
        columns = min(max(1, int(grid.figure.get_figwidth() / (0.06 * widest + 0.5))), len(handles))
        grid.figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        # `grid_of` has room for one row.
        rows = math.ceil(len(handles) / columns)
        grid.figure.set_figheight(grid.figure.get_figheight() + LEGEND_ROW * (rows - 1))


def level(axis: Axes, value: float, label: str, dashes: str) -> None:
    """Mark a number of the data by a grey line across a panel that shows all else already.

    Where the line would widen the axis by half and squeeze what is compared, it is a note in the panel's corner.
    """
    if not math.isfinite(value):
        return
    bottom, top = axis.get_ylim()
    span = top - bottom
    if bottom - span / 2 <= value <= top + span / 2:
        axis.axhline(value, color=DATA_GREY, linestyle=dashes, linewidth=0.9, label=label, zorder=1)
        axis.set_ylim(min(bottom, value - 0.05 * span), max(top, value + 0.05 * span))
        return
    _note(axis, f"{label}: {value:.0f}", above=value > top)


def _note(axis: Axes, text: str, *, above: bool) -> None:
    """A number far outside in the panel's corner, further in than those that are there, beyond all that is drawn."""
    edge, inwards = (1.0, -1) if above else (0.0, 1)
    rows = sum(note.xy[1] == edge for note in axis.texts if isinstance(note, Annotation))
    axis.annotate(
        f"{text} {'↑' if above else '↓'}",
        (0.98, edge),
        xytext=(0, inwards * (_NOTE_GAP + rows * _NOTE_ROW)),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="top" if above else "bottom",
        color=DATA_GREY,
        fontsize=_NOTE_SIZE,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # no line of the panel crosses the words
    )
    bottom, top = axis.get_ylim()
    room = 0.12 * (top - bottom)
    axis.set_ylim(bottom - (0 if above else room), top + (room if above else 0))


def handle(drawn: Look, label: str, marker: str | None) -> Line2D:
    """A line of the legend: how a variant is drawn."""
    return Line2D([], [], color=drawn.colour, linestyle=drawn.dashes, marker=marker, markersize=5, label=label)


def dot(drawn: Look, label: str) -> Line2D:
    """A small dot of the legend, such as a seed."""
    return Line2D([], [], color=drawn.colour, marker="o", linestyle="none", markersize=3, alpha=0.45, label=label)


def label_of(experiment: Experiment, variant: str) -> str:
    """A variant as the legend names it; the value of a swept setting with its name."""
    return textwrap.fill(assigned(experiment.varied, variant), 48)


def fix_ticks(axis: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    """Ticks at these places alone, with these labels."""
    axis.xaxis.set_major_locator(FixedLocator(list(places)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(list(places), labels)
