"""How long calls take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

WARM_UP = 5  # calls before the clock; a graph is recorded in the fourth
MEAN_WARM_UP = 2  # the same of `mean_seconds`; fewer where one takes all of its time


def median_seconds(call: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Median seconds of a call, over as many as fit the time, at least three."""
    for _ in range(WARM_UP):
        call()
    synchronise(device)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def wall_seconds(call: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Mean seconds of a call, each waited for, over as many as fit the time, at least one; what runs beside counts."""
    calls, started = 0, time.perf_counter()
    while not calls or time.perf_counter() - started < seconds:
        call()
        synchronise(device)
        calls += 1
    return (time.perf_counter() - started) / calls


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def mean_seconds(call: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Mean seconds of a call over as many as fit the time, at least one; a GPU is waited for only between blocks.

    The mean and not the median: random numbers are drawn for many steps at once, and belong to each of them.
    """
    started = time.perf_counter()
    for _ in range(MEAN_WARM_UP):
        call()
        synchronise(device)
        if time.perf_counter() - started > seconds:
            break
    calls, block, started, before = 0, 1, time.perf_counter(), reading(device)
    while calls == 0 or time.perf_counter() - started < seconds:
        for _ in range(block):
            call()
        synchronise(device)
        calls, spent = calls + block, time.perf_counter() - started
        block = max(1, min(2 * block, int(seconds / 4 * calls / spent)))
    return (reading(device) - before) / calls


def reading(device: torch.device) -> float:
    """Seconds: of this process on its core where it computes on one, so that others' work here now does not count."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()
