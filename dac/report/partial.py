"""A page of a study that is not finished: what can be shown of it, and what it says of itself."""

from __future__ import annotations

from dataclasses import replace

from dac.report.data import ReportData
from dac.report.statistics import Summary


def comparable(data: ReportData, summary: Summary) -> Summary | None:
    """An experiment with those of its tasks that have a run of each variant; None if no task has.

    Tables of scores show all tasks, with "–" for what is not there. Whatever sets variants beside each other otherwise,
    figures among them, needs a number of each.
    """
    if data.planned is None or summary.experiment.times_steps:
        return summary
    experiment = summary.experiment
    tasks = [task for task in experiment.tasks if all(_is_there(data, summary, task, v) for v in experiment.variants)]
    if not tasks:
        return None
    return replace(summary, experiment=replace(experiment, tasks=tuple(tasks)))


def _is_there(data: ReportData, summary: Summary, task: str, variant: str) -> bool:
    bandit = data.bandits.get((summary.experiment.name, task))
    # The panels of a bandit are of one seed.
    return summary.cells[task, variant].seeds > 0 and (bandit is None or variant in bandit.q)


def banner(data: ReportData) -> str:
    """What stands above all else on a partial page; empty on a whole one."""
    if data.planned is None:
        return ""
    return (
        f"Partial: {data.planned.there:,} of {data.planned.runs:,} runs are trained and evaluated. A score says how "
        "many of its seeds are there, – where none is; figures and the other tables have the tasks of which every "
        "variant has a run, and claims are left out until all of their runs are there."
    )
