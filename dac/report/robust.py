"""The table of interquartile means, of the scores that the table of scores has the means of."""

from __future__ import annotations

import pandas as pd

from dac.report.cells import BOLD, best_of, interval_text
from dac.report.data import ReportData
from dac.report.statistics import Summary
from dac.report.suites import scope_title, scopes
from dac.report.symbols import assigned
from dac.report.table import Table, Text, slug


def robust_table(data: ReportData, summary: Summary) -> Table:
    """Interquartile mean over runs with its bootstrap interval, per task, per suite and over all tasks × seeds."""
    experiment = summary.experiment
    over = scopes(data, experiment.tasks)
    rows, records = [], []
    for task in [*experiment.tasks, *over]:
        estimates = [summary.robust[task, variant] for variant in experiment.variants]
        best = best_of([estimate.point for estimate in estimates])
        texts = [
            Text(interval_text(estimate), bold, None if task in over else (experiment.name, task, variant))
            for estimate, bold, variant in zip(estimates, best, experiment.variants, strict=True)
        ]
        rows.append((Text(scope_title(task, over[task]) if task in over else task), *texts))
        for variant, estimate in zip(experiment.variants, estimates, strict=True):
            bounds = {"iqm": estimate.point, "low": estimate.low, "high": estimate.high}
            records.append({"task": task, "variant": variant, **bounds})
    percent = f"{100 * data.settings.confidence:g} %"
    note = (
        f"Interquartile mean over runs [{percent} stratified bootstrap interval, "
        f"{data.settings.bootstrap_samples} resamples of seeds within tasks]; no interval for one seed."
    )
    notes = [note, *([BOLD.replace("mean", "interquartile mean")] if len(experiment.variants) > 1 else [])]
    return Table(
        name=f"{slug(experiment.name)}-robust",
        caption=f"{experiment.title}: interquartile mean of the normalised score over runs.",
        header=("Task", *(assigned(experiment.varied, variant) for variant in experiment.variants)),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=tuple(notes),
        inline=False,
        view="Interquartile mean",
    )
