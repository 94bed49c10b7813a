"""List scheduling, in numbers that can be counted on fingers."""

from __future__ import annotations

import pytest

from dac.cost.wall_clock import Task, wall_clock


def test_tasks_fill_the_cores_in_their_order() -> None:
    tasks = [Task("a", 3.0), Task("b", 2.0), Task("c", 2.0)]
    assert wall_clock(tasks, 1) == 7.0
    assert wall_clock(tasks, 2) == 4.0
    assert wall_clock(tasks, 3) == 3.0
    assert wall_clock([], 1) == 0.0


def test_a_task_waits_for_those_before_it_but_not_for_what_is_there() -> None:
    tasks = [Task("train", 2.0, after=("data", "there")), Task("data", 5.0), Task("other", 4.0)]
    assert wall_clock(tasks, 2) == 7.0
    assert wall_clock(tasks, 1) == 11.0


def test_cores_of_a_task_and_gpus() -> None:
    wide = [Task("a", 3.0, cores=2), Task("b", 3.0, cores=2)]
    assert wall_clock(wide, 3) == 6.0
    assert wall_clock(wide, 4) == 3.0
    assert wall_clock([Task("a", 3.0, cores=8)], 2) == 3.0
    cards = [Task("a", 3.0, gpus=1), Task("b", 3.0, gpus=1), Task("c", 4.0)]
    assert wall_clock(cards, 8, 1) == 6.0
    assert wall_clock(cards, 8, 2) == 4.0
    assert wall_clock(cards, 8, 0) == 4.0


def test_a_circle_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a, b"):
        wall_clock([Task("a", 1.0, after=("b",)), Task("b", 1.0, after=("a",))], 2)
