"""Packs that train in a process each, beside each other on one device: what one pack is compared with."""

from __future__ import annotations

import contextlib
import statistics
from multiprocessing.connection import Connection

import torch

from dac.agent import Agent, AgentConfig
from dac.bench.clock import WARM_UP, wall_seconds
from dac.bench.workload import Workload
from dac.system import devices
from dac.system.children import Child, end_with_parent, serve


def step_seconds(
    count: int,
    sizes: tuple[int, int],
    device: torch.device,
    threads: int,
    seconds: float,
    config: AgentConfig,
    *,
    runs: int = 1,
    batch_size: int | None = None,
    kind: type[Agent] = Agent,
) -> float:
    """Mean seconds of a gradient step of a pack while `count` processes with such a pack each train at the same time.

    Args:
        count: processes. sizes: of the observation and the action.
        device: of all of them.
        threads: of PyTorch, shared out among the processes, at least one each.
        seconds: how long to measure.
        config: of the agents. runs: of a pack. batch_size, kind: see `Workload`.

    Raises:
        UserError: a process died, as where the device's memory does not suffice.
    """
    arguments = config, runs, sizes, batch_size, kind, str(device), max(1, threads // count)
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


def _main(
    connection: Connection,
    config: AgentConfig,
    runs: int,
    sizes: tuple[int, int],
    batch_size: int | None,
    kind: type[Agent],
    device: str,
    threads: int,
) -> None:
    end_with_parent()
    torch.set_num_threads(threads)
    chosen = devices.prepared(torch.device(device))  # this process's parent holds it
    work = Workload(config, runs, sizes, chosen, batch_size=batch_size, kind=kind)
    for _ in range(WARM_UP):
        work.step()
    serve(connection, lambda seconds: wall_seconds(work.step, seconds, chosen))
