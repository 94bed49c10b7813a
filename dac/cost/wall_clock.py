"""How long jobs take together: list scheduling onto the cores and GPUs of one machine."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A job to schedule.

    Attributes:
        seconds: that it takes. cores: that it holds. gpus: that it holds, 0 or 1.
        after: names of the tasks that must have ended; names that are not scheduled are there already.
    """

    name: str
    seconds: float
    cores: int = 1
    gpus: int = 0
    after: tuple[str, ...] = ()


def wall_clock(tasks: Sequence[Task], cores: int, gpus: int = 0) -> float:
    """Seconds until the last task ends, where each starts as soon as it can, the first in the list before others.

    A task that asks for more than the machine has gets all of it, as Snakemake has it.

    Raises:
        ValueError: tasks wait for each other.
    """
    names = {task.name for task in tasks}
    waiting, ended = list(tasks), set[str]()
    running: list[tuple[float, int, Task]] = []
    free_cores, free_gpus, now = cores, gpus, 0.0
    while waiting or running:
        for task in list(waiting):
            wanted = min(task.cores, cores), min(task.gpus, gpus)
            if (
                wanted[0] <= free_cores
                and wanted[1] <= free_gpus
                and all(name in ended or name not in names for name in task.after)
            ):
                waiting.remove(task)
                free_cores, free_gpus = free_cores - wanted[0], free_gpus - wanted[1]
                heapq.heappush(running, (now + task.seconds, len(waiting), task))
        if not running:
            raise ValueError(f"tasks wait for each other: {', '.join(task.name for task in waiting)}")
        now, _, task = heapq.heappop(running)
        ended.add(task.name)
        free_cores, free_gpus = free_cores + min(task.cores, cores), free_gpus + min(task.gpus, gpus)
    return now
