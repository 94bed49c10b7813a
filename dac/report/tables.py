"""Which tables a report has, and what each says; those of scores and of the bandit are modules of their own."""

from __future__ import annotations

import pandas as pd

from dac.report.bandit import bandit_table
from dac.report.cells import (
    BOLD,
    MEAN_STD,
    best_of,
    diverged_mark,
    diverged_notes,
    interval_text,
    score_text,
    seeds_text,
)
from dac.report.data import Experiment, ReportData
from dac.report.scores import scores_table
from dac.report.statistics import ALL_TASKS, Summary
from dac.report.table import Table, Text, mean_std, slug


def experiment_tables(data: ReportData, summary: Summary) -> list[Table]:
    """The tables an experiment asks for with `show`, and the robust one if it shows scores of the training."""
    show = summary.experiment.show
    tables = [scores_table(data, summary)] if "scores" in show else []
    tables += [sweep_table(summary)] if "sweep" in show else []
    tables += [action_samples_table(summary)] if "action_samples" in show else []
    tables += [bandit_table(data, summary)] if "bandit" in show else []
    # The robust table is of the scores during training, which an experiment on N_a alone is not about.
    return [*tables, robust_table(data, summary)] if {"scores", "curves", "comparison", "sweep"} & {*show} else tables


def robust_table(data: ReportData, summary: Summary) -> Table:
    """Interquartile mean over runs with its bootstrap interval, per task and over all tasks × seeds."""
    experiment = summary.experiment
    tasks = [*experiment.tasks, ALL_TASKS] if len(experiment.tasks) > 1 else list(experiment.tasks)
    rows, records = [], []
    for task in tasks:
        estimates = [summary.robust[task, variant] for variant in experiment.variants]
        best = best_of([estimate.point for estimate in estimates])
        texts = [Text(interval_text(estimate), bold) for estimate, bold in zip(estimates, best, strict=True)]
        rows.append((Text("All tasks" if task == ALL_TASKS else task), *texts))
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
        header=("Task", *experiment.variants),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=tuple(notes),
    )


def action_samples_table(summary: Summary) -> Table:
    """Task × variant × number of action samples N_a: the kept policies evaluated again, without training."""
    experiment, points = summary.experiment, summary.action_samples
    counts = sorted(points["action_samples"].unique())
    ordered = _in_order(points, experiment).sort_values(["task", "variant", "action_samples"])
    rows = []
    for (task, variant), group in ordered.groupby(["task", "variant"], sort=False, observed=True):
        found = group.set_index("action_samples").reindex(counts)
        means, stds = found["mean"].tolist(), found["std"].tolist()
        texts = [Text(mean_std(m, s), bold) for m, s, bold in zip(means, stds, best_of(means), strict=True)]
        label = str(variant) + diverged_mark(summary.cells[str(task), str(variant)])
        rows.append((Text(str(task)), Text(label), Text(str(int(group["seeds"].iloc[0]))), *texts))
    notes = (
        f"Mean over kept policies and episodes per run; then {MEAN_STD[0].lower()}{MEAN_STD[1:]}",
        "Bold: the highest mean of a row.",
        *diverged_notes(summary),
    )
    return Table(
        name=f"{slug(experiment.name)}-action-samples",
        caption=f"{experiment.title}: normalised score against the number of action samples N_a.",
        header=("Task", "Variant", "Seeds", *(f"N_a = {count}" for count in counts)),
        rows=tuple(rows),
        frame=ordered[["task", "variant", "action_samples", "mean", "std", "seeds"]],
        notes=notes,
    )


def sweep_table(summary: Summary) -> Table:
    """Value of the varied setting × task, mean ± std over seeds."""
    experiment = summary.experiment
    best = {task: best_of([summary.cells[task, v].mean for v in experiment.variants]) for task in experiment.tasks}
    rows, records = [], []
    for index, variant in enumerate(experiment.variants):
        cells = [summary.cells[task, variant] for task in experiment.tasks]
        texts = [Text(score_text(cell), best[task][index]) for task, cell in zip(experiment.tasks, cells, strict=True)]
        rows.append((Text(variant), Text(seeds_text(cells)), *texts))
        for task, cell in zip(experiment.tasks, cells, strict=True):
            numbers = {"mean": cell.mean, "std": cell.std, "seeds": cell.seeds, "diverged": cell.diverged}
            records.append({"value": variant, "task": task, **numbers})
    varied = experiment.varied or "variant"
    return Table(
        name=f"{slug(experiment.name)}-sweep",
        caption=f"{experiment.title}: normalised score against {varied}.",
        header=(varied, "Seeds", *experiment.tasks),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=(MEAN_STD, "Bold: the highest mean of a column.", *diverged_notes(summary)),
    )


def provenance_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """Every run once, with the experiments that use it: what was trained, on which bytes, where and when."""
    key = ["task", "run", "seed"]
    shared = runs.groupby(key, sort=True)["experiment"].agg(lambda names: ";".join(dict.fromkeys(names)))
    once = runs.sort_values([*key, "experiment"]).drop_duplicates(key).drop(columns=["experiment", "variant"])
    frame = once.merge(shared.rename("experiments").reset_index(), on=key, how="left", validate="one_to_one")
    columns = [
        "task",
        "run",
        "seed",
        "status",
        "steps",
        "dataset_sha256",
        "machine",
        "device",
        "torch",
        "simulator",
        "finished",
    ]
    return frame[[*columns, "device_seconds", "experiments"]]


def _in_order(points: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    return points.assign(
        task=pd.Categorical(points["task"], experiment.tasks, ordered=True),
        variant=pd.Categorical(points["variant"], experiment.variants, ordered=True),
    )
