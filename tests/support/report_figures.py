"""What the tests of a report's figures share."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dac.report.data import ReportData
from dac.report.items import items
from dac.report.panels import TEXT_WIDTH
from dac.report.statistics import summarise


def drawn(data: ReportData, item: str, width: float = TEXT_WIDTH) -> Figure:
    """The figure of an item, of the first experiment."""
    picture = items()[item].picture
    assert picture is not None
    return picture.draw(data, summarise(data, data.experiments[0]), width)


def panels(figure: Figure) -> dict[str, Axes]:
    """The panels by their titles."""
    return {axis.get_title().replace("\n", ""): axis for axis in figure.axes if axis.get_visible()}


def heights(line: Line2D) -> list[float]:
    """The values along a line."""
    found: list[float] = np.asarray(line.get_ydata(), dtype=float).tolist()
    return found


def labels(axis: Axes) -> list[str]:
    """The lines of a panel by name."""
    return [str(line.get_label()) for line in axis.lines]
