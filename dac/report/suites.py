"""Benchmark suites: which tasks belong together, and what an average over some of them is called.

A suite is told by the environment: names of tasks and of files are the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dac.report.data import ReportData

ANTMAZE = "AntMaze"
_SUITES = (
    (r"antmaze", ANTMAZE),
    (r"pointmaze", "PointMaze"),
    (r"kitchen", "Kitchen"),
    (r"halfcheetah|hopper|walker2d", "Locomotion"),
    (r"adroit|\b(pen|door|hammer|relocate)\b", "Adroit"),
)
SUITE_DATASETS = {
    "Locomotion": {
        f"d4rl:{env}-{level}-v2"
        for env in ("halfcheetah", "hopper", "walker2d")
        for level in ("medium", "medium-replay", "medium-expert")
    },
    "AntMaze": {
        f"d4rl:antmaze-{maze}-v0"
        for maze in ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
    },
    "Kitchen": {f"d4rl:kitchen-{kind}-v0" for kind in ("complete", "partial", "mixed")},
}  # as published averages have them
ALL_TASKS = "all tasks"


def suite_of(data: ReportData, task: str) -> str | None:
    """The suite of a task, such as "Locomotion"; None where it is of none."""
    env = str(data.task_rows[task]["env"]).lower()
    return next((title for pattern, title in _SUITES if re.search(pattern, env)), None)


def suites(data: ReportData, tasks: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Tasks by suite, in order of appearance; those of none are left out."""
    groups: dict[str, list[str]] = {}
    for task in tasks:
        suite = suite_of(data, task)
        if suite is not None:
            groups.setdefault(suite, []).append(task)
    return list(groups.items())


def scopes(data: ReportData, tasks: Sequence[str]) -> dict[str, list[str]]:
    """What aggregates are over: `ALL_TASKS`, and before it every suite of several tasks where there are others too.

    A suite is named such as `Locomotion tasks`, with a space, which no task's name has. A single task leaves nothing to
    aggregate.
    """
    several = {f"{suite} tasks": names for suite, names in suites(data, tasks) if 1 < len(names) < len(tasks)}
    return several | ({ALL_TASKS: list(tasks)} if len(tasks) > 1 else {})


def scope_title(scope: str, tasks: Sequence[str]) -> str:
    """A scope as a table names it."""
    return f"{scope[0].upper()}{scope[1:]} ({len(tasks)})"


def is_whole(data: ReportData, suite: str, tasks: Sequence[str]) -> bool:
    """Whether some tasks are all of a suite, each once."""
    datasets = [data.task_rows[task]["dataset"] for task in tasks]
    return set(datasets) == SUITE_DATASETS.get(suite) and len(set(datasets)) == len(datasets)


def average_name(data: ReportData, suite: str, tasks: Sequence[str]) -> str:
    """The suite's own name only where all of it is there: its published averages are of all its datasets."""
    if is_whole(data, suite, tasks):
        return f"{suite} average"
    envs = {str(data.task_rows[task]["env"]).removeprefix("D4RL/").partition("-")[0] for task in tasks}
    of = envs.pop() if len(envs) == 1 else suite
    return f"Average of these {len(tasks)} tasks ({of})"
