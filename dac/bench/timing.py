"""`dac time`: how long gradient steps of one run take, as an experiment asks that shows `timing`."""

from __future__ import annotations

import contextlib
import logging
import statistics

import torch

from dac import envs
from dac.agent import native
from dac.agent.precision import matrix_products
from dac.bench.clock import WARM_UP, mean_seconds
from dac.bench.workload import Workload
from dac.study import store, timings
from dac.study.params import ComputeSettings
from dac.study.timings import Timing
from dac.system import devices, locks, paths, provenance
from dac.training.policies import agent_config

LOG = logging.getLogger(__name__)


def measure(timing: Timing, compute: ComputeSettings, threads: int) -> None:
    """Time gradient steps on random data, and record the times with the machine that they are of.

    The networks have the sizes of the task's environment, and its data are not read: no time depends on their values.
    What the store has is left alone. Nothing else should compute on the device meanwhile; of processes that time steps
    here one waits for the other.

    Args:
        threads: of PyTorch.

    Raises:
        UserError: `compute.device` is not there.
    """
    with locks.lock(paths.LOCKS / "timing", LOG.info):
        if timings.problem(timing):
            _measure(timing, compute, threads)
        else:
            LOG.info("%s is there", timing)


def _measure(timing: Timing, compute: ComputeSettings, threads: int) -> None:
    torch.set_num_threads(threads)
    with devices.claimed(compute.device) as device:
        repeats = _repeats(timing, device)
        name = devices.name(device)
        made = provenance.provenance(name, threads=threads, compiled=native.computes_on(device))
    timings.publish(timing, repeats, made)
    store.journal("time", timing=str(timing))
    means = [statistics.fmean(repeat[what] for repeat in repeats) for what in ("step_ms", "actor_ms")]
    LOG.info("%s: %.3f ms a step, %.3f ms of them the actor's update, on %s", timing, *means, name)


def _repeats(timing: Timing, device: torch.device) -> list[dict[str, float]]:
    """Milliseconds of a whole step and of the actor's update alone: means, so often as the experiment says.

    On one thread of a CPU they are the process's own time, which others on the machine do not lengthen.
    """
    group, how = timing.group, timing.how
    with contextlib.closing(envs.make(group.env)) as env:
        assert env.observation_space.shape and env.action_space.shape  # vectors, says envs.make
        sizes = env.observation_space.shape[0], env.action_space.shape[0]
    settings = group.settings
    work = Workload(
        agent_config(settings),
        1,
        sizes,
        device,
        batch_size=settings.batch_size,
        terminal=group.dataset.kind.one_step,
    )
    actor = work.parts()["actor"]
    for _ in range(WARM_UP):  # a graph is recorded in the fourth
        work.step()
    repeats = []
    for _ in range(how.repeats):
        step = mean_seconds(work.step, how.seconds, device)
        with matrix_products(settings.precision):
            update = mean_seconds(actor, how.seconds / 2, device)
        repeats.append({"step_ms": 1000 * step, "actor_ms": 1000 * update})
    return repeats
