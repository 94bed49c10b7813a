"""Draws and saves the figures of an experiment, and saves its films."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from dac.report import partial
from dac.report.data import Experiment, PageSettings, ReportData
from dac.report.items import clips_of, pictures_of
from dac.report.panels import COLUMN_WIDTH, TEXT_WIDTH, style
from dac.report.statistics import Summary
from dac.report.table import slug

FILM_FORMAT = "gif"
_METADATA: Mapping[str, Mapping[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


def figure_name(experiment: Experiment, item: str) -> str:
    """File name without suffix."""
    return f"{slug(experiment.name)}-{item.replace('_', '-')}"


def write_figures(data: ReportData, summary: Summary, directory: Path) -> list[Path]:
    """Draw and save the figures of one experiment; returns their paths.

    Each in every format of the settings at the width of a text, and once more as a PDF at the width of a column.
    """
    paths: list[Path] = []
    drawn = partial.comparable(data, summary)
    if drawn is None:
        return paths
    for item, picture in pictures_of(summary.experiment).items():
        name = figure_name(summary.experiment, item)
        with style():
            paths += _save(picture.draw(data, drawn, TEXT_WIDTH), directory, name, data.settings)
            if "pdf" in data.settings.figure_formats:
                narrow = data.settings.model_copy(update={"figure_formats": ("pdf",)})
                paths += _save(picture.draw(data, drawn, COLUMN_WIDTH), directory, f"{name}-column", narrow)
    return paths


def write_films(data: ReportData, experiment: Experiment, directory: Path) -> list[Path]:
    """Save the films of one experiment, as far as there are some; returns their paths."""
    paths = []
    for item, clip in clips_of(experiment).items():
        if (content := clip.content(data, experiment)) is not None:
            paths.append(directory / f"{figure_name(experiment, item)}.{FILM_FORMAT}")
            paths[-1].write_bytes(content)
    return paths


def _save(figure: Figure, directory: Path, name: str, settings: PageSettings) -> list[Path]:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it stays as laid out: once, not once more for every format
    paths = [directory / f"{name}.{suffix}" for suffix in settings.figure_formats]
    for path in paths:
        figure.savefig(path, dpi=settings.dpi, metadata=_METADATA.get(path.suffix[1:]))
    return paths
