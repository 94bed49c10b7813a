"""What is published, beside what a figure shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dac.report.data import Experiment, ReportData
from dac.report.published_marks import paper_place

Build = Callable[..., ReportData]
Make = Callable[..., Experiment]


@pytest.mark.parametrize(
    ("setting", "variants", "place"),
    [
        ("ensemble_size", ("2", "10"), 1),
        ("bc_threshold", ("1", "5"), 0),
        ("max_backup", ("true", "false"), 1),
        ("guidance", ("hard", "soft"), 1),
        ("ensemble_size", ("2", "5"), None),
        ("eval_interval", ("1", "2"), None),
    ],
)
def test_the_papers_value_is_found_however_it_is_spelt(
    setting: str, variants: tuple[str, ...], place: int | None, build: Build, experiment: Make
) -> None:
    data = build([experiment(variants=variants, varied=setting)], seeds=1)
    assert paper_place(data, data.experiments[0], "hopper-medium-v2") == place
    data.task_rows["hopper-medium-v2"]["published_id"] = None  # type: ignore[index]
    assert paper_place(data, data.experiments[0], "hopper-medium-v2") is None
