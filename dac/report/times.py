"""What was timed: milliseconds of gradient steps, and the machines that they are of."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pandas as pd

from dac.report.data import Experiment, ReportData, select
from dac.report.published import REFERENCE
from dac.study import timings
from dac.study.plan import StudyPlan

MEASURES = {"step_ms": "a gradient step", "actor_ms": "the actor's update alone"}
# What times must have in common to be compared.
MACHINE = ["machine", "device", "threads", "compiled", "torch"]


def rows_of(plan: StudyPlan) -> Iterator[dict[str, object]]:
    """A row of `ReportData.times` for every time that a study's experiments show.

    Raises:
        UserError: a timing is not in the store.
    """
    for cell in plan.timed:
        content = timings.recorded(cell.timing)
        made = content["provenance"]
        for number, repeat in enumerate(content["repeats"]):
            yield {
                "experiment": cell.experiment,
                "task": cell.task,
                "variant": cell.variant,
                "value": float(cell.value),
                "repeat": number,
                **repeat,
                "machine": made["machine"],
                "device": made["device"],
                "threads": made["threads"],
                "compiled": made.get("compiled", False),
                "torch": made.get("versions", {}).get("torch", "not recorded"),
                "timing": cell.timing.name,
            }


@dataclass(frozen=True)
class PublishedRatio:
    """How many times as long a published method takes for a batch update as another."""

    method: str
    over: str
    ratio: float
    source: str


@cache
def _published_ratios() -> dict[float, PublishedRatio]:
    with (REFERENCE / "published_times.csv").open(encoding="utf-8", newline="") as stream:
        return {
            float(row["diffusion_steps"]): PublishedRatio(
                row["method"], row["over"], float(row["ratio"]), row["source"]
            )
            for row in csv.DictReader(stream)
        }


def published_ratio(diffusion_steps: float) -> PublishedRatio | None:
    """The paper's ratio of Diffusion-QL's time to DAC's at a number of diffusion steps, if one is known."""
    return _published_ratios().get(diffusion_steps)


def means(data: ReportData, experiment: Experiment) -> pd.DataFrame:
    """Over repeats, a row for every task, machine, variant and value, in the experiment's order.

    Returns:
        task, the columns of MACHINE, variant, value, repeats, and of each of MEASURES its mean, its sample standard
        deviation (`…_std`), how often that of the lowest value it is (`…_growth`) and how often that of the first
        variant (`…_ratio`), on the same machine; NaN where that has no such time.
    """
    times = select(data.times, experiment.name)
    key = ["task", *MACHINE, "variant", "value"]
    grouped = times.groupby(key, sort=False)
    frame = grouped.size().rename("repeats").reset_index()
    for measure in MEASURES:
        of = grouped[measure].agg(["mean", "std"]).reset_index()
        frame[measure], frame[f"{measure}_std"] = of["mean"], of["std"]
        lowest = frame[frame["value"] == times["value"].min()]
        first = frame[frame["variant"] == experiment.variants[0]]
        frame[f"{measure}_growth"] = frame[measure] / _beside(frame, lowest, ["task", *MACHINE, "variant"], measure)
        frame[f"{measure}_ratio"] = frame[measure] / _beside(frame, first, ["task", *MACHINE, "value"], measure)
    ordered = frame.assign(
        task=pd.Categorical(frame["task"], experiment.tasks, ordered=True),
        variant=pd.Categorical(frame["variant"], experiment.variants, ordered=True),
    ).sort_values(["task", *MACHINE, "value", "variant"])
    return ordered.astype({"task": str, "variant": str}).reset_index(drop=True)


def _beside(frame: pd.DataFrame, base: pd.DataFrame, key: list[str], measure: str) -> pd.Series:
    """For every row of a frame the number of a base that agrees with it in some columns."""
    return frame[key].merge(base[[*key, measure]], on=key, how="left", validate="many_to_one")[measure]


def machine_text(row: pd.Series) -> str:
    """A machine in words."""
    threads = f"{row['threads']} thread{'' if row['threads'] == 1 else 's'}"
    where = threads if row["device"] == "cpu" else f"{row['device']}, {threads}"
    compiled = ", compiled networks" if row["compiled"] else ""
    return f"{row['machine']} ({where}{compiled}, torch {row['torch']})"
