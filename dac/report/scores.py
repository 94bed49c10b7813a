"""The table of scores: task × variant, beside the data's and, where they are comparable, published ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from dac.report import published
from dac.report.aggregates import Array
from dac.report.cell_marks import CellMarks, cell_marks
from dac.report.cells import ALIKE, BOLD, MEAN_STD, diverged_notes, score_text, seeds_text
from dac.report.data import Experiment, ReportData
from dac.report.selection import selection_note
from dac.report.statistics import MeanScore, Summary, indistinguishable, mean_score, score_matrix
from dac.report.suites import average_name, is_whole, suites
from dac.report.symbols import assigned
from dac.report.table import NONE, Cell, Table, Text, mean_std, number, slug


def scores_table(data: ReportData, summary: Summary) -> Table:
    """Task × variant, mean ± std over seeds; beside it DAC's published score and those of others, where comparable.

    Tasks stand by suite, each with its average, and its total where the suite is whole.
    """
    experiment = summary.experiment
    published.check_methods(experiment.published)
    comparable = any(data.published_id(experiment.name, task) for task in experiment.tasks)
    # The method that is reproduced first, right of ours.
    methods = sorted(experiment.published, key=lambda method: method != "DAC") if comparable else []
    marks = cell_marks(data, experiment)
    rows: list[tuple[Text, ...]] = []
    grouped = suites(data, experiment.tasks)
    apart = [task for task in experiment.tasks if all(task not in tasks for _, tasks in grouped)]
    for suite, tasks in [*grouped, ("", apart)]:
        rows += [_score_row(data, summary, task, methods, marks) for task in tasks]
        if suite and len(tasks) > 1:
            rows.append(_average_row(data, summary, suite, tasks, methods, marks))
            rows += [_total_row(data, summary, suite, tasks, methods)] if is_whole(data, suite, tasks) else []
    return Table(
        name=f"{slug(experiment.name)}-scores",
        caption=f"{experiment.title}: normalised score, mean ± standard deviation over seeds.",
        header=(
            "Task",
            "Seeds",
            *(assigned(experiment.varied, variant) for variant in experiment.variants),
            *(f"{method} (published)" for method in methods),
            "Data",
        ),
        rows=tuple(rows),
        view="Mean ± sd",
        frame=_scores_frame(data, summary, methods),
        notes=_score_notes(data, summary, methods, marks, averages=any(len(tasks) > 1 for _, tasks in grouped)),
    )


def _score_row(
    data: ReportData, summary: Summary, task: str, methods: Sequence[str], marks: CellMarks
) -> tuple[Text, ...]:
    variants = summary.experiment.variants
    cells = [summary.cells[task, variant] for variant in variants]
    alike = indistinguishable(
        [_seed_scores(summary, [task], variant) for variant in variants], data.settings.confidence
    )
    theirs = [_published(data, summary.experiment, task, method) for method in methods]
    return (
        Text(task),
        Text(seeds_text(cells)),
        *_marked(
            cells,
            alike,
            [marks.text([task], variant) for variant in variants],
            [(summary.experiment.name, task, variant) for variant in variants],
        ),
        *(Text(NONE if score is None else mean_std(score.mean, score.std)) for score in theirs),
        Text(number(data.task_number(task, "data_score_mean"))),
    )


def _average_row(
    data: ReportData, summary: Summary, suite: str, tasks: Sequence[str], methods: Sequence[str], marks: CellMarks
) -> tuple[Text, ...]:
    """Mean over the tasks of a suite ± its standard deviation over seeds; empty where a published one lacks a task."""
    variants = summary.experiment.variants
    averages = [_seed_scores(summary, tasks, variant) for variant in variants]
    planned = len(data.planned.seeds) if data.planned else None
    alike = indistinguishable(averages, data.settings.confidence)
    cells = [summary.cells[task, variant] for task in tasks for variant in variants]
    theirs = [_mean(_published_mean(data, summary.experiment, task, method) for task in tasks) for method in methods]
    beside = any(map(math.isfinite, theirs))
    apart = [marks.text(tasks, variant) if beside else "" for variant in variants]
    return (
        Text(average_name(data, suite, tasks)),
        Text(seeds_text(cells)),
        *_marked([mean_score(average, planned=planned) for average in averages], alike, apart, [None] * len(variants)),
        *(Text(number(mean)) for mean in theirs),
        Text(number(_mean(data.task_number(task, "data_score_mean") for task in tasks))),
    )


def _total_row(
    data: ReportData, summary: Summary, suite: str, tasks: Sequence[str], methods: Sequence[str]
) -> tuple[Text, ...]:
    """Sum over the tasks of a whole suite, as tables of offline learning often give it."""
    count = len(tasks)
    ours = [summary.cells[task, variant].mean for variant in summary.experiment.variants for task in tasks]
    sums = [math.fsum(ours[start : start + count]) for start in range(0, len(ours), count)]
    theirs = [_mean(_published_mean(data, summary.experiment, task, method) for task in tasks) for method in methods]
    data_mean = _mean(data.task_number(task, "data_score_mean") for task in tasks)
    shown = [*sums, *(count * mean for mean in theirs), count * data_mean]
    return (Text(f"{suite} total"), Text(""), *(Text(number(value)) for value in shown))


def _marked(
    cells: Sequence[MeanScore], bold: Sequence[bool], marks: Sequence[str], of: Sequence[Cell | None]
) -> list[Text]:
    """Scores with their marks."""
    return [
        Text(score_text(cell) + mark, is_bold, runs)
        for cell, is_bold, mark, runs in zip(cells, bold, marks, of, strict=True)
    ]


def _seed_scores(summary: Summary, tasks: Sequence[str], variant: str) -> Array:
    """(seeds,) of a variant, each the mean over some tasks."""
    means: Array = score_matrix(summary.run_scores, tasks, variant).mean(axis=1)
    return means


def _scores_frame(data: ReportData, summary: Summary, methods: Sequence[str]) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for task in summary.experiment.tasks:
        dataset_mean = data.task_number(task, "data_score_mean")
        rows.append({"task": task, "method": "dataset", "source": "dataset", "mean": dataset_mean})
        for variant in summary.experiment.variants:
            cell = summary.cells[task, variant]
            numbers = {"mean": cell.mean, "std": cell.std, "seeds": cell.seeds, "diverged": cell.diverged}
            differs = "; ".join(data.differences[summary.experiment.name, task, variant])
            rows.append({"task": task, "method": variant, "source": "this study", "differs": differs, **numbers})
        for method in methods:
            if score := _published(data, summary.experiment, task, method):
                numbers = {"mean": score.mean, "std": math.nan if score.std is None else score.std}
                rows.append({"task": task, "method": method, "source": score.source, **numbers})
    frame = pd.DataFrame(rows, columns=["task", "method", "mean", "std", "seeds", "diverged", "source", "differs"])
    return frame.astype({"seeds": "Int64", "diverged": "Int64"})


def _score_notes(
    data: ReportData, summary: Summary, methods: Sequence[str], marks: CellMarks, averages: bool
) -> tuple[str, ...]:
    experiment = summary.experiment
    notes = [MEAN_STD, "Data: mean score of the episodes trained on."]
    if len(experiment.variants) > 1:
        # A single seed has no interval: the highest alone is bold.
        notes.append(BOLD if all(cell.seeds == 1 for cell in summary.cells.values()) else ALIKE)
    notes += ["Averages: each seed's mean over the tasks, and its deviation over seeds."] if averages else []
    notes += diverged_notes(summary.cells.values())
    return (
        *notes,
        *selection_note(data, experiment, methods),
        *_source_notes(data, experiment, methods),
        *marks.notes(),
    )


def _source_notes(data: ReportData, experiment: Experiment, methods: Sequence[str]) -> list[str]:
    """Where the published scores come from, one note per source."""
    sources: dict[str, list[str]] = {}
    for method in methods:
        scores = [score for task in experiment.tasks if (score := _published(data, experiment, task, method))]
        for source in dict.fromkeys(score.source for score in scores):
            sources.setdefault(source, []).append(method)
    return [f"Published {', '.join(names)}: {source}." for source, names in sources.items()]


def _published(data: ReportData, experiment: Experiment, task: str, method: str) -> published.PublishedScore | None:
    identity = data.published_id(experiment.name, task)
    return published.score(identity, method) if identity else None


def _published_mean(data: ReportData, experiment: Experiment, task: str, method: str) -> float:
    score = _published(data, experiment, task, method)
    return score.mean if score else math.nan


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)
