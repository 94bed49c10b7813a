"""The speeds that this code aims at on a CPU, measured in turns: a slower minute of the machine is one for all.

Each subject is measured for a moment in every round, forwards and backwards through them by turns. What is compared is
of one round, so the ratios' medians hold on a machine that is not quite quiet; the load average is in the record.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dac.agent import AgentConfig
from dac.agent.precision import multiplies_bf16
from dac.bench import start
from dac.bench.clock import WARM_UP
from dac.bench.here import here
from dac.bench.measure import critic_products
from dac.bench.workload import Workload
from dac.cost.estimate import step_flops
from dac.study.params import Settings
from dac.system import devices

LOG = logging.getLogger(__name__)

PAPERS_SIZES = 11, 3  # Hopper's observation and action
SMALL_SIZES, SMALL_BATCH, SMALL_PACK = (17, 6), 128, 8  # HalfCheetah's
SMALL = AgentConfig(hidden_sizes=(64, 64, 64), ensemble_size=3, next_action_samples=2)
PRECISIONS = "fp32", "bf16"
ROUND_SECONDS = 1.0  # of a subject in a round
LEAST_ROUNDS = 3

Times = dict[str, float]  # `wall` and `cpu` seconds


@dataclass(frozen=True)
class Subject:
    """Something whose time counts.

    Attributes:
        call: what is timed, again and again.
        threads: of PyTorch.
        per: what the call's time is multiplied by: 1 / R for the time of one run of a pack.
    """

    call: Callable[[], object]
    threads: int
    per: float = 1.0

    def times(self, seconds: float) -> Times:
        """Median seconds of a call over as many as fit the time, at least one."""
        torch.set_num_threads(self.threads)
        self.call()  # the threads wake, and the caches fill
        walls: list[float] = []
        cpus: list[float] = []
        started = time.perf_counter()
        while not walls or time.perf_counter() - started < seconds:
            cpu, wall = time.process_time(), time.perf_counter()
            self.call()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        return {"wall": self.per * statistics.median(walls), "cpu": self.per * statistics.median(cpus)}


@dataclass(frozen=True)
class Target:
    """A speed that is aimed at.

    Attributes:
        subject: whose time counts. over: the subject that it is divided by; None: by nothing.
        wanted: the largest, in seconds where it is divided by nothing.
    """

    says: str
    subject: str
    over: str | None
    wanted: float


TARGETS = (
    Target("the paper's sizes: float32 step ÷ its products alone, by PyTorch", "fp32", "products", 1.12),
    Target("the paper's sizes: bf16 step ÷ float32 step", "bf16", "fp32", 0.7),
    Target("small networks: step of one run, one thread", "small", None, 2.5e-3),
    Target(f"small networks: step of a pack of {SMALL_PACK}, per run, one thread", "small_pack", None, 1.5e-3),
    Target("start of a training job until its first step", "start", None, 3.0),
)


def measure(threads: int, seconds: float) -> dict[str, Any]:
    """Measure all targets on the CPU.

    Args:
        threads: of PyTorch, at the paper's sizes; small networks are measured on one.
        seconds: how long to measure each subject in all. The start of a job is measured once a round.

    Returns:
        `targets`: what each says, wanted and measured [p10, median, p90]; `subjects`: threads, and `wall` and `cpu`
        seconds likewise, over the rounds; `rounds`, `load` (average of a minute) before and after, `multiplies_bf16`;
        machine, device, threads, versions and date.
    """
    rounds, found = max(LEAST_ROUNDS, round(seconds / ROUND_SECONDS)), dict[str, list[Times]]()
    load = [os.getloadavg()[0]]
    with devices.claimed("cpu") as device, start.job() as started:
        subjects = _subjects(device, threads)
        started()  # files are in memory from here on
        for number in range(rounds):
            LOG.info("round %d of %d", number + 1, rounds)
            order = list(subjects) if number % 2 == 0 else list(reversed(subjects))
            for name in order:
                found.setdefault(name, []).append(subjects[name].times(min(ROUND_SECONDS, seconds)))
            found.setdefault("start", []).append(started())
    load.append(os.getloadavg()[0])
    of_subjects = {
        name: {
            "threads": subjects[name].threads if name in subjects else 1,
            **{clock: tenths([times[clock] for times in rows]) for clock in ("wall", "cpu")},
        }
        for name, rows in found.items()
    }
    return {
        "targets": [_measured(target, found) for target in TARGETS],
        "subjects": of_subjects,
        "rounds": rounds,
        "load": [round(value, 2) for value in load],
        "multiplies_bf16": multiplies_bf16(device),
        **here(device, threads),
    }


def tenths(values: Sequence[float]) -> list[float]:
    """[p10, median, p90] of at least two values."""
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return [cuts[0], statistics.median(values), cuts[-1]]


def _measured(target: Target, found: dict[str, list[Times]]) -> dict[str, Any]:
    times = [row["wall"] for row in found[target.subject]]
    if target.over is not None:
        times = [time / row["wall"] for time, row in zip(times, found[target.over], strict=True)]
    return {
        "says": target.says,
        "unit": "ratio" if target.over is not None else "seconds",
        "subject": target.subject,
        "wanted": target.wanted,
        "measured": tenths(times),
    }


def _subjects(device: torch.device, threads: int) -> dict[str, Subject]:
    product, flops = critic_products(device)
    papers = {
        precision: Workload(AgentConfig(precision=precision), 1, PAPERS_SIZES, device) for precision in PRECISIONS
    }
    small = {runs: Workload(SMALL, runs, SMALL_SIZES, device, batch_size=SMALL_BATCH) for runs in (1, SMALL_PACK)}
    for work in (*papers.values(), *small.values()):
        for _ in range(WARM_UP):
            work.step()
    return {
        "fp32": Subject(papers["fp32"].step, threads),
        "products": Subject(product, threads, step_flops(Settings(), *PAPERS_SIZES) / flops),
        "bf16": Subject(papers["bf16"].step, threads),
        "small": Subject(small[1].step, 1),
        "small_pack": Subject(small[SMALL_PACK].step, 1, 1 / SMALL_PACK),
    }
