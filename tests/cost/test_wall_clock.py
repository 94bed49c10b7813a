"""List scheduling, in numbers that can be counted on fingers."""

from __future__ import annotations

import pytest

from dac.cost.wall_clock import Activity, wall_clock


def test_activities_fill_the_cores_in_their_order() -> None:
    activities = [Activity("a", 3.0), Activity("b", 2.0), Activity("c", 2.0)]
    assert wall_clock(activities, 1) == 7.0
    assert wall_clock(activities, 2) == 4.0
    assert wall_clock(activities, 3) == 3.0
    assert wall_clock([], 1) == 0.0


def test_an_activity_waits_for_those_before_it_but_not_for_what_is_there() -> None:
    activities = [Activity("train", 2.0, after=("data", "there")), Activity("data", 5.0), Activity("other", 4.0)]
    assert wall_clock(activities, 2) == 7.0
    assert wall_clock(activities, 1) == 11.0


def test_cores_of_an_activity_and_gpus() -> None:
    wide = [Activity("a", 3.0, cores=2), Activity("b", 3.0, cores=2)]
    assert wall_clock(wide, 3) == 6.0
    assert wall_clock(wide, 4) == 3.0
    assert wall_clock([Activity("a", 3.0, cores=8)], 2) == 3.0
    cards = [Activity("a", 3.0, gpus=1), Activity("b", 3.0, gpus=1), Activity("c", 4.0)]
    assert wall_clock(cards, 8, 1) == 6.0
    assert wall_clock(cards, 8, 2) == 4.0
    assert wall_clock(cards, 8, 0) == 4.0


def test_a_circle_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a, b"):
        wall_clock([Activity("a", 1.0, after=("b",)), Activity("b", 1.0, after=("a",))], 2)
