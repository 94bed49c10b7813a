from __future__ import annotations

from collections.abc import Mapping

from dac.report.data import ReportData
from dac.report.suites import average_name, scope_title, scopes, suites


def test_only_all_of_a_suite_is_its_average(data: ReportData) -> None:
    nine = [f"{env}-{level}" for env in ("halfcheetah", "hopper", "walker2d") for level in ("m", "m-r", "m-e")]
    levels = {"m": "medium", "m-r": "medium-replay", "m-e": "medium-expert"}
    ids = {task: f"d4rl:{task.split('-', 1)[0]}-{levels[task.split('-', 1)[1]]}-v2" for task in nine}
    object.__setattr__(data, "task_rows", {task: {"dataset": name, "env": "x"} for task, name in ids.items()})
    assert average_name(data, "Locomotion", nine) == "Locomotion average"
    assert average_name(data, "Locomotion", nine[:3]) == "Average of these 3 tasks (x)"


def test_suites_are_told_apart(data: ReportData) -> None:
    rows = {
        "a": {"dataset": "file:my.hdf5", "env": "AntMaze_UMaze-v5"},
        "hopper-antmaze": {"dataset": "file:antmaze/hopper.hdf5", "env": "Ant-v5"},
        "p": {"dataset": "D4RL/pen/human-v2", "env": "AdroitHandPen-v1"},
        "o": {"dataset": "open-field", "env": "OpenField-v0"},
        "w": {"dataset": "mine", "env": "Walker2d-v5"},
    }
    object.__setattr__(data, "task_rows", rows)
    assert suites(data, list(rows)) == [("AntMaze", ["a"]), ("Adroit", ["p"]), ("Locomotion", ["w"])]


def test_aggregates_are_over_suites_and_all_tasks(data: ReportData) -> None:
    rows: Mapping[str, Mapping[str, object]] = {
        "u": {"dataset": "antmaze-umaze-v0", "env": "AntMaze_UMaze-v5"},
        "m": {"dataset": "antmaze-medium-play-v0", "env": "AntMaze_Medium-v5"},
        "w": {"dataset": "mine", "env": "Walker2d-v5"},
        "h": {"dataset": "other", "env": "Hopper-v5"},
        "p": {"dataset": "D4RL/pen/human-v2", "env": "AdroitHandPen-v1"},
    }
    object.__setattr__(data, "task_rows", rows)
    assert scopes(data, ["w", "u", "h", "m", "p"]) == {
        "Locomotion tasks": ["w", "h"],
        "AntMaze tasks": ["u", "m"],
        "all tasks": ["w", "u", "h", "m", "p"],
    }
    assert scopes(data, ["w", "h"]) == {"all tasks": ["w", "h"]}  # once, not as a suite too
    assert scopes(data, ["w"]) == {}
    assert scope_title("all tasks", ["w", "h"]) == "All tasks (2)"
