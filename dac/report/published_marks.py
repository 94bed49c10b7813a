"""What is published, beside what a figure shows: the paper's values of settings and its curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dac.report import published
from dac.report.comparable import paper_value
from dac.report.data import Experiment, ReportData
from dac.report.panels import numbers_of


def paper_place(data: ReportData, experiment: Experiment, task: str) -> int | None:
    """Which variant of a swept setting has the paper's value on a task of the paper's; None where that is not known."""
    identity = data.task_rows[task]["published_id"]
    if experiment.varied is None or not isinstance(identity, str):
        return None
    theirs = paper_value(experiment.varied, identity)
    return next((i for i, variant in enumerate(experiment.variants) if _same_value(variant, theirs)), None)


def _same_value(variant: str, value: object) -> bool:
    """Whether a variant's name spells a setting's value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return variant == (str(value).lower() if isinstance(value, bool) else str(value))
    return numbers_of([variant]) == [value]


def has_published_curve(data: ReportData, experiment: Experiment) -> bool:
    """Whether a published curve is drawn on some panel."""
    found = (data.published_id(experiment.name, task) for task in experiment.tasks)
    return any(identity and not published.curve(identity).empty for identity in found)


def smoothed_curve(data: ReportData, experiment: str, task: str, last_step: float) -> pd.DataFrame:
    """The published curve of a task up to a step, each point the mean of as many evaluations as a score is.

    Returns:
        step, mean, low and high (one standard deviation around it); empty where there is none.
    """
    identity = data.published_id(experiment, task)
    line = published.curve(identity) if identity else pd.DataFrame(columns=["step", "mean", "std"])
    line = line[line["step"] <= last_step]
    smooth = line[["mean", "std"]].rolling(data.settings.window, min_periods=1).mean()
    low, high = smooth["mean"] - smooth["std"], smooth["mean"] + smooth["std"]
    return pd.DataFrame({"step": line["step"], "mean": smooth["mean"], "low": low, "high": high})


def published_curve(
    data: ReportData, axis: Axes, experiment: str, task: str, last_step: float, unit: float
) -> pd.Series:
    """The published curve behind ours: black and thin, see `smoothed_curve`.

    Returns:
        its means by step; empty where there is none.
    """
    line = smoothed_curve(data, experiment, task, last_step)
    if line.empty:
        return pd.Series(dtype=float)
    x = line["step"] / unit
    axis.plot(x, line["mean"], color="black", linewidth=0.7, label="published", zorder=1.5)
    axis.fill_between(x, line["low"], line["high"], color="black", alpha=0.1, linewidth=0, zorder=1)
    return pd.Series(line["mean"].to_numpy(), index=line["step"].to_numpy())


def fit_to_late_steps(axis: Axes, points: pd.DataFrame, published_means: pd.Series) -> None:
    """Fit the axis to the second half of the training where earlier values would more than double its range.

    Args:
        points: what the panel shows. published_means: by step, what was published; it stays in view.
    """
    half = points["step"].max() / 2
    late = points.loc[points["step"] >= half, ["mean", "low", "high"]].to_numpy().ravel()
    values = np.concatenate([late, published_means[published_means.index >= half].to_numpy()])
    values = values[np.isfinite(values)]
    if not values.size:
        return
    span, (bottom, top) = np.ptp(values), axis.get_ylim()
    if top - bottom > 2.2 * span > 0:
        # A steady end of a rise from far below would fill the panel with its noise: a fifth of the rise stays.
        span = max(span, (top - bottom) / 5)
        axis.set_ylim(max(bottom, values.min() - 0.5 * span), min(top, values.max() + 0.2 * span))
