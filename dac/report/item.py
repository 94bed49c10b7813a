"""What a name in `show` of an experiment puts on a page, as a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from dac.report.data import Experiment, ReportData
from dac.report.statistics import Summary
from dac.report.table import Table

MakeTable = Callable[[ReportData, Summary], Table | None]


@dataclass(frozen=True)
class Picture:
    """A figure of an experiment.

    Attributes:
        draw: the figure, so many inches wide; called inside `panels.style()`. Of evaluations and
            actions, the data may have those of its experiment alone.
        caption: what it shows, in sentences; the experiment's title stands in front.
        over_tasks: whether it sets variants beside each other over several tasks: on a partial page it has those tasks
            alone of which every variant has a run. Any other has all that have some run, and draws what is there.
    """

    draw: Callable[[ReportData, Summary, float], Figure]
    caption: Callable[[ReportData, Summary], str]
    over_tasks: bool = False


@dataclass(frozen=True)
class Clip:
    """A film of an experiment, an animated GIF.

    Attributes:
        content: the file's, if there is a film.
        caption: what it shows, or why there is none, in sentences; the experiment's title stands in front.
    """

    content: Callable[[ReportData, Experiment], bytes | None]
    caption: Callable[[ReportData, Experiment], str]


@dataclass(frozen=True)
class Item:
    """What stands on the page of an experiment that shows it.

    Attributes:
        place: its place among the items of an experiment; the lowest is first.
        tables: the functions that make its tables, or None where there is nothing to show. One that several items of
            an experiment name makes one table.
        picture: its figure, if it has one.
        clip: its film, if it has one.
    """

    place: int
    tables: tuple[MakeTable, ...] = ()
    picture: Picture | None = None
    clip: Clip | None = None
