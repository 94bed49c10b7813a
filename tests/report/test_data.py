from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from dac.report.data import Experiment, ReportData, refuse_mixed_datasets
from dac.system.errors import UserError


def test_runs_on_different_bytes_of_one_dataset_are_refused(build: Callable[..., ReportData]) -> None:
    data = build(sha={("own_hopper", 2): "d" * 64})
    with pytest.raises(UserError) as error:
        refuse_mixed_datasets(data)
    message = str(error.value)
    remake = message.split("Re-make: ")[1]
    assert "'own_hopper'" in message
    assert "own_hopper/soft-ab12cd34ef56/seed-2" in remake
    assert "own_hopper/bc_only-ab12cd34ef56/seed-2" in remake
    assert "seed-1" not in remake
    assert "hopper-medium-v2" not in message


def test_equally_common_hashes_keep_the_latest_run(build: Callable[..., ReportData]) -> None:
    data = build(seeds=2, sha={("own_hopper", 0): "f" * 64})
    with pytest.raises(UserError) as error:
        refuse_mixed_datasets(data)
    remake = str(error.value).split("Re-make: ")[1]
    assert "seed-0" in remake
    assert "seed-1" not in remake


def test_a_run_shared_by_experiments_counts_once_and_equal_hashes_pass(
    build: Callable[..., ReportData], experiment: Callable[..., Experiment]
) -> None:
    refuse_mixed_datasets(build([experiment(), experiment(name="again")]))


def test_published_identity_needs_comparability(data: ReportData) -> None:
    assert data.published_id("guidance", "hopper-medium-v2") == "hopper-medium-v2"
    assert data.task_rows["own_hopper"]["published_id"] == "hopper-medium-v2"
    assert data.published_id("guidance", "own_hopper") is None
    assert data.published_id("another", "hopper-medium-v2") is None  # it was not looked at


def test_missing_columns_and_unknown_items_are_named(data: ReportData, experiment: Callable[..., Experiment]) -> None:
    frames = {name: getattr(data, name) for name in ("evaluations", "runs", "tasks")}
    with pytest.raises(ValueError, match=r"'curves' lacks the columns \['score'\]"):
        ReportData("s", "", (), data.settings, curves=data.curves.drop(columns="score"), **frames)
    with pytest.raises(ValueError, match=r"cannot show \['table'\]"):
        experiment(show=("table",))


def test_unknown_numbers_are_nan(data: ReportData) -> None:
    for unknown in (None, pd.NA, float("nan")):
        data.task_rows["own_hopper"]["data_score_mean"] = unknown  # type: ignore[index]
        assert pd.isna(data.task_number("own_hopper", "data_score_mean"))
