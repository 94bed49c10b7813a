"""Draws and saves the figures of a page, those of a large one in two processes; and saves its films."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, PriorityQueue
from types import TracebackType

from matplotlib.figure import Figure

from dac.cost import speeds
from dac.report import partial
from dac.report.data import Experiment, PageSettings, ReportData, select
from dac.report.figure_layout import lay_out
from dac.report.items import clips_of, items, pictures_of
from dac.report.panels import COLUMN_WIDTH, TEXT_WIDTH, style
from dac.report.statistics import Summary
from dac.report.table import slug
from dac.system.children import Child, end_with_parent, serve

FILM_FORMAT = "gif"
_METADATA: Mapping[str, Mapping[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}
# As many panels take longer to draw than a second process to start, which takes some seconds of a core.
MANY_PANELS = 60
_END = (1, 0, None)  # behind all drawings that wait


def figure_name(experiment: Experiment, item: str) -> str:
    """File name without suffix."""
    return f"{slug(experiment.name)}-{item.replace('_', '-')}"


@dataclass(frozen=True)
class Drawing:
    """A figure that is to be drawn at one width, in some formats.

    Attributes:
        data: of evaluations and actions, those of the summary's experiment alone; no films.
        name: of its files, without suffix.
    """

    data: ReportData
    summary: Summary
    item: str
    width: float
    name: str
    formats: tuple[str, ...]

    def save(self, directory: Path) -> None:
        """Draw it, and write its files."""
        picture = items()[self.item].picture
        assert picture is not None  # `drawings` takes the items that have one
        with style():
            _save(picture.draw(self.data, self.summary, self.width), self.paths(directory), self.data.settings)
        gc.collect(0)  # all that a figure leaves is young, since nothing else collects

    def paths(self, directory: Path) -> list[Path]:
        return [directory / f"{self.name}.{suffix}" for suffix in self.formats]


def drawings(data: ReportData, summary: Summary) -> Iterator[Drawing]:
    """The figures of an experiment, in the order of the page.

    Each in every format of the settings at the width of a text, and once more as a PDF at the width of a column.
    """
    formats, name = data.settings.figure_formats, summary.experiment.name
    own = replace(
        data,
        curves=select(data.curves, name),
        evaluations=select(data.evaluations, name),
        actions=select(data.actions, name),
        films={},
    )
    for item, picture in pictures_of(summary.experiment).items():
        shown = partial.drawable(data, summary, picture)
        if shown is None:
            continue
        file = figure_name(summary.experiment, item)
        yield Drawing(own, shown, item, TEXT_WIDTH, file, formats)
        if "pdf" in formats:
            yield Drawing(own, shown, item, COLUMN_WIDTH, f"{file}-column", ("pdf",))


def write_films(data: ReportData, experiment: Experiment, directory: Path) -> list[Path]:
    """Save the films of one experiment, as far as there are some; returns their paths."""
    paths = []
    for item, clip in clips_of(experiment).items():
        if (content := clip.content(data, experiment)) is not None:
            paths.append(directory / f"{figure_name(experiment, item)}.{FILM_FORMAT}")
            paths[-1].write_bytes(content)
    return paths


class Studio:
    """Draws the figures of a page, in this process or in this and another one.

    The other starts with this object, so that it is ready when the first figures are known. Each takes the largest
    figure that waits when it has drawn one, so that both end at about the same time; which one draws a figure makes no
    difference to the files.

    Args:
        directory: where figures are written; it exists by the time of `begin`.
        apart: whether to draw in two processes.
    """

    def __init__(self, directory: Path, *, apart: bool) -> None:
        self._directory = directory
        self._waiting: PriorityQueue[tuple[int, int, Drawing | None]] = PriorityQueue()
        self._paths: list[Path] = []
        self._failure: BaseException | None = None
        self._child = Child("figure drawing", _draw_elsewhere, directory) if apart else None
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, page: Path, experiments: Sequence[Experiment]) -> Studio:
        """For a page in a folder."""
        return cls(page / "figures", apart=two_processes_pay(experiments))

    def __enter__(self) -> Studio:
        if self._child is not None:
            self._thread = threading.Thread(target=self._hand_out, args=(self._child,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._next() is not None:
            pass
        self._waiting.put(_END)
        if self._child is not None:
            self._child.close()
        if self._thread is not None:
            self._thread.join()

    def begin(self, wanted: Iterable[Drawing]) -> None:
        """Have the other process, if there is one, draw these, too, while this one does something else."""
        for drawing in wanted:
            size = len(drawing.summary.experiment.tasks) * len(drawing.formats)
            self._waiting.put((-size, len(self._paths), drawing))
            self._paths += drawing.paths(self._directory)

    def finish(self) -> list[Path]:
        """Draw what is still waiting, until all are drawn; returns the files of all, in the order of `begin`.

        Raises:
            UserError: the other process died.
            Exception: what drawing raised, in whichever process.
        """
        _keep()
        try:
            while self._failure is None and (drawing := self._next()) is not None:
                drawing.save(self._directory)
        finally:
            gc.enable()
            gc.unfreeze()
        self._waiting.put(_END)
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._paths

    def _next(self) -> Drawing | None:
        try:
            return self._waiting.get_nowait()[-1]
        except Empty:
            return None

    def _hand_out(self, child: Child) -> None:
        try:
            while (drawing := self._waiting.get()[-1]) is not None:
                child.send(drawing)
                child.receive()
        except BaseException as error:  # noqa: BLE001 - whatever it is, `finish` raises it
            self._failure = error


def two_processes_pay(experiments: Sequence[Experiment]) -> bool:
    """Whether a second process would end a page of experiments sooner: it is large, and a second core free to use."""
    panels = sum(len(experiment.tasks) * len(pictures_of(experiment)) for experiment in experiments)
    return panels >= MANY_PANELS and speeds.cores() > 1


def _keep() -> None:
    """Search for dead cycles, of which each figure leaves many, after a figure alone, and not in what is here now."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _draw_elsewhere(connection: Connection, directory: Path) -> None:
    end_with_parent()
    _keep()
    serve(connection, lambda drawing: drawing.save(directory))


def _save(figure: Figure, paths: Sequence[Path], settings: PageSettings) -> None:
    lay_out(figure)
    for path in paths:
        figure.savefig(path, dpi=settings.dpi, metadata=_METADATA.get(path.suffix[1:]))
