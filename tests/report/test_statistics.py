from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dac.report.data import PageSettings, ReportData
from dac.report.statistics import (
    band,
    evaluation_means,
    last_evaluations,
    run_scores,
    summarise,
)
from dac.report.suites import ALL_TASKS


def _curves(rows: list[tuple[int, int, float]]) -> pd.DataFrame:
    """Rows of (seed, step, score) as one run's curve frame."""
    frame = pd.DataFrame(rows, columns=["seed", "step", "score"])
    return frame.assign(task="t", variant="v")


def test_a_score_is_the_mean_of_the_last_distinct_steps_whatever_the_row_order() -> None:
    curves = _curves([(0, 30, 9.0), (0, 10, 1.0), (0, 20, 4.0), (0, 30, 11.0), (0, 20, 8.0), (0, 0, -50.0)])
    assert last_evaluations(evaluation_means(curves), 2)["step"].tolist() == [20, 30]
    assert run_scores(evaluation_means(curves), 2)["score"].tolist() == [(6.0 + 10.0) / 2]


def test_every_evaluation_weighs_the_same_however_many_episodes_it_has() -> None:
    curves = _curves([(0, 10, 2.0), (0, 20, 4.0), (0, 20, 6.0), (0, 20, 8.0)])
    assert evaluation_means(curves)["score"].tolist() == [2.0, 6.0]
    assert run_scores(evaluation_means(curves), 5)["score"].tolist() == [4.0]


def test_a_cell_is_mean_and_sample_deviation_over_seeds(data: ReportData) -> None:
    # Last two steps, 2000 and 3000, two episodes: 50 + 2 * 4 + seed² + 2.5 + 0.25.
    values = [60.75, 61.75, 64.75, 69.75]
    summary = summarise(data, data.experiments[0])
    cell = summary.cells["hopper-medium-v2", "soft"]
    assert cell.mean == 64.25
    assert cell.std == pytest.approx(math.sqrt(sum((value - 64.25) ** 2 for value in values) / 3))
    assert (cell.seeds, cell.diverged, summary.window) == (4, 0, (2, 2))


def test_one_seed_has_neither_deviation_nor_interval(build: Callable[..., ReportData]) -> None:
    data = build(seeds=1)
    summary = summarise(data, data.experiments[0])
    assert math.isnan(summary.cells["hopper-medium-v2", "soft"].std)
    assert math.isnan(summary.robust[ALL_TASKS, "soft"].low)
    assert summary.curves["low"].isna().all()


def test_a_run_with_fewer_evaluations_than_the_window_uses_all(build: Callable[..., ReportData]) -> None:
    data = build(settings=PageSettings(window=9, bootstrap_samples=100))
    assert summarise(data, data.experiments[0]).window == (4, 4)


def test_bands() -> None:
    values = np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 10.0]])
    low, high = band(values, PageSettings(curve_band="sd"))
    assert low.tolist() == [1.0, 10.0]
    assert high.tolist() == [5.0, 10.0]
    low, high = band(values, PageSettings(curve_band="ci"))
    assert 1.0 <= low[0] < 3.0 < high[0] <= 5.0
    assert low[1] == high[1] == pytest.approx(10.0)


def test_action_samples_average_policies_and_episodes_then_seeds(data: ReportData) -> None:
    points = summarise(data, data.experiments[0]).action_samples
    cell = points[(points["task"] == "hopper-medium-v2") & (points["variant"] == "soft")]
    assert cell["action_samples"].tolist() == [1, 4]
    assert cell["mean"].tolist() == [64.25, 66.25]
    assert cell["seeds"].tolist() == [4, 4]


def test_ragged_seeds_are_refused(data: ReportData) -> None:
    gone = (data.curves["task"] == "own_hopper") & (data.curves["seed"] == 2)
    short = replace(data, curves=data.curves[~gone])
    with pytest.raises(ValueError, match="missing for some seeds"):
        summarise(short, data.experiments[0])
