"""The files of numbers beside a page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pandas as pd

from dac.report import published
from dac.report.data import ReportData, in_order, select
from dac.report.statistics import Summary
from dac.report.suites import suites
from dac.report.writers.csv import csv_bytes
from dac.system.paths import RUNS


def data_files(data: ReportData, summaries: Sequence[Summary]) -> dict[str, bytes]:
    """The files of numbers beside the page, by name.

    Args:
        summaries: of the experiments that have runs.
    """
    quoted = published_frame(data)
    return {
        "tables/provenance.csv": csv_bytes(provenance_frame(data.runs)),
        "scores.csv": csv_bytes(scores_frame(data, summaries)),
        "curves.csv": csv_bytes(curve_frame(summaries)),
        "metrics.json": (json.dumps(metrics(data, summaries), indent=2, ensure_ascii=False) + "\n").encode(),
        **({"published.csv": csv_bytes(quoted)} if len(quoted) else {}),
    }


def scores_frame(data: ReportData, summaries: Sequence[Summary]) -> pd.DataFrame:
    """A row per experiment and run: what its task's suite is, its scores, whether it diverged, and where it lies.

    score: mean of the last evaluations; last, best: of the last and of the best one.
    """
    frames = []
    for summary in summaries:
        experiment = summary.experiment
        means = summary.evaluations.groupby(["task", "variant", "seed"])["score"]
        scores = summary.run_scores.merge(
            means.agg(last="last", best="max").reset_index(), on=["task", "variant", "seed"], validate="one_to_one"
        )
        runs = select(data.runs, experiment.name)[["task", "variant", "seed", "status", "run"]]
        frame = scores.merge(runs, on=["task", "variant", "seed"], validate="one_to_one")
        suite = {task: name for name, tasks in suites(data, experiment.tasks) for task in tasks}
        path = f"{RUNS}/" + frame["task"] + "/" + frame["run"] + "/seed-" + frame["seed"].astype(str)
        frame = frame.assign(
            experiment=experiment.name, suite=[suite.get(task, "") for task in frame["task"]], path=path
        )
        frames.append(in_order(frame, experiment).sort_values(["task", "variant", "seed"]))
    columns = ["suite", "task", "experiment", "variant", "seed", "score", "last", "best", "status", "path"]
    listed = [frame[columns].astype({"task": str, "variant": str}) for frame in frames]
    return pd.concat(listed, ignore_index=True) if listed else pd.DataFrame(columns=columns)


def published_frame(data: ReportData) -> pd.DataFrame:
    """All published scores on the datasets of a study's comparable tasks, each with its source."""
    pairs = ((experiment.name, task) for experiment in data.trained for task in experiment.tasks)
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


def metrics(data: ReportData, summaries: Sequence[Summary]) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
    """Measure → experiment → task → variant → mean over seeds with four decimals; None where it is not finite.

    The measure is `score`; of an experiment that shows a bandit alone it is `reward`, the mean expected reward of the
    drawn actions. One that no experiment has is left out.
    """
    result: dict[str, dict[str, dict[str, dict[str, float | None]]]] = {}
    for summary in summaries:
        experiment = summary.experiment
        cells = [(task, variant) for task in experiment.tasks for variant in experiment.variants]
        means, measure = {cell: summary.cells[cell].mean for cell in cells}, "score"
        if not experiment.shows_scores:
            rewards = summary.drawn.groupby(["task", "variant"])["reward"].mean()
            means, measure = {cell: float(rewards.get(cell, math.nan)) for cell in cells}, "reward"
        result.setdefault(measure, {})[experiment.name] = {
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
    columns = ["experiment", "task", "variant", "step", "mean", "std"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
