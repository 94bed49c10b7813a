from __future__ import annotations

import pytest

from dac.system import durations


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05")])
def test_a_clock_shows_hours_only_where_there_are_some(seconds: float, text: str) -> None:
    assert durations.clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (40, "40 s"),
        (119, "119 s"),
        (120, "2 min"),
        (4680, "78 min"),
        (7200, "2.0 h"),
        (19800, "5.5 h"),
        (40 * 3600, "40 h"),
        (3.1 * 86400, "3.1 d"),
        (1234 * 86400, "1,234 d"),
    ],
)
def test_an_estimate_is_rounded_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert durations.rounded(seconds) == text
