"""Aggregates over runs and tasks: performance profiles, interquartile means, probabilities of improvement."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dac.report.aggregates import Estimate, performance_profile, probability_of_improvement, profile_thresholds
from dac.report.cells import diverged_notes, interval_text
from dac.report.data import ReportData
from dac.report.item import Item, Picture
from dac.report.panels import band_line, grid_of, handle, label_of, legend, looks
from dac.report.statistics import Summary, score_matrix
from dac.report.suites import scope_title, scopes
from dac.report.symbols import assigned
from dac.report.table import NONE, Table, Text, slug


def aggregates_table(data: ReportData, summary: Summary) -> Table | None:
    """Suite × variant: interquartile mean, and how likely a run of the first variant is above one of this variant.

    None where a single task leaves nothing to aggregate.
    """
    experiment, settings = summary.experiment, data.settings
    first, rows, records = experiment.variants[0], [], []
    for scope, tasks in scopes(data, experiment.tasks).items():
        matrices = {variant: score_matrix(summary.run_scores, tasks, variant) for variant in experiment.variants}
        for variant, matrix in matrices.items():
            iqm = summary.robust[scope, variant]
            better = None if variant == first else probability_of_improvement(matrices[first], matrix, settings)
            names = (scope_title(scope, tasks), assigned(experiment.varied, variant))
            rows.append((*map(Text, names), Text(str(len(matrix))), Text(interval_text(iqm)), Text(_share(better))))
            records.append({"scope": scope, "variant": variant, **_numbers("iqm", iqm), **_numbers("better", better)})
    if not rows:
        return None
    percent, name = f"{100 * settings.confidence:g} %", assigned(experiment.varied, first)
    return Table(
        name=f"{slug(experiment.name)}-aggregates",
        caption=f"{experiment.title}: aggregates over runs and tasks.",
        header=("Tasks", "Variant", "Seeds", f"IQM [{percent}]", f"P({name} is better) [{percent}]"),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=(
            "By the definitions of Agarwal et al. (2021). IQM: interquartile mean of the normalised score over runs "
            f"and tasks. P: how likely a run of {name} is above a run of the variant on a task drawn at random, ties "
            "counted half; 0.5 where neither is better. Intervals: stratified bootstrap, "
            f"{settings.bootstrap_samples} resamples of seeds within tasks; none for one seed.",
            *diverged_notes(summary.cells.values()),
        ),
    )


def _share(estimate: Estimate | None) -> str:
    if estimate is None or not math.isfinite(estimate.point):
        return NONE
    interval = f" [{estimate.low:.2f}, {estimate.high:.2f}]" if math.isfinite(estimate.low) else ""
    return f"{estimate.point:.2f}{interval}"


def _numbers(name: str, estimate: Estimate | None) -> dict[str, float]:
    found = estimate or Estimate(math.nan, math.nan, math.nan)
    return {name: found.point, f"{name}_low": found.low, f"{name}_high": found.high}


def profiles_figure(data: ReportData, summary: Summary, width: float) -> Figure:
    """Performance profiles with their bands, a panel per suite: the share of runs above each score."""
    experiment, look = summary.experiment, looks(data)
    over = scopes(data, experiment.tasks) or {experiment.tasks[0]: list(experiment.tasks)}
    titles = {scope_title(scope, tasks): tasks for scope, tasks in over.items()}
    grid = grid_of(list(titles), width, "Normalised score τ", lambda _: "Runs above τ")
    for title, axis in grid.axes.items():
        matrices = [score_matrix(summary.run_scores, titles[title], variant) for variant in experiment.variants]
        thresholds = profile_thresholds(matrices)
        for variant, matrix in zip(experiment.variants, matrices, strict=True):
            profile = performance_profile(matrix, thresholds, data.settings)
            line = pd.DataFrame({"mean": profile.share, "low": profile.low, "high": profile.high})
            band_line(axis, pd.Series(thresholds), line, look[experiment.name, variant], marker=None)
        axis.set_ylim(-0.02, 1.02)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    legend(grid, [handle(look[experiment.name, v], label_of(experiment, v), None) for v in experiment.variants])
    return grid.figure


def profiles_caption(data: ReportData, summary: Summary) -> str:
    """What the figure shows."""
    return (
        "Performance profiles (Agarwal et al. 2021): the share of all runs, over seeds and tasks, with a score above τ."
        f" The line of a better variant is above. Band: {100 * data.settings.confidence:g} % stratified bootstrap "
        "interval at each τ."
    )


ITEM = Item(place=5, tables=(aggregates_table,), picture=Picture(profiles_figure, profiles_caption, over_tasks=True))
