"""What the figures of scores share: their axis, the scores of the data in it, sentences of their captions."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes

from dac.report.data import ReportData
from dac.report.panels import level
from dac.report.suites import ANTMAZE, suite_of

SCORE, SUCCESS = "Normalised score", "Success rate (%)"
DASHED = "Dashed grey: mean score of the data, or a note where it is far away."


def score_label(data: ReportData) -> Callable[[str], str]:
    """Of a task's axis of scores: an AntMaze's score is the share of its episodes that reach the goal."""
    return lambda task: SUCCESS if suite_of(data, task) == ANTMAZE else SCORE


def end_at_success(data: ReportData, axis: Axes, task: str) -> None:
    """No rate is above 100 %, whatever a band says."""
    bottom, top = axis.get_ylim()
    if suite_of(data, task) == ANTMAZE:
        axis.set_ylim(max(bottom, -2), min(top, 102))


def data_mean(data: ReportData, axis: Axes, task: str) -> None:
    level(axis, data.task_number(task, "data_score_mean"), "data mean", "--")


def around(data: ReportData) -> str:
    """What lines and bands over seeds are, in a sentence."""
    band = {
        "sd": "one sample standard deviation",
        "ci": f"{100 * data.settings.confidence:g} % bootstrap interval",
    }
    return f"Lines: mean over seeds; band: {band[data.settings.curve_band]} over seeds."
