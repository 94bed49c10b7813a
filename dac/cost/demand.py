"""What a job asks a cluster for, memory and run time: `dac.cost.estimate`'s figures with a margin.

A job that reaches its time limit has lost nothing: it saves its state when it is told to stop, and the next attempt
goes on from there. One that runs out of memory has lost what it did since its last checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dac.cost import estimate, speeds
from dac.cost.shapes import dimensions
from dac.cost.speeds import NEVER, Calibration
from dac.study.identity import Evaluation, Group
from dac.study.jobs import Evaluate, Job, Time, Train
from dac.study.params import ComputeSettings, Params
from dac.study.timings import Timing

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
# An evaluation leaves the GPU to trainings where the CPU takes at most so many times as long.
CPU_MARGIN = 1.2
# Of a job on a machine that is not known here, a cluster's node.
MOST_CORES = 16


@dataclass(frozen=True)
class Demand:
    """Main memory in MB and run time in minutes, by Snakemake's names of them."""

    mem_mb: int
    runtime: int


@dataclass(frozen=True)
class Speeds:
    """A GPU's speed and a CPU's, by which jobs are shared out."""

    gpu: Calibration
    cpu: Calibration

    @classmethod
    def known(cls, compute: ComputeSettings) -> Speeds:
        """Of this machine, or the nearest measured ones.

        Raises:
            UserError: work/calibration.json is damaged.
        """
        return cls(speeds.calibration(compute, "cuda"), speeds.calibration(compute, "cpu"))


def uses_gpu(params: Params) -> bool:
    """Whether a job asks for a GPU; with `auto`, too, for whether there are any is not known here."""
    return params.compute.device != "cpu"


# On this machine


def gpu_jobs(params: Params) -> int:
    """Most jobs that compute on this machine's GPUs at a time; 0: it has none, or none is to be used."""
    setting = params.compute.device
    if speeds.device_kind(setting) == "cpu":
        return 0
    gpus = 1 if setting.startswith("cuda:") else max(1, speeds.gpus())
    return gpus * params.compute.packs_per_gpu


def most_cores(params: Params, cores: int) -> int:
    """Of so many cores, those that each job on a GPU may have where all GPUs work, and one is left for other jobs."""
    return max(1, (cores - 1) // max(1, gpu_jobs(params)))


def evaluates_on_gpu(job: Evaluate, params: Params, known: Speeds) -> bool:
    """Whether an evaluation after training takes a GPU's share here; not where the CPU is about as fast."""
    if not gpu_jobs(params):
        return False
    on_gpu, on_cpu = (
        estimate.evaluation_seconds(job.group, job.runs, job.evaluations, speed) for speed in (known.gpu, known.cpu)
    )
    return on_cpu > CPU_MARGIN * on_gpu


# Cores


def training_cores(
    group: Group, runs: int, params: Params, speed: Calibration, *, gpu: bool, most: int = MOST_CORES
) -> int:
    """Cores of a training: `compute.threads_per_job`; with `auto`, on a GPU what its evaluations need to keep up.

    Args:
        speed: of the GPU. most: with `auto`.
    """
    if not gpu or isinstance(params.compute.threads_per_job, int):
        return params.compute.cpu_threads
    return min(most, 1 + estimate.workers_to_keep_up(group, runs, speed))


def evaluation_cores(job: Evaluate, params: Params, speed: Calibration, *, gpu: bool, most: int = MOST_CORES) -> int:
    """Cores of an evaluation after training, see `training_cores`; one where it steps its environments itself."""
    if not gpu or isinstance(params.compute.threads_per_job, int):
        return params.compute.cpu_threads
    workers = max(estimate.workers_to_step(job.group, job.runs, item, speed) for item in job.evaluations)
    return min(most, 1 + workers) if workers > 1 else 1


def here(job: Job, params: Params, cores: int, known: Speeds) -> tuple[int, int]:
    """Cores and GPUs of a job on this machine, of which Snakemake may use so many cores."""
    most = most_cores(params, cores)
    match job:
        case Train():
            gpu = gpu_jobs(params) > 0
            return training_cores(job.group, job.runs, params, known.gpu, gpu=gpu, most=most), int(gpu)
        case Evaluate():
            gpu = evaluates_on_gpu(job, params, known)
            return evaluation_cores(job, params, known.gpu, gpu=gpu, most=most), int(gpu)
        case Time():
            return cores, int(gpu_jobs(params) > 0)  # nothing else is to compute meanwhile
        case _:
            return 1, 0


def elsewhere(job: Job, params: Params, known: Speeds) -> tuple[int, int]:
    """Cores and GPUs of a job on a machine that is not known here, a cluster's node: each its own GPU, if any."""
    gpu = uses_gpu(params)
    match job:
        case Train():
            return training_cores(job.group, job.runs, params, known.gpu, gpu=gpu), int(gpu)
        case Evaluate():
            return evaluation_cores(job, params, known.gpu, gpu=gpu), int(gpu)
        case Time():
            return params.compute.cpu_threads, int(gpu)
        case _:
            return 1, 0


def speed_elsewhere(params: Params, known: Speeds) -> Calibration:
    """The speed that jobs there are estimated with: a GPU's, if they use one and some GPU was measured.

    Where none was, a CPU's: a training that asks for too much time waits longer for its node, one that asks for too
    little is ended in its middle.
    """
    return known.gpu if uses_gpu(params) and known.gpu.date != NEVER else known.cpu


# What a job asks for


def training(group: Group, runs: int, params: Params, speed: Calibration, cores: int | None = None) -> Demand:
    """Of training a pack of a group, on so many cores; None: `compute.cpu_threads`."""
    return _demand(
        estimate.pack_bytes(group, runs, params),
        estimate.training_seconds(group, runs, speed),
        params,
        speed,
        cores or params.compute.cpu_threads,
    )


def evaluation(
    group: Group,
    runs: int,
    evaluations: Sequence[Evaluation],
    params: Params,
    speed: Calibration,
    cores: int | None = None,
) -> Demand:
    """Of evaluating a pack, see `training`; the bytes are of its critics' values of all candidate actions."""
    settings = group.settings
    rows = runs * max(item.episodes * item.action_samples for item in evaluations)
    activations = 4.0 * rows * (settings.ensemble_size + 1) * sum(settings.hidden_sizes)
    return _demand(
        runs * estimate.run_bytes(group) + activations,
        estimate.evaluation_seconds(group, runs, tuple(evaluations), speed),
        params,
        speed,
        cores or params.compute.cpu_threads,
    )


def timing(timing: Timing, params: Params, speed: Calibration) -> Demand:
    """Of timing gradient steps."""
    needed, seconds = estimate.pack_bytes(timing.group, 1, params), estimate.timing_seconds(timing, speed)
    return _demand(needed, seconds, params, speed, params.compute.cpu_threads)


def collection(env: str, params: Params, speed: Calibration) -> Demand:
    """Of collecting every level of an environment; the bytes are of SAC's replay buffer and the recorded rows."""
    recipe = params.collect[env]
    observation, action = dimensions(env)
    rows = min(recipe.sac.steps, recipe.sac.buffer_size) if recipe.sac else 0
    rows += sum(level.transitions or 0 for level in recipe.levels.values())
    seconds = estimate.collection_seconds(env, tuple(recipe.levels), params, speed)
    return _demand(4.0 * rows * (2 * observation + action + 2), seconds, params, speed, 1)


def _demand(estimated_bytes: float, seconds: float, params: Params, speed: Calibration, cores: int) -> Demand:
    setting = params.compute.evaluation_workers
    workers = setting if isinstance(setting, int) else cores
    fixed = PROCESS_BYTES + workers * WORKER_BYTES + uses_gpu(params) * CUDA_BYTES
    minutes = STARTING_MINUTES + TIME_MARGIN * (speed.startup + seconds) / 60
    return Demand(math.ceil((fixed + MEMORY_MARGIN * estimated_bytes) / 1e6), min(LONGEST_MINUTES, math.ceil(minutes)))
