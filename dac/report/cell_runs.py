"""Where the number in a cell comes from: its runs, their settings and data, and the commands that make them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dac.report.data import Experiment, ReportData, in_order, select
from dac.report.made_with import described, differing
from dac.report.statistics import Summary
from dac.report.symbols import assigned
from dac.report.table import Cell, number
from dac.system.paths import LOGS, RUNS

HEADER = ("Seed", "Score", "Status", "Steps", "Machine", "Device", "torch", "Simulator", "Finished")


def cell_runs(data: ReportData, summaries: Sequence[Summary]) -> dict[Cell, dict[str, Any]]:
    """By experiment, task and variant what a page shows of a cell's runs, where it has some: texts alone.

    title, facts (pairs of a name and a text), runs (a row per seed, its columns are `HEADER`) and commands.
    """
    found = {}
    for summary in summaries:
        experiment = summary.experiment
        if experiment.times_steps:
            continue  # it has times, and no runs
        runs = in_order(select(data.runs, experiment.name), experiment)
        runs = runs.astype({"task": str, "variant": str}).merge(
            summary.run_scores, on=["task", "variant", "seed"], validate="one_to_one"
        )
        for (task, variant), rows in runs.groupby(["task", "variant"]):
            key = (experiment.name, str(task), str(variant))
            found[key] = _described(data, experiment, key, rows.sort_values("seed").to_dict("records"))
    return found


def _described(data: ReportData, experiment: Experiment, key: Cell, runs: list[dict[Any, Any]]) -> dict[str, Any]:
    _, task, variant = key
    folders = dict.fromkeys(f"{task}/{run['run']}" for run in runs)
    row = data.task_rows[task]
    return {
        "title": f"{experiment.title}: {task}, {assigned(experiment.varied, variant)}",
        "facts": [
            ("Settings that differ from the defaults", described(differing(data.made_with[key]))),
            ("Dataset", str(row["dataset"])),
            ("sha256 of the data", ", ".join(dict.fromkeys(str(run["dataset_sha256"]) for run in runs))),
            ("Environment", str(row["env"])),
            ("Runs", ", ".join(f"{RUNS}/{folder}" for folder in folders)),
            ("Logs, where they were trained", ", ".join(f"{LOGS}/train/{folder}" for folder in folders)),
        ],
        "runs": [_row(run, shows_scores=experiment.shows_scores) for run in runs],
        "commands": [*(f"rm -r {RUNS}/{folder}" for folder in folders), f"snakemake {data.study} --cores all"],
    }


def _row(run: dict[Any, Any], *, shows_scores: bool) -> list[str]:
    made = [str(run[name]) for name in ("machine", "device", "torch", "simulator", "finished")]
    score = number(run["score"]) if shows_scores else ""
    return [str(run["seed"]), score, str(run["status"]), f"{run['steps']:,}", *made]
