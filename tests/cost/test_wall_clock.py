"""List scheduling, in numbers that can be counted on fingers."""

from __future__ import annotations

import pytest

from dac.cost.wall_clock import TimedJob, wall_clock


def test_tasks_fill_the_cores_in_their_order() -> None:
    tasks = [TimedJob("a", 3.0), TimedJob("b", 2.0), TimedJob("c", 2.0)]
    assert wall_clock(tasks, 1) == 7.0
    assert wall_clock(tasks, 2) == 4.0
    assert wall_clock(tasks, 3) == 3.0
    assert wall_clock([], 1) == 0.0


def test_a_task_waits_for_those_before_it_but_not_for_what_is_there() -> None:
    tasks = [TimedJob("train", 2.0, after=("data", "there")), TimedJob("data", 5.0), TimedJob("other", 4.0)]
    assert wall_clock(tasks, 2) == 7.0
    assert wall_clock(tasks, 1) == 11.0


def test_cores_of_a_task_and_gpus() -> None:
    wide = [TimedJob("a", 3.0, cores=2), TimedJob("b", 3.0, cores=2)]
    assert wall_clock(wide, 3) == 6.0
    assert wall_clock(wide, 4) == 3.0
    assert wall_clock([TimedJob("a", 3.0, cores=8)], 2) == 3.0
    cards = [TimedJob("a", 3.0, gpus=1), TimedJob("b", 3.0, gpus=1), TimedJob("c", 4.0)]
    assert wall_clock(cards, 8, 1) == 6.0
    assert wall_clock(cards, 8, 2) == 4.0
    assert wall_clock(cards, 8, 0) == 4.0


def test_a_circle_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a, b"):
        wall_clock([TimedJob("a", 1.0, after=("b",)), TimedJob("b", 1.0, after=("a",))], 2)
