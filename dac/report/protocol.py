"""How the numbers of a page were made, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dac.report.comparable import PAPER_SEEDS
from dac.report.data import ReportData
from dac.report.statistics import Summary


def protocol(data: ReportData, summaries: Sequence[Summary]) -> list[str]:
    """How the numbers of a page were made, in items of a Markdown list without their marks."""
    bandits = _bandit_protocol() if any("bandit" in experiment.show for experiment in data.experiments) else []
    timed = _timing_protocol() if len(data.trained) < len(data.experiments) else []
    divergence = [_divergence(data.runs)] if data.trained else []
    if not any(experiment.shows_scores for experiment in data.experiments):
        return [*bandits, *timed, *divergence]
    settings = data.settings
    percent = f"{100 * settings.confidence:g} %"
    band = "one sample standard deviation" if settings.curve_band == "sd" else f"the {percent} bootstrap interval"
    return [
        "**Score.** Normalised score 100 (return − reference minimum) / (reference maximum − reference minimum).",
        f"**Paper's protocol.** A run's score is the mean of its last {_window(data, summaries)} "
        f"evaluations during training, each the mean of {_episodes(data)} episodes. A cell is the "
        "mean ± sample standard deviation over seeds (ddof = 1).",
        "**Robust protocol.** Interquartile mean over runs with a "
        f"{percent} percentile interval of the stratified bootstrap (Agarwal et al. 2021; "
        f"{settings.bootstrap_samples} resamples of seeds within every task, random seed "
        f"{settings.bootstrap_seed}).",
        f"**Figures.** Lines are means over seeds; the band of a curve is {band} over seeds.",
        "**Published scores** stand in tables and figures only where some cell of the task is of the published data, "
        f"in D4RL's environment, at the paper's settings and evaluation protocol, with {PAPER_SEEDS} seeds or more; "
        "another cell of that row says by a letter in what it differs. Where a page asks whether the paper was "
        "reproduced they are quoted at any number of seeds. They are not measured here, and were evaluated with an "
        "older simulator (docs/tasks.md).",
        *bandits,
        *timed,
        *divergence,
    ]


def _timing_protocol() -> list[str]:
    return [
        "**Times** are of gradient steps of one run on random data of the task's sizes, while no other job of the "
        "workflow ran on the machine; they say what a step costs there, and nothing of what is learned."
    ]


def _bandit_protocol() -> list[str]:
    return [
        "**Bandit.** A run is measured by the actions that its last policy draws, one sample each and none chosen by "
        "Q. A cell is the mean ± sample standard deviation over seeds (ddof = 1). The paper shows a figure alone: "
        "there are no published numbers to stand beside these."
    ]


def _window(data: ReportData, summaries: Sequence[Summary]) -> str:
    fewest = min(summary.window[0] for summary in summaries if summary.experiment.shows_scores)
    window = data.settings.window
    return str(window) if fewest >= window else f"{window} (all of them where a run has fewer: at least {fewest})"


def _episodes(data: ReportData) -> str:
    key = ["experiment", "task", "variant", "seed", "step"]
    scored = [experiment.name for experiment in data.experiments if experiment.shows_scores]
    curves = data.curves[data.curves["experiment"].isin(scored)]
    counts = sorted(curves.groupby(key)["episodes"].sum().unique())
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _divergence(runs: pd.DataFrame) -> str:
    once = runs.drop_duplicates(["task", "run", "seed"])
    count = int((once["status"] == "diverged").sum())
    if not count:
        return f"**Divergence.** None of the {len(once)} runs diverged."
    return (
        f"**Divergence.** {count} of the {len(once)} runs diverged (a loss was not finite), marked † with "
        "their number. Such a run stops learning and its evaluations continue with the frozen policy: it "
        "counts in every mean and interval with the scores as recorded."
    )
