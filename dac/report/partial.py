"""A page of a study that is not finished: what can be shown of it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dac.report.data import ReportData
from dac.report.item import Picture
from dac.report.statistics import Summary


def comparable(data: ReportData, summary: Summary) -> Summary | None:
    """An experiment with those of its tasks that have a run of each variant; None if no task has.

    Tables of scores show all tasks, with "–" for what is not there. Other tables need a number of each variant, and so
    do figures over tasks, see `drawable`.
    """
    if data.planned is None or summary.experiment.times_steps:
        return summary
    experiment = summary.experiment
    tasks = [task for task in experiment.tasks if all(_is_there(data, summary, task, v) for v in experiment.variants)]
    return _of_tasks(summary, tasks)


def drawable(data: ReportData, summary: Summary, picture: Picture) -> Summary | None:
    """An experiment with those of its tasks that a figure shows; None if it shows none."""
    if data.planned is None or summary.experiment.times_steps or picture.over_tasks:
        return comparable(data, summary)
    experiment = summary.experiment
    there = [task for task in experiment.tasks if any(summary.cells[task, v].seeds for v in experiment.variants)]
    return _of_tasks(summary, there)


def _of_tasks(summary: Summary, tasks: Sequence[str]) -> Summary | None:
    return replace(summary, experiment=replace(summary.experiment, tasks=tuple(tasks))) if tasks else None


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
        "many of its seeds are there, – where none is; figures show what is there; those over tasks, and the other "
        "tables, have the tasks of which every variant has a run, and claims are left out until all of their runs are "
        "there."
    )
