"""Runs that train in a process each, beside each other on one device: what a pack is compared with."""

from __future__ import annotations

import contextlib
import statistics
from multiprocessing.connection import Connection

import torch

from dac.agent import AgentConfig
from dac.bench.clock import WARM_UP, wall_seconds
from dac.bench.workload import Workload
from dac.system import devices
from dac.system.children import Child, end_with_parent, serve


def step_seconds(
    count: int, sizes: tuple[int, int], device: torch.device, threads: int, seconds: float, precision: str
) -> float:
    """Mean seconds of a gradient step of one run while `count` processes with one run each train at the same time.

    Args:
        count: processes. sizes: of the observation and the action.
        device: of all of them.
        threads: of PyTorch, shared out among the processes, at least one each.
        seconds: how long to measure.
        precision: as `training.precision`.

    Raises:
        UserError: a process died, as where the device's memory does not suffice.
    """
    arguments = sizes, str(device), max(1, threads // count), precision
    with contextlib.ExitStack() as stack:
        children = []
        for index in range(count):
            child = Child(f"benchmark {index}", _main, *arguments)
            stack.callback(child.close)
            children.append(child)
        # An answer each to the first request means that all are warm: only then they start, together.
        for request in (0.0, seconds):
            for child in children:
                child.send(request)
            times = [child.receive() for child in children]
    return statistics.fmean(times)


def _main(connection: Connection, sizes: tuple[int, int], device: str, threads: int, precision: str) -> None:
    end_with_parent()
    torch.set_num_threads(threads)
    chosen = devices.prepared(torch.device(device))  # this process's parent holds it
    work = Workload(AgentConfig(precision=precision), 1, sizes, chosen)
    for _ in range(WARM_UP):
        work.step()
    serve(connection, lambda seconds: wall_seconds(work.step, seconds, chosen))
