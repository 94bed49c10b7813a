"""How numbers are written in tables."""

from __future__ import annotations

from dac.report.table import mean_std, number


def test_numbers() -> None:
    assert [number(value) for value in (1.25, -0.04, float("nan"), float("inf"))] == ["1.2", "0.0", "–", "–"]
    assert mean_std(95.77, 3.87) == "95.8 ± 3.9"
    assert mean_std(95.77, float("nan")) == "95.8 ± –"
    assert mean_std(95.77, None) == "95.8"
