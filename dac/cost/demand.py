"""What a job asks a cluster for, memory and run time: `dac.cost.estimate`'s figures with a margin.

A job that reaches its time limit has lost nothing: it saves its state when it is told to stop, and the next attempt
goes on from there. One that runs out of memory has lost what it did since its last checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dac.cost import estimate
from dac.cost.shapes import dimensions
from dac.cost.speeds import Calibration
from dac.study.identity import Evaluation, Group
from dac.study.params import Params

# Times the estimate, for a slower machine than the measured one and whatever runs beside the job there.
TIME_MARGIN = 2.0
# Before a job's first step: Python's packages over a network file system, reading and converting data.
STARTING_MINUTES = 15
# Few clusters admit more, and those let shorter jobs start earlier.
LONGEST_MINUTES = 24 * 60
# Times the estimate, for copies while data are read and states are written.
MEMORY_MARGIN = 2.0
# PyTorch, Gymnasium and Snakemake themselves, in the job's process and each that steps environments beside it; CUDA's
# libraries on top.
PROCESS_BYTES = 2e9
WORKER_BYTES = 5e8
CUDA_BYTES = 3e9


@dataclass(frozen=True)
class Demand:
    """Main memory in MB and run time in minutes, by Snakemake's names of them."""

    mem_mb: int
    runtime: int


def uses_gpu(params: Params) -> bool:
    """Whether a job asks for a GPU; with `auto`, too, for whether there are any is not known here."""
    return params.compute.device != "cpu"


def training(group: Group, runs: int, params: Params, speed: Calibration) -> Demand:
    """Of training a pack of a group."""
    return _demand(
        estimate.pack_bytes(group, runs, params),
        estimate.training_seconds(group, runs, speed),
        params,
        speed,
    )


def evaluation(
    group: Group, runs: int, evaluations: Sequence[Evaluation], params: Params, speed: Calibration
) -> Demand:
    """Of evaluating a pack's kept policies; the bytes are of its critics' values of all candidate actions."""
    settings = group.settings
    rows = runs * max(item.episodes * item.action_samples for item in evaluations)
    activations = 4.0 * rows * (settings.ensemble_size + 1) * sum(settings.hidden_sizes)
    return _demand(
        runs * estimate.run_bytes(group) + activations,
        estimate.evaluation_seconds(group, runs, tuple(evaluations), speed),
        params,
        speed,
    )


def collection(env: str, params: Params, speed: Calibration) -> Demand:
    """Of collecting every level of an environment; the bytes are of SAC's replay buffer and the recorded rows."""
    recipe = params.collect[env]
    observation, action = dimensions(env)
    rows = min(recipe.sac.steps, recipe.sac.buffer_size) if recipe.sac else 0
    rows += sum(level.transitions or 0 for level in recipe.levels.values())
    seconds = estimate.collection_seconds(env, tuple(recipe.levels), params, speed)
    return _demand(4.0 * rows * (2 * observation + action + 2), seconds, params, speed)


def _demand(estimated_bytes: float, seconds: float, params: Params, speed: Calibration) -> Demand:
    compute = params.compute
    setting = compute.evaluation_workers
    workers = setting if isinstance(setting, int) else compute.threads_per_job
    fixed = PROCESS_BYTES + workers * WORKER_BYTES + uses_gpu(params) * CUDA_BYTES
    minutes = STARTING_MINUTES + TIME_MARGIN * (speed.startup + seconds) / 60
    return Demand(math.ceil((fixed + MEMORY_MARGIN * estimated_bytes) / 1e6), min(LONGEST_MINUTES, math.ceil(minutes)))
