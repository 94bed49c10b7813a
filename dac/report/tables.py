"""Which tables a report has, and what each says; those of scores and of the bandit are modules of their own."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dac.report import published
from dac.report.bandit import bandit_table
from dac.report.cells import (
    BOLD,
    MEAN_STD,
    best_of,
    diverged_mark,
    diverged_notes,
    interval_text,
)
from dac.report.data import Experiment, ReportData, select
from dac.report.scores import scores_table, suites
from dac.report.selection import selection_table
from dac.report.statistics import ALL_TASKS, Summary, evaluation_means
from dac.report.symbols import assigned
from dac.report.table import Table, Text, mean_std, slug
from dac.system.paths import RUNS


def experiment_tables(data: ReportData, summary: Summary) -> list[Table]:
    """The tables an experiment asks for with `show`, and the robust one if it shows scores of the training."""
    show = summary.experiment.show
    tables = [scores_table(data, summary)] if {"scores", "sweep"} & {*show} else []
    if "scores" in show and (selection := selection_table(data, summary)):
        tables.append(selection)
    tables += [action_samples_table(data, summary)] if "action_samples" in show else []
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
        header=("Task", *(assigned(experiment.varied, variant) for variant in experiment.variants)),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
        notes=tuple(notes),
        inline=False,
    )


def action_samples_table(data: ReportData, summary: Summary) -> Table:
    """Task × variant × number of action samples N_a: the kept policies evaluated again, without training."""
    experiment, points = summary.experiment, summary.action_samples
    counts = sorted(points["action_samples"].unique())
    ordered = _in_order(points, experiment).sort_values(["task", "variant", "action_samples"])
    several = len(experiment.variants) > 1
    rows = []
    for (task, variant), group in ordered.groupby(["task", "variant"], sort=False, observed=True):
        found = group.set_index("action_samples").reindex(counts)
        means, stds = found["mean"].tolist(), found["std"].tolist()
        texts = [Text(mean_std(m, s), bold) for m, s, bold in zip(means, stds, best_of(means), strict=True)]
        mark = diverged_mark(summary.cells[str(task), str(variant)])
        names = [str(task), assigned(experiment.varied, str(variant)) + mark] if several else [f"{task}{mark}"]
        rows.append((*map(Text, names), Text(str(int(group["seeds"].iloc[0]))), *texts))
    notes = (
        f"Mean over kept policies and {_episodes_per_policy(data, experiment)} episodes of each, per run; then "
        f"{MEAN_STD[0].lower()}{MEAN_STD[1:]}",
        "Bold: the highest mean of a row.",
        "These policies were evaluated after training, in episodes of their own: at the N_a of the training, too, the "
        "numbers are not those of the evaluations during training.",
        *diverged_notes(summary.cells.values()),
    )
    return Table(
        name=f"{slug(experiment.name)}-action-samples",
        caption=f"{experiment.title}: normalised score against the number of action samples N_a.",
        header=("Task", *(["Variant"] if several else []), "Seeds", *(f"N_a = {count}" for count in counts)),
        rows=tuple(rows),
        frame=ordered[["task", "variant", "action_samples", "mean", "std", "seeds"]],
        notes=notes,
    )


def _episodes_per_policy(data: ReportData, experiment: Experiment) -> str:
    kept = select(data.evaluations, experiment.name)
    policy = ["task", "variant", "seed", "action_samples", "step"]
    counts = sorted(kept.groupby(policy)["episodes"].sum().unique())
    return " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))


def scores_frame(data: ReportData, summaries: Sequence[Summary]) -> pd.DataFrame:
    """A row per experiment and run: what its task's suite is, its scores, whether it diverged, and where it lies.

    score: mean of the last evaluations; last, best: of the last and of the best one.
    """
    frames = []
    for summary in summaries:
        experiment = summary.experiment
        means = evaluation_means(select(data.curves, experiment.name)).groupby(["task", "variant", "seed"])["score"]
        scores = summary.run_scores.merge(
            means.agg(last="last", best="max").reset_index(), on=["task", "variant", "seed"], validate="one_to_one"
        )
        runs = select(data.runs, experiment.name)[["task", "variant", "seed", "status", "run"]]
        frame = scores.merge(runs, on=["task", "variant", "seed"], validate="one_to_one")
        suite = {task: name for name, tasks in suites(data, experiment.tasks) for task in tasks}
        path = f"{RUNS}/" + frame["task"] + "/" + frame["run"] + "/seed-" + frame["seed"].astype(str)
        frame = frame.assign(experiment=experiment.name, suite=frame["task"].map(suite).fillna(""), path=path)
        frames.append(_in_order(frame, experiment).sort_values(["task", "variant", "seed"]))
    columns = ["suite", "task", "experiment", "variant", "seed", "score", "last", "best", "status", "path"]
    return pd.concat([frame[columns].astype({"task": str, "variant": str}) for frame in frames], ignore_index=True)


def published_frame(data: ReportData) -> pd.DataFrame:
    """All published scores on the datasets of a study's comparable tasks, each with its source."""
    pairs = ((experiment.name, task) for experiment in data.experiments for task in experiment.tasks)
    found = {identity for experiment, task in pairs if (identity := data.published_id(experiment, task))}
    return published.scores(sorted(found))


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
