"""Tables of the same cells as one with switches, for pages that can have them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dac.report.data import ReportData
from dac.report.statistics import Summary
from dac.report.symbols import assigned
from dac.report.table import Table, Text, number, slug


def views(data: ReportData, summary: Summary, tables: Sequence[Table]) -> list[list[Table]]:
    """The tables of an experiment, those of the same cells together, the first of which is shown first."""
    together = [table for table in tables if table.view is not None]
    if together:
        together.append(seeds_table(data, summary))
    apart = [[table] for table in tables if table.view is None]
    return [together, *apart] if together else apart


def seeds_table(data: ReportData, summary: Summary) -> Table:
    """The score of every run: a row for each task and seed, a column for each variant."""
    experiment = summary.experiment
    matrix = summary.run_scores.set_index(["task", "seed", "variant"])["score"].unstack("variant")
    matrix = matrix.reindex(columns=list(experiment.variants))  # of a partial page one may have no run
    rows = [
        (
            Text(task),
            Text(str(seed)),
            *(Text(number(scores[variant]), of=(experiment.name, task, variant)) for variant in experiment.variants),
        )
        for task in experiment.tasks
        if task in matrix.index
        for seed, scores in matrix.loc[task].iterrows()
    ]
    return Table(
        name=f"{slug(experiment.name)}-seeds",
        caption=f"{experiment.title}: normalised score of every run.",
        header=("Task", "Seed", *(assigned(experiment.varied, variant) for variant in experiment.variants)),
        rows=tuple(rows),
        frame=pd.DataFrame(),
        notes=(f"Mean of a run's last {data.settings.window} evaluations, or of all where it has fewer.",),
        view="Per seed",
    )
