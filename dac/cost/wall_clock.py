"""How long jobs take together: list scheduling onto the cores and GPUs of one machine."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Activity:
    """A job to schedule.

    Attributes:
        seconds: that it takes. cores: that it holds. gpus: that it holds, 0 or 1.
        after: names of the activities that must have ended; names that are not scheduled are there already.
    """

    name: str
    seconds: float
    cores: int = 1
    gpus: int = 0
    after: tuple[str, ...] = ()


def wall_clock(activities: Sequence[Activity], cores: int, gpus: int = 0) -> float:
    """Seconds until the last activity ends, where each starts as soon as it can, the first in the list before others.

    An activity that asks for more than the machine has gets all of it, as Snakemake has it.

    Raises:
        ValueError: activities wait for each other.
    """
    names = {activity.name for activity in activities}
    waiting, ended = list(activities), set[str]()
    running: list[tuple[float, int, Activity]] = []
    free_cores, free_gpus, now = cores, gpus, 0.0
    while waiting or running:
        for activity in list(waiting):
            wanted = min(activity.cores, cores), min(activity.gpus, gpus)
            if (
                wanted[0] <= free_cores
                and wanted[1] <= free_gpus
                and all(name in ended or name not in names for name in activity.after)
            ):
                waiting.remove(activity)
                free_cores, free_gpus = free_cores - wanted[0], free_gpus - wanted[1]
                heapq.heappush(running, (now + activity.seconds, len(waiting), activity))
        if not running:
            raise ValueError(f"activities wait for each other: {', '.join(activity.name for activity in waiting)}")
        now, _, activity = heapq.heappop(running)
        ended.add(activity.name)
        free_cores, free_gpus = free_cores + min(activity.cores, cores), free_gpus + min(activity.gpus, gpus)
    return now
