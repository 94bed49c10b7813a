"""Where the numbers of a page come from: data, machines and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dac.report.data import Experiment, ReportData, in_order, select
from dac.report.data_files import provenance_frame, published_frame
from dac.report.table import NONE, Table, Text, mean_std, number


@dataclass(frozen=True)
class Provenance:
    """What a page says of its runs.

    Attributes:
        text: how many they are, when they were made, and the files of numbers; in Markdown.
        data, machines: on which data, and where.
        simulators: a line for each task whose episodes are of different versions; in Markdown.
        runs: of each experiment.
    """

    text: str
    data: Table
    machines: Table
    simulators: list[str]
    runs: list[Table]


def provenance(data: ReportData) -> Provenance:
    """Of all runs of a study."""
    once = provenance_frame(data.runs)
    return Provenance(
        text=_text(data, once),
        data=_data_table(data, once),
        machines=_machine_table(once),
        simulators=_mixed_simulators(data.runs),
        runs=[_run_table(data, experiment) for experiment in data.trained],
    )


def _text(data: ReportData, once: pd.DataFrame) -> str:
    if not len(once):
        return "Nothing was trained for this page; a table of times names the machine that they are of."
    dates = once["finished"].replace("", None).dropna().astype(str)
    span = f" They finished between {dates.min()} and {dates.max()}." if len(dates) else ""
    return (
        f"{len(once)} runs, {device_time(once['device_seconds'])}.{span} Every run, with machine, versions "
        "and dates: [tables/provenance.csv](tables/provenance.csv). Scores of every run: [scores.csv](scores.csv), "
        "averages: [metrics.json](metrics.json), curves: [curves.csv](curves.csv)"
        + (", published scores: [published.csv](published.csv)." if len(published_frame(data)) else ".")
    )


def device_time(seconds: pd.Series[float]) -> str:
    """How long devices trained for runs, from each run's share in seconds; in minutes below an hour."""
    unknown = int(seconds.isna().sum())
    if unknown == len(seconds):
        return "device time not recorded"
    total = float(seconds.sum())
    amount = f"{total / 3600:.1f} hours" if total >= 3600 else f"{total / 60:.1f} minutes"
    note = f" ({unknown} of them without a record)" if unknown else ""
    return f"{amount} of device time for training in all{note}, each pack counted once"


def _data_table(data: ReportData, once: pd.DataFrame) -> Table:
    header = (
        "Task",
        "Dataset",
        "Environment",
        "Episodes",
        "Steps",
        "Return (mean ± std, max)",
        "sha256",
        "Comparable",
    )
    rows = []
    for task in dict.fromkeys(task for experiment in data.trained for task in experiment.tasks):
        row = data.task_rows[task]
        mean, std, top = (data.task_number(task, f"data_return_{part}") for part in ("mean", "std", "max"))
        hashes = sorted({str(sha)[:12] for sha in once.loc[once["task"] == task, "dataset_sha256"]})
        found = [data.published_id(item.name, task) for item in data.trained if task in item.tasks]
        comparable = "yes" if any(found) else "no"
        counts = [f"{data.task_number(task, column):.0f}" for column in ("episodes", "steps")]
        spread = f"{mean_std(mean, std)}, {number(top)}"
        rows.append((task, str(row["dataset"]), str(row["env"]), *counts, spread, ", ".join(hashes), comparable))
    return _plain_table("Data", header, rows)


def _machine_table(once: pd.DataFrame) -> Table:
    groups = once.groupby(["machine", "device", "torch", "simulator"], sort=True, dropna=False)
    rows = [(*map(str, key), str(len(group))) for key, group in groups]
    return _plain_table("Machines", ("Machine", "Device", "torch", "Simulator", "Runs"), rows)


def _mixed_simulators(runs: pd.DataFrame) -> list[str]:
    """The tasks whose episodes were simulated by different versions, each with these."""
    lines = []
    for task, group in runs.groupby("task", sort=False):
        packages: dict[str, set[str]] = {}
        for found in "; ".join(group["simulator"]).replace("; ", ", ").split(", "):
            package, _, version = found.rpartition(" ")
            packages.setdefault(package, set()).add(version)
        # Of what is not recorded nothing is known.
        mixed = [f"{name} {' and '.join(sorted(seen))}" for name, seen in packages.items() if len(seen) > 1]
        lines += [f"{task}: {', '.join(mixed)}"] if mixed else []
    return lines


def _run_table(data: ReportData, experiment: Experiment) -> Table:
    rows = []
    runs = in_order(select(data.runs, experiment.name), experiment)
    for (task, variant, name), group in runs.groupby(["task", "variant", "run"], sort=True, observed=True):
        seeds = ", ".join(str(seed) for seed in sorted(group["seed"]))
        steps = ", ".join(str(step) for step in sorted(group["steps"].unique()))
        diverged = ", ".join(str(seed) for seed in sorted(group.loc[group["status"] == "diverged", "seed"]))
        rows.append((str(task), str(variant), str(name), seeds, steps, diverged or NONE))
    header = ("Task", "Variant", "Run", "Seeds", "Steps", "Diverged seeds")
    return _plain_table(experiment.title, header, rows)


def _plain_table(caption: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    """A table of the page alone: the numbers behind are in the file of all runs."""
    cells = tuple(tuple(Text(text) for text in row) for row in rows)
    return Table("", caption, header, cells, pd.DataFrame())
