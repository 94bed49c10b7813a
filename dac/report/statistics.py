"""From episodes to numbers: the paper's mean ± std protocol and the robust one of Agarwal et al. (2021).

Paper's protocol (arXiv 2405.20555): a run's score is the mean of its last evaluations during training, a cell
is the mean ± sample standard deviation over seeds. Robust protocol: `dac.report.aggregates`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from dac.report import bandit
from dac.report.aggregates import Array, Estimate, iqm_interval, percentiles
from dac.report.data import Experiment, ReportData, select
from dac.report.suites import scopes
from dac.study.params import ReportSettings

RUN = ["task", "variant", "seed"]


@dataclass(frozen=True)
class MeanScore:
    """Mean, sample standard deviation (NaN for one seed), seeds, and how many of the runs diverged.

    Of a partial page `planned` is the number of seeds that there will be; both numbers are NaN without any.
    """

    mean: float
    std: float
    seeds: int
    diverged: int = 0
    planned: int | None = None


@dataclass(frozen=True)
class Summary:
    """Everything the tables and figures of one experiment show.

    evaluations: as `evaluation_means` makes them. run_scores: task, variant, seed, score. cells: (task, variant) →
    MeanScore. robust: (task or one of `suites.scopes`, variant) → Estimate. curves: task, variant, step, mean, std,
    low, high (the band). action_samples: task, variant, action_samples, seeds, mean, std, low, high. window: how many
    evaluations a score is the mean of, smallest and largest. drawn: of one that shows a bandit `bandit.measures`.
    """

    experiment: Experiment
    evaluations: pd.DataFrame
    run_scores: pd.DataFrame
    cells: dict[tuple[str, str], MeanScore]
    robust: dict[tuple[str, str], Estimate]
    curves: pd.DataFrame
    action_samples: pd.DataFrame
    window: tuple[int, int]
    drawn: pd.DataFrame


def mean_score(values: Array, diverged: int = 0, planned: int | None = None) -> MeanScore:
    """Of (seeds,) scores."""
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    mean = float(values.mean()) if len(values) else math.nan
    return MeanScore(mean, deviation, len(values), diverged, planned)


def evaluation_means(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean score of every evaluation: columns task, variant, seed, step, score; sorted by all but the last."""
    return _visible(curves).groupby([*RUN, "step"], sort=True, as_index=False).agg({"score": "mean"})


def last_evaluations(means: pd.DataFrame, window: int) -> pd.DataFrame:
    """Of `evaluation_means`, those at the last `window` distinct steps of every run (all where a run has fewer)."""
    return means.groupby(RUN, sort=True).tail(window)


def run_scores(means: pd.DataFrame, window: int) -> pd.DataFrame:
    """Mean over the last `window` of a run's `evaluation_means`: columns task, variant, seed, score."""
    return last_evaluations(means, window).groupby(RUN, sort=True, as_index=False).agg({"score": "mean"})


def action_sample_scores(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Mean score over kept policies and episodes. Columns task, variant, action_samples, seed, score."""
    policy = ["task", "variant", "action_samples", "seed"]
    per_policy = _visible(evaluations).groupby([*policy, "step"], sort=True, as_index=False).agg({"score": "mean"})
    return per_policy.groupby(policy, sort=True, as_index=False).agg({"score": "mean"})


def best_scores(means: pd.DataFrame) -> pd.DataFrame:
    """The best single one of every run's `evaluation_means`: columns task, variant, seed, score."""
    return means.groupby(RUN, sort=True, as_index=False).agg({"score": "max"})


def band(values: Array, settings: ReportSettings) -> tuple[Array, Array]:
    """Lower and upper edge around the mean of float[seeds, points]; NaN for one seed.

    `sd`: one sample standard deviation to each side. `ci`: percentile bootstrap of the mean, whole seeds
    resampled.
    """
    seeds = len(values)
    if seeds < 2:
        nothing = np.full(values.shape[1], np.nan)
        return nothing, nothing
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    if settings.curve_band == "sd":
        return mean - spread, mean + spread
    generator = np.random.default_rng(settings.bootstrap_seed)
    counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=settings.bootstrap_samples)
    low, high = np.percentile(counts @ values / seeds, percentiles(settings), axis=0)
    return low, high


def squared_error(values: Array) -> tuple[float, int]:
    """Squared standard error of the mean of (n,) values, and n; NaN for a single one."""
    count = len(values)
    return (float(values.var(ddof=1)) / count if count > 1 else math.nan), count


def squared_errors(higher: Array, lower: Array, *, paired: bool) -> list[tuple[float, int]]:
    """Of the independent parts of a difference of means; see `interval`."""
    samples = [higher - lower] if paired or len(lower) == 1 else [higher, lower]
    return [squared_error(values) for values in samples]


def satterthwaite(
    mean: float, squared_errors: Sequence[tuple[float, int]], confidence: float, parts: int = 1
) -> tuple[float, float]:
    """Student's interval of a mean of `parts` differences, with Satterthwaite's degrees of freedom.

    Args:
        squared_errors: independent squared standard errors of the differences, each with its number of values.

    Returns:
        its bounds; NaN where an error is not finite.
    """
    variance = sum(term for term, _ in squared_errors) / parts**2
    if not math.isfinite(variance):
        return math.nan, math.nan
    if variance == 0:
        return mean, mean  # no value differs from another
    freedom = variance**2 / sum((term / parts**2) ** 2 / (count - 1) for term, count in squared_errors)
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(variance)
    return mean - half, mean + half


def interval(higher: Array, lower: Array, confidence: float, *, paired: bool) -> tuple[float, float]:
    """Student's interval of a difference of means: Welch's for independent seeds, of the differences where paired.

    Args:
        higher: (n,) with n >= 1. lower: (m,), or a single number that is known exactly.
        paired: both are of the same runs, in the same order.

    Returns:
        its bounds; NaN where a single seed, or a value that is not finite, leaves none.
    """
    if len(higher) < 2 or not (np.isfinite(higher).all() and np.isfinite(lower).all()):
        return math.nan, math.nan
    terms = squared_errors(higher, lower, paired=paired)
    return satterthwaite(float(higher.mean() - lower.mean()), terms, confidence)


def indistinguishable(samples: Sequence[Array], confidence: float) -> list[bool]:
    """Which samples have a mean that is not told apart from the highest: Welch's interval of the difference has 0.

    None where there is one sample alone, or none is finite. Of single seeds the highest alone.
    """
    whole = [len(sample) > 0 and bool(np.isfinite(sample).all()) for sample in samples]
    finite = [sample.mean() for sample, is_whole in zip(samples, whole, strict=True) if is_whole]
    if len(samples) < 2 or not finite:
        return [False] * len(samples)
    best = next(sample for sample in samples if len(sample) and sample.mean() == max(finite))
    return [
        bool(len(sample))
        and (sample.mean() == best.mean() or (is_whole and interval(best, sample, confidence, paired=False)[0] <= 0))
        for sample, is_whole in zip(samples, whole, strict=True)
    ]


def over_seeds(frame: pd.DataFrame, point: str, settings: ReportSettings) -> pd.DataFrame:
    """Aggregate a `score` over seeds at every value of the column `point`.

    Returns: columns task, variant, `point`, seeds, mean, std (sample, NaN for one seed), low, high.
    """
    columns = ["task", "variant", point, "seeds", "mean", "std", "low", "high"]
    parts = []
    for (task, variant), group in frame.groupby(["task", "variant"], sort=True):
        values, points = _matrix(group, point)
        seeds = len(values)
        with np.errstate(invalid="ignore"):  # of infinite scores
            std = values.std(axis=0, ddof=1) if seeds > 1 else np.full(len(points), np.nan)
        low, high = band(values, settings)
        names = ([name] * len(points) for name in (task, variant))
        parts.append((*names, points, [seeds] * len(points), values.mean(axis=0), std, low, high))
    # One table of all: one of each group would take longer than its numbers.
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return pd.DataFrame(dict(zip(columns, joined, strict=True)) if parts else {}, columns=columns)


def summarise(data: ReportData, experiment: Experiment) -> Summary:
    """All statistics of one experiment.

    Raises:
        ValueError: a task or variant of the experiment has no rows, or a seed is missing from some of its
        tasks.
    """
    if experiment.times_steps:
        return without_runs(experiment)
    means = evaluation_means(select(data.curves, experiment.name))
    settings = data.settings
    scores = as_planned(data, experiment, run_scores(means, settings.window))
    evaluations = last_evaluations(means, settings.window).groupby(RUN).size()
    kept = select(data.evaluations, experiment.name)
    return Summary(
        experiment=experiment,
        evaluations=means,
        run_scores=scores,
        cells=_cells(data, experiment, scores),
        robust=_robust(data, experiment, scores),
        curves=over_seeds(means, "step", settings),
        action_samples=over_seeds(action_sample_scores(kept), "action_samples", settings),
        window=(int(evaluations.min()), int(evaluations.max())) if len(evaluations) else (0, 0),
        drawn=bandit.measures(data, experiment) if "bandit" in experiment.show else pd.DataFrame(),
    )


def without_runs(experiment: Experiment) -> Summary:
    """Of an experiment whose steps are timed: it has no scores."""
    nothing = pd.DataFrame()
    return Summary(experiment, nothing, nothing, {}, {}, nothing, nothing, (0, 0), nothing)


def as_planned(data: ReportData, experiment: Experiment, scores: pd.DataFrame) -> pd.DataFrame:
    """Of a partial page, scores with a row for every run that there will be: NaN for those that are not there."""
    if data.planned is None:
        return scores
    every = pd.MultiIndex.from_product([experiment.tasks, experiment.variants, data.planned.seeds], names=RUN)
    return scores.set_index(RUN).reindex(every).reset_index()


def _cells(data: ReportData, experiment: Experiment, scores: pd.DataFrame) -> dict[tuple[str, str], MeanScore]:
    groups = {key: group["score"] for key, group in scores.groupby(["task", "variant"])}
    runs = select(data.runs, experiment.name)
    diverged = runs[runs["status"] == "diverged"].groupby(["task", "variant"]).size()
    cells = {}
    for task in experiment.tasks:
        for variant in experiment.variants:
            if (task, variant) not in groups:
                raise ValueError(f"experiment {experiment.name!r}: no evaluations of {task!r}, variant {variant!r}")
            planned = len(data.planned.seeds) if data.planned else None
            values = groups[task, variant].dropna().to_numpy()
            cells[task, variant] = mean_score(values, int(diverged.get((task, variant), 0)), planned)
    return cells


def _robust(data: ReportData, experiment: Experiment, scores: pd.DataFrame) -> dict[tuple[str, str], Estimate]:
    over = {**{task: [task] for task in experiment.tasks}, **scopes(data, experiment.tasks)}
    found = {}
    for variant in experiment.variants:
        matrix, names = _matrix(scores[scores["variant"] == variant], "task")
        for name, tasks in over.items():
            found[name, variant] = iqm_interval(_of_tasks(matrix, names, tasks), data.settings)
    return found


def score_matrix(scores: pd.DataFrame, tasks: Sequence[str], variant: str) -> Array:
    """float[seeds, tasks] of a variant, the tasks in this order.

    Of a partial page it has the seeds that all of these tasks have; there may be none.

    Args:
        scores: columns task, variant, seed, score; NaN of runs that are not there.

    Raises:
        ValueError: a seed is missing from some of the tasks.
    """
    matrix, names = _matrix(scores[scores["variant"] == variant], "task")
    return _of_tasks(matrix, names, tasks)


def _of_tasks(matrix: Array, names: np.ndarray, tasks: Sequence[str]) -> Array:
    """Of seeds × all tasks, by name, some tasks with the seeds that all of these have."""
    place = {name: index for index, name in enumerate(names)}
    ours: Array = matrix[:, [place[task] for task in tasks]]
    there: Array = ours[~np.isnan(ours).any(axis=1)]
    return there


def _matrix(frame: pd.DataFrame, point: str) -> tuple[Array, np.ndarray]:
    """`score` as seeds × `point`, and the points in order.

    A ragged table is an error: a mean over it would mix sets of seeds.
    """
    row, seeds = pd.factorize(frame["seed"].to_numpy(), sort=True)
    column, points = pd.factorize(frame[point].to_numpy(), sort=True)
    # A point's seeds side by side in memory, where a sum over them is the same in its last digit as one of pandas.
    values = np.full((len(seeds), len(points)), np.nan, order="F")
    times = np.zeros(values.shape, dtype=np.intp)
    values[row, column] = frame["score"]
    np.add.at(times, (row, column), 1)
    if (times != 1).any():
        matrix = pd.DataFrame(values, index=pd.Index(seeds, name="seed"), columns=pd.Index(points, name=point))
        raise ValueError(f"scores are missing for some seeds, or there twice, at some values of {point!r}:\n{matrix}")
    return values, points


def _visible(episodes: pd.DataFrame) -> pd.DataFrame:
    """NaN scores as infinity: pandas leaves NaN out of a mean, which would hide an episode that blew up."""
    return episodes.assign(score=episodes["score"].fillna(np.inf))
