"""The curves that a browser draws: means over seeds with their bands, and published ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.colors import to_hex

from dac.report.data import ReportData
from dac.report.panels import Look, looks
from dac.report.published_marks import smoothed_curve
from dac.report.statistics import Summary
from dac.report.symbols import assigned

DIGITS = 2


def curve_lines(data: ReportData, summaries: Sequence[Summary]) -> dict[str, list[dict[str, Any]]]:
    """By experiment that shows curves a chart per task: task, steps, and lines.

    A line is a name, a colour, its dashes, and mean, low and high at every step; None where there is none.
    """
    look = looks(data)
    return {
        summary.experiment.name: [
            _chart(data, summary, task, look)
            for task in summary.experiment.tasks
            if task in set(summary.curves["task"])  # of a partial page one may have no run
        ]
        for summary in summaries
        if "curves" in summary.experiment.show
    }


def _chart(data: ReportData, summary: Summary, task: str, look: dict[tuple[str, str], Look]) -> dict[str, Any]:
    experiment = summary.experiment
    points = summary.curves[summary.curves["task"] == task]
    theirs = smoothed_curve(data, experiment.name, task, float(points["step"].max()))
    steps = sorted({*points["step"], *theirs["step"]})
    lines = []
    for variant in experiment.variants:
        drawn = look[experiment.name, variant]
        dashes = [] if drawn.dashes == "-" else [1.5 * length for length in drawn.dashes[1]]
        frame = points[points["variant"] == variant]
        name = assigned(experiment.varied, variant)
        lines.append({"name": name, "colour": to_hex(drawn.colour), "dashes": dashes, **_values(frame, steps)})
    if not theirs.empty:
        lines.append({"name": "DAC (published)", "colour": "", "dashes": [], **_values(theirs, steps)})
    return {"task": task, "steps": [int(step) for step in steps], "lines": lines}


def _values(frame: pd.DataFrame, steps: list[float]) -> dict[str, list[float | None]]:
    found = frame.set_index("step").reindex(steps)
    columns = {name: found[name].to_numpy(dtype=float).tolist() for name in ("mean", "low", "high")}
    return {
        name: [round(value, DIGITS) if math.isfinite(value) else None for value in values]
        for name, values in columns.items()
    }
