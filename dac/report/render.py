"""Writes a study's report: its tables, figures and page, metrics and curves."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from dac.report import figures, published, statistics, writers
from dac.report.browser_page import browser_page, contents
from dac.report.data import ReportData, refuse_mixed_datasets
from dac.report.data_files import data_files
from dac.report.page import page


def render(data: ReportData, directory: Path, studio: figures.Studio | None = None) -> list[Path]:
    """Write the report of a study; the same input gives the same bytes.

    Writes `tables/*.{csv,md,tex}`, `figures/*`, `README.md` (the page), `report.html` (the same for a browser),
    `metrics.json` (measure → experiment → task → variant → mean), `curves.csv` (experiment, task, variant, step, mean,
    std over seeds), `scores.csv` (a row per experiment and run) and, where there are some, `published.csv` (what is
    quoted) under `directory`. Files of an earlier report that this one does not write are left where they are.

    Args:
        studio: draws in `directory`/figures; None: one of this call's own.

    Returns: every path written.

    Raises:
        UserError: runs of one dataset were trained on different files, or an experiment asks for an unknown published
            method.
    """
    refuse_mixed_datasets(data)
    for experiment in data.experiments:
        published.check_methods(experiment.published)
    for folder in (directory / "tables", directory / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    with nullcontext(studio) if studio else figures.Studio.of(directory, data.experiments) as drawing:
        summaries = []
        for experiment in data.experiments:
            summaries.append(statistics.summarise(data, experiment))
            drawing.begin(figures.drawings(data, summaries[-1]))
        whole = page(data, summaries)
        paths: list[Path] = []
        for table in whole.tables():
            paths += writers.write(table, directory / "tables")
        for experiment in data.experiments:
            paths += figures.write_films(data, experiment, directory / "figures")
        scored = [summary for summary in summaries if not summary.experiment.times_steps]
        texts = {**data_files(data, scored), "README.md": whole.markdown().encode()}
        shown = contents(whole, summaries)
        paths += drawing.finish()
    texts["report.html"] = browser_page(shown, directory / "figures")
    for name, content in texts.items():
        (directory / name).write_bytes(content)
        paths.append(directory / name)
    return paths
