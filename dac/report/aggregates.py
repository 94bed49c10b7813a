"""Aggregates over runs and tasks by the definitions of Agarwal et al. (2021, arXiv 2108.13264), with intervals.

All intervals are percentiles of a stratified bootstrap: every resample draws, for each task by itself, as many seeds
as there are, with replacement. The generator is local: two calls agree, and numpy's global random state is neither read
nor moved. The estimators are those of `rliable.library`; they are written out here because that module needs arch < 8,
which fails to import with pandas 3, and because it draws from numpy's global state whatever seed it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dac.study.params import ReportSettings

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A point estimate with its interval; the bounds are NaN where one seed leaves nothing to resample."""

    point: float
    low: float
    high: float


@dataclass(frozen=True)
class Profile:
    """A performance profile: at every threshold the share of runs above it, with its band; (thresholds,) each."""

    thresholds: Array
    share: Array
    low: Array
    high: Array


def interquartile_mean(scores: Array) -> float:
    """Mean of the middle half of all entries, 25 % cut from each end; NaN where an entry is not finite."""
    from rliable import metrics  # loads scipy.stats, see `iqm_interval`

    return float(metrics.aggregate_iqm(scores)) if np.isfinite(scores).all() else math.nan


def iqm_interval(scores: Array, settings: ReportSettings) -> Estimate:
    """Interquartile mean over seeds × tasks with its interval.

    Args:
        scores: float[seeds, tasks].
    """
    from scipy import stats  # takes half a second and 45 MB, which a process that only draws can do without

    seeds, tasks = scores.shape
    point = interquartile_mean(scores) if seeds else math.nan
    if seeds < 2 or not np.isfinite(point):
        return Estimate(point, math.nan, math.nan)
    generator = np.random.default_rng(settings.bootstrap_seed)
    drawn = generator.integers(seeds, size=(settings.bootstrap_samples, seeds, tasks))
    resampled = scores[drawn, np.arange(tasks)].reshape(settings.bootstrap_samples, -1)
    low, high = np.percentile(stats.trim_mean(resampled, 0.25, axis=1), percentiles(settings))
    return Estimate(point, float(low), float(high))


def performance_profile(scores: Array, thresholds: Array, settings: ReportSettings) -> Profile:
    """Share of all runs whose score is above each threshold (the run-score distribution), pointwise band.

    Args:
        scores: float[seeds, tasks]; no score that is not finite is above anything.
        thresholds: float[thresholds].
    """
    above = np.where(np.isfinite(scores), scores, -np.inf)[:, :, None] > thresholds  # seeds, tasks, thresholds
    share = above.mean(axis=(0, 1))
    seeds, tasks = scores.shape
    if seeds < 2:
        nothing = np.full(len(thresholds), math.nan)
        return Profile(thresholds, share, nothing, nothing)
    counts = _resampled_counts(np.random.default_rng(settings.bootstrap_seed), seeds, tasks, settings)
    resampled = counts.reshape(len(counts), -1) @ above.reshape(seeds * tasks, -1).astype(np.float64) / (seeds * tasks)
    low, high = np.percentile(resampled, percentiles(settings), axis=0)
    return Profile(thresholds, share, low, high)


def probability_of_improvement(higher: Array, lower: Array, settings: ReportSettings) -> Estimate:
    """How likely a run of one method is above a run of another on a task drawn at random; ties count half.

    Args:
        higher: float[seeds, tasks]. lower: float[other seeds, tasks], the same tasks in the same order.

    Returns:
        P(higher > lower), the mean over tasks; NaN where a score is not finite.
    """
    if not (np.isfinite(higher).all() and np.isfinite(lower).all()):
        return Estimate(math.nan, math.nan, math.nan)
    from rliable import metrics

    point = float(metrics.probability_of_improvement(higher, lower))
    (seeds, tasks), others = higher.shape, len(lower)
    if seeds < 2 or others < 2:
        return Estimate(point, math.nan, math.nan)
    difference = higher[:, None, :] - lower[None, :, :]  # seeds, others, tasks
    wins = np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))
    generator = np.random.default_rng(settings.bootstrap_seed)
    ours, theirs = (_resampled_counts(generator, count, tasks, settings) for count in (seeds, others))
    resampled = np.einsum("rit,ijt,rjt->r", ours, wins, theirs, optimize=True) / (seeds * others * tasks)
    low, high = np.percentile(resampled, percentiles(settings))
    return Estimate(point, float(low), float(high))


def profile_thresholds(matrices: Sequence[Array], points: int = 101) -> Array:
    """Thresholds, (points,), from where every run of some methods is above to where none is."""
    values = np.concatenate([matrix[np.isfinite(matrix)] for matrix in matrices])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 100.0)
    margin = 0.02 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, points)


def percentiles(settings: ReportSettings) -> tuple[float, float]:
    """Where the bounds of an interval are among resampled values, in per cent."""
    tail = 50 * (1 - settings.confidence)
    return tail, 100 - tail


def _resampled_counts(generator: np.random.Generator, seeds: int, tasks: int, settings: ReportSettings) -> Array:
    """How often each seed is drawn for each task: float[samples, seeds, tasks], each task by itself."""
    size = (settings.bootstrap_samples, tasks)
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=size).swapaxes(1, 2).astype(np.float64)
