"""Where the panels of a figure go: as large as they can be, with room for what stands beside each.

Matplotlib's constrained layout finds the same places, but measures every part of every panel twice, which takes much of
the time of drawing. Here an axis is measured once: heights first, which the ticks of a vertical axis depend on, then
widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

PAD = 3 / 72  # inches around a panel with its labels, around the legend, and at the figure's edge
_GUESS = 0.5  # inches beside a panel, before its labels are measured
_SMALLEST = 0.05  # inches of a panel, however long its labels are


@dataclass(frozen=True)
class _Place:
    """A panel with its row and column."""

    axes: Axes
    row: int
    column: int


def lay_out(figure: Figure) -> None:
    """Give each panel of a figure's grid its place, all of one size, above the legend if there is one."""
    places = [_place(axes) for axes in figure.axes]
    rows = 1 + max(place.row for place in places)
    columns = 1 + max(place.column for place in places)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    _settle(figure.axes)
    floor = sum(legend.get_window_extent(renderer).height / figure.dpi + PAD for legend in figure.legends)
    across = _Margins(figure.get_figwidth(), np.full(columns, _GUESS), np.zeros(columns))
    down = _Margins(figure.get_figheight() - floor, np.zeros(rows), np.full(rows, _GUESS))
    _apply(places, across, down, floor)
    above = _largest(rows, ((place.row, _above(place.axes, renderer)) for place in places))
    under = {
        place: _Extent.of(place.axes.xaxis, renderer, vertical=False) for place in places if _matters(place, columns)
    }
    below = _largest(rows, ((place.row, extent.below) for place, extent in under.items()))
    right = _largest(columns, ((place.column, extent.right) for place, extent in under.items()))
    down = _Margins(figure.get_figheight() - floor, above, below)
    _apply(places, across, down, floor)
    beside = {place: _Extent.of(place.axes.yaxis, renderer, vertical=True) for place in places}
    left = _largest(columns, ((place.column, extent.left) for place, extent in beside.items()))
    _apply(places, _Margins(figure.get_figwidth(), left, right), down, floor)
    for extent in (*under.values(), *beside.values()):
        extent.keep_label()


@dataclass(frozen=True)
class _Margins:
    """Room before and behind each panel of a direction, in inches; what is left of the length is the panels'."""

    length: float
    before: np.ndarray
    behind: np.ndarray

    @property
    def panel(self) -> float:
        count = len(self.before)
        taken = float(self.before.sum() + self.behind.sum()) + 2 * PAD * count
        return max((self.length - taken) / count, _SMALLEST)

    def start(self, index: int) -> float:
        earlier = float(self.before[: index + 1].sum() + self.behind[:index].sum())
        return earlier + index * (self.panel + 2 * PAD) + PAD


def _place(axes: Axes) -> _Place:
    spec = axes.get_subplotspec()
    assert spec is not None  # every panel is of a grid
    return _Place(axes, spec.rowspan.start, spec.colspan.start)


def _matters(place: _Place, columns: int) -> bool:
    """Whether a horizontal axis has to be measured: others have no label, and ticks as high as those of their row."""
    return bool(place.axes.get_xlabel()) or place.column in (0, columns - 1)


def _apply(places: Iterable[_Place], across: _Margins, down: _Margins, floor: float) -> None:
    """Move the panels; rows are counted from the top."""
    height = floor + down.length
    for place in places:
        bottom = height - down.start(place.row) - down.panel
        place.axes.set_position(
            (
                across.start(place.column) / across.length,
                bottom / height,
                across.panel / across.length,
                down.panel / height,
            )
        )
        place.axes.apply_aspect()


def _largest(count: int, found: Iterable[tuple[int, float]]) -> np.ndarray:
    largest = np.zeros(count)
    for index, size in found:
        largest[index] = max(largest[index], size)
    return largest


def _above(axes: Axes, renderer: RendererBase) -> float:
    if not axes.get_title():
        return 0.0
    return float(axes.title.get_window_extent(renderer).y1 - axes.bbox.y1) / axes.figure.dpi


@dataclass(frozen=True)
class _Extent:
    """How far an axis, with its ticks and its label, reaches beyond its panel, in inches; 0 where it does not.

    Attributes:
        label: how far from the panel its label is.
    """

    axis: Axis
    vertical: bool
    left: float
    below: float
    right: float
    label: float

    @classmethod
    def of(cls, axis: Axis, renderer: RendererBase, *, vertical: bool) -> _Extent:
        # A label that is longer than the panel takes no room along it.
        box = axis.get_tightbbox(renderer, for_layout_only=True)
        panel, dpi = axis.axes.bbox, axis.axes.figure.dpi
        if box is None:
            return cls(axis, vertical, 0.0, 0.0, 0.0, 0.0)
        x, y = axis.label.get_position()
        return cls(
            axis,
            vertical,
            max(0.0, panel.x0 - box.x0) / dpi,
            max(0.0, panel.y0 - box.y0) / dpi,
            max(0.0, box.x1 - panel.x1) / dpi,
            (panel.x0 - x if vertical else panel.y0 - y) / dpi,
        )

    def keep_label(self) -> None:
        """Have the label stay where it is: Matplotlib would look for its place at every draw."""
        if not self.axis.get_label_text():
            return
        panel, inches = self.axis.axes.transAxes, self.axis.axes.figure.dpi_scale_trans
        if self.vertical:
            self.axis.set_label_coords(0.0, 0.5, transform=panel + ScaledTranslation(-self.label, 0, inches))
        else:
            self.axis.set_label_coords(0.5, 0.0, transform=panel + ScaledTranslation(0, -self.label, inches))


def _settle(panels: Sequence[Axes]) -> None:
    """Titles and empty labels where they are anyway: Matplotlib would measure all ticks to find that, at every draw."""
    for axes in panels:
        axes.set_title(axes.get_title(), y=1.0)
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0.0, 0.0)
