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
    variant → mean score), `curves.csv` (experiment, task, variant, step, mean, std over seeds), `scores.csv` (a row per
    experiment and run) and, where there are some, `published.csv` (what is quoted) under `directory`. Files of an
    earlier report that this one does not write are left where they are.

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
    summaries = [statistics.summarise(data, experiment) for experiment in data.experiments]
    made = [tables.experiment_tables(data, summary) for summary in summaries]
    opening = _opening(data, summaries)
    paths: list[Path] = []
    for table in [*opening.tables(), *(table for its_tables in made for table in its_tables)]:
        paths += table.write(directory / "tables")
    for summary in summaries:
        paths += figures.write_figures(data, summary, directory / "figures")
    texts = {**_data_files(data, summaries), "README.md": page.page(data, summaries, made, opening).encode()}
    for name, content in texts.items():
        (directory / name).write_bytes(content)
        paths.append(directory / name)
    return paths


def _opening(data: ReportData, summaries: Sequence[Summary]) -> page.Opening:
    """What a page begins with: whether the paper was reproduced, the claims, the settings."""
    compared = reproduction.outcomes(data, summaries)
    found = [finding for summary in summaries for finding in claims.findings(data, summary)]
    return page.Opening(
        answer=reproduction.counted(compared, data.settings) if compared else "",
        reproduced=reproduction.reproduction_table(compared, data.settings) if compared else None,
        claims=claims.claims_table(found, data.settings.confidence) if found else None,
        settings=made_with.settings_table(data),
    )


def _data_files(data: ReportData, summaries: Sequence[Summary]) -> dict[str, bytes]:
    """The files of numbers beside the page, by name."""
    quoted = tables.published_frame(data)
    return {
        "tables/provenance.csv": csv_bytes(tables.provenance_frame(data.runs)),
        "scores.csv": csv_bytes(tables.scores_frame(data, summaries)),
        "curves.csv": csv_bytes(curve_frame(summaries)),
        "metrics.json": (json.dumps(metrics(data, summaries), indent=2, ensure_ascii=False) + "\n").encode(),
        **({"published.csv": csv_bytes(quoted)} if len(quoted) else {}),
    }


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
