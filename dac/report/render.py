"""Writes a study's report: its tables, figures and page, metrics and curves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dac.report import bandit, claims, figures, made_with, page, published, reproduction, statistics, tables
from dac.report.data import ReportData, refuse_mixed_datasets
from dac.report.statistics import Summary
from dac.report.table import csv_bytes


def render(data: ReportData, directory: Path) -> list[Path]:
    """Write the report of a study; the same input gives the same bytes.

    Writes `tables/*.{csv,md,tex}`, `figures/*`, `README.md` (the page), `metrics.json` (experiment → task →
    variant → mean score) and `curves.csv` (experiment, task, variant, step, mean, std over seeds) under
    `directory`. Files of an earlier report that this one does not write are left where they are.

    Returns: every path written.

    Raises:
        UserError: runs of one dataset were trained on different files, or an experiment asks for an unknown
        published
            method.
    """
    refuse_mixed_datasets(data)
    for experiment in data.experiments:
        published.check_methods(experiment.published)
    for folder in (directory / "tables", directory / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    summaries = [statistics.summarise(data, experiment) for experiment in data.experiments]
    made = [tables.experiment_tables(data, summary) for summary in summaries]
    paths: list[Path] = []
    found = [finding for summary in summaries for finding in claims.findings(data, summary)]
    shown = claims.claims_table(found, data.settings.confidence) if found else None
    if shown:
        paths += shown.write(directory / "tables")
    compared = reproduction.outcomes(data, summaries)
    answer = (
        (reproduction.counted(compared, data.settings), reproduction.reproduction_table(compared, data.settings))
        if compared
        else None
    )
    if answer:
        paths += answer[1].write(directory / "tables")
    used = made_with.settings_table(data)
    paths += used.write(directory / "tables")
    for summary, its_tables in zip(summaries, made, strict=True):
        for table in its_tables:
            paths += table.write(directory / "tables")
        paths += figures.write_figures(data, summary, directory / "figures")
    texts = {
        "tables/provenance.csv": csv_bytes(tables.provenance_frame(data.runs)),
        "scores.csv": csv_bytes(tables.scores_frame(data, summaries)),
        "curves.csv": csv_bytes(curve_frame(summaries)),
        "metrics.json": (json.dumps(metrics(data, summaries), indent=2, ensure_ascii=False) + "\n").encode(),
        "README.md": page.page(data, summaries, made, used, shown, answer).encode(),
    }
    quoted = tables.published_frame(data)
    if len(quoted):
        texts["published.csv"] = csv_bytes(quoted)
    for name, content in texts.items():
        (directory / name).write_bytes(content)
        paths.append(directory / name)
    return paths


def metrics(data: ReportData, summaries: Sequence[Summary]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Experiment → task → variant → mean score over seeds with four decimals; None where it is not finite.

    Of an experiment that shows a bandit alone, the mean expected reward of the drawn actions takes the score's place.
    """
    result = {}
    for summary in summaries:
        experiment = summary.experiment
        cells = [(task, variant) for task in experiment.tasks for variant in experiment.variants]
        means = {cell: summary.cells[cell].mean for cell in cells}
        if not experiment.shows_scores:
            rewards = bandit.measures(data, experiment).groupby(["task", "variant"])["reward"].mean()
            means = {cell: float(rewards[cell]) for cell in cells}
        result[experiment.name] = {
            task: {variant: _rounded(means[task, variant]) for variant in experiment.variants}
            for task in experiment.tasks
        }
    return result


def curve_frame(summaries: Sequence[Summary]) -> pd.DataFrame:
    """The mean curves of all experiments: experiment, task, variant, step, mean, std over seeds."""
    frames = [
        summary.curves[["task", "variant", "step", "mean", "std"]].assign(experiment=summary.experiment.name)
        for summary in summaries
    ]
    frame = pd.concat(frames, ignore_index=True)
    return frame[["experiment", "task", "variant", "step", "mean", "std"]]


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
