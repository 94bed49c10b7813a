"""Robust aggregates, against rliable's own code and against cases that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rliable import metrics
from rliable_library import rliable_library
from scipy.stats import trim_mean

from dac.report.aggregates import (
    interquartile_mean,
    iqm_interval,
    performance_profile,
    probability_of_improvement,
    profile_thresholds,
)
from dac.report.data import PageSettings

SETTINGS = PageSettings(bootstrap_samples=500)
MANY = PageSettings(bootstrap_samples=5000)
SCORES = np.random.default_rng(7).normal(60, 15, size=(8, 9))
OTHERS = np.random.default_rng(8).normal(55, 15, size=(5, 9))


def test_interquartile_mean_is_the_trimmed_mean_of_all_runs() -> None:
    assert interquartile_mean(SCORES) == pytest.approx(trim_mean(SCORES, 0.25, axis=None), abs=1e-12)
    assert interquartile_mean(np.array([[0.0], [1.0], [3.0], [100.0]])) == 2.0
    assert math.isnan(interquartile_mean(np.array([[0.0], [np.nan], [3.0], [100.0]])))


def test_the_interval_repeats_contains_the_point_and_leaves_the_global_state_alone() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    first = iqm_interval(SCORES, SETTINGS)
    np.random.seed(4)
    assert iqm_interval(SCORES, SETTINGS) == first
    assert first.low < first.point < first.high
    np.random.seed(3)
    iqm_interval(SCORES, SETTINGS)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]


def test_the_bootstrap_seed_and_the_confidence_matter() -> None:
    base = iqm_interval(SCORES, SETTINGS)
    other = iqm_interval(SCORES, PageSettings(bootstrap_samples=500, bootstrap_seed=1))
    narrow = iqm_interval(SCORES, PageSettings(bootstrap_samples=500, confidence=0.5))
    assert other.low != base.low
    assert base.low < narrow.low < narrow.high < base.high


def test_resampling_stays_within_tasks() -> None:
    # Seeds agree on every task, so every stratified resample equals the data, whatever the tasks' distances.
    scores = np.tile([0.0, 50.0, 100.0, 1000.0], (5, 1))
    estimate = iqm_interval(scores, SETTINGS)
    assert (estimate.low, estimate.point, estimate.high) == (75.0, 75.0, 75.0)


def test_the_interval_of_the_iqm_agrees_with_rliable() -> None:
    np.random.seed(0)
    _, theirs = rliable_library().get_interval_estimates(
        {"dac": SCORES}, lambda scores: np.array([metrics.aggregate_iqm(scores)]), reps=5000
    )
    ours = iqm_interval(SCORES, MANY)
    spread = ours.high - ours.low
    assert [ours.low, ours.high] == pytest.approx(theirs["dac"].ravel().tolist(), abs=0.05 * spread)


def test_the_performance_profile_agrees_with_rliable() -> None:
    thresholds = np.linspace(20, 100, 9)
    np.random.seed(0)
    points, intervals = rliable_library().create_performance_profile({"dac": SCORES}, thresholds, reps=2000)
    ours = performance_profile(SCORES, thresholds, MANY)
    assert ours.share == pytest.approx(points["dac"], abs=1e-12)
    # 72 runs: a bound is a multiple of 1/72, and a neighbouring one in either bootstrap.
    assert np.stack([ours.low, ours.high]) == pytest.approx(intervals["dac"], abs=1.01 / 72)
    assert (ours.high - ours.low).max() > 0.1


def test_the_profile_counts_runs_above_each_threshold() -> None:
    scores = np.array([[0.0, 10.0], [20.0, 30.0]])
    profile = performance_profile(scores, np.array([-1.0, 0.0, 10.0, 25.0, 30.0]), SETTINGS)
    assert profile.share.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]  # a score at the threshold is not above it
    # Of a task with one run above and one below, a resample has 0, 1 or 2 above.
    assert (profile.low[2], profile.high[2]) == (0.0, 1.0)
    assert (profile.low[0], profile.high[0], profile.high[-1]) == (1.0, 1.0, 0.0)
    single = performance_profile(scores[:1], np.array([5.0]), SETTINGS)
    assert single.share.tolist() == [0.5] and np.isnan(single.low).all() and np.isnan(single.high).all()
    broken = performance_profile(np.array([[np.inf, 10.0]]), np.array([5.0]), SETTINGS)
    assert broken.share.tolist() == [0.5]


def test_thresholds_reach_from_all_runs_to_none() -> None:
    thresholds = profile_thresholds([SCORES, OTHERS])
    for scores in (SCORES, OTHERS):
        share = performance_profile(scores, thresholds, SETTINGS).share
        assert (share[0], share[-1]) == (1.0, 0.0)


def test_the_probability_of_improvement_agrees_with_rliable() -> None:
    ours = probability_of_improvement(SCORES, OTHERS, MANY)
    assert ours.point == pytest.approx(metrics.probability_of_improvement(SCORES, OTHERS), abs=1e-12)
    np.random.seed(0)
    library = rliable_library()
    _, theirs = library.get_interval_estimates(
        {"x,y": [SCORES, OTHERS]}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=1000
    )
    spread = ours.high - ours.low
    assert [ours.low, ours.high] == pytest.approx(theirs["x,y"].ravel().tolist(), abs=0.08 * spread)


def test_the_probability_of_improvement_by_hand() -> None:
    higher, lower = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 5.0], [0.0, 5.0], [1.0, 5.0]])
    # First task: of six pairs 0 < 1, 1 = 1, and 3 above all: 1 + 0.5 + 3; second: all equal.
    expected = ((1 + 0.5 + 3) / 6 + 0.5) / 2
    assert probability_of_improvement(higher, lower, SETTINGS).point == pytest.approx(expected)
    assert probability_of_improvement(lower, higher, SETTINGS).point == pytest.approx(1 - expected)
    single = probability_of_improvement(higher[:1], lower, SETTINGS)
    assert math.isfinite(single.point) and math.isnan(single.low)
    assert math.isnan(probability_of_improvement(np.array([[np.inf]]), np.array([[1.0]]), SETTINGS).point)


def test_whoever_always_wins_has_no_doubt() -> None:
    estimate = probability_of_improvement(SCORES + 1000, OTHERS, SETTINGS)
    assert (estimate.low, estimate.point, estimate.high) == pytest.approx((1.0, 1.0, 1.0))
