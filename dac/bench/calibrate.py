"""Measure a study's own shapes on this machine, for `dac plan`: gradient steps, acting, environments, SAC, start-up."""

from __future__ import annotations

import contextlib
import datetime
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dac import envs
from dac.agent import AgentConfig
from dac.bench.clock import mean_seconds, reading, wall_seconds
from dac.bench.workload import Workload
from dac.cost import speeds
from dac.cost.estimate import EPISODE_STEPS
from dac.cost.shapes import acting_shape, collection_shape, dimensions, environment_shape, gradient_shape
from dac.datasets.sac.recipe import new_sac, sac_recipe
from dac.datasets.sac.recorder import Recorder
from dac.study.identity import Group
from dac.study.jobs import Collect, Evaluate, Job, Train, jobs
from dac.study.params import Params
from dac.study.plan import StudyPlan
from dac.system import devices, provenance
from dac.system.errors import UserError
from dac.training.policies import agent_config

SECONDS = 1.0
ENVIRONMENTS = 4  # of a vector, whose own cost a step is shared by so many
SAC_WARM_UP = 20
SAC_PIECE = 100
# Most processes that keep the machine busy while the effect of that is measured; each takes about 0.5 GB.
NEIGHBOURS = 15
START = "import torch, dac.training.trainer"
BUSY = "import sys; from dac.bench.calibrate import keep_busy; keep_busy(int(sys.argv[1]))"

Measure = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Shape:
    """Something to measure.

    Attributes:
        key: its name in the record, see `dac.cost.shapes`.
        measure: measures it; the result is its entry there.
    """

    key: str
    measure: Measure


def calibrate(params: Params, study: StudyPlan, seconds: float | None = None) -> list[str]:
    """Measure the shapes of a study that this machine's record lacks, and add them to it after each.

    Args:
        seconds: for each number, None = SECONDS; where one step takes longer, one step.

    Returns:
        The shapes that were measured now.

    Raises:
        UserError: the record is damaged, or `compute.device` is not there.
    """
    compute, seconds = params.compute, SECONDS if seconds is None else seconds
    device_kind, threads = speeds.device_kind(compute.device), compute.cpu_threads
    record = speeds.recorded(device_kind, threads) or {
        "machine": provenance.machine(),
        "device": device_kind,
        "threads": threads,
        "measured": {},
    }
    torch.set_num_threads(threads)
    with devices.claimed(compute.device) as device:
        if "startup_seconds" not in record:
            _log("start of a job, and jobs side by side")
            record["startup_seconds"] = round(_startup(), 3)
            record["beside"] = 1.0 if device.type == "cuda" else round(_beside(params, seconds), 3)
        lacking = [shape for shape in shapes(params, study, device, seconds) if shape.key not in record["measured"]]
        for number, shape in enumerate(lacking, start=1):
            _log(f"{number} of {len(lacking)}: {shape.key}")
            with contextlib.suppress(UserError):  # an environment that cannot be made here is left to the estimate
                record["measured"][shape.key] = shape.measure()
            record["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
            speeds.save(record)
    return [shape.key for shape in lacking if shape.key in record["measured"]]


def shapes(params: Params, study: StudyPlan, device: torch.device, seconds: float = SECONDS) -> list[Shape]:
    """Everything that the time of a study depends on, each shape once."""
    # Packs of what is missing may be smaller than those of the whole.
    wanted = [job for missing in (False, True) for job in jobs(study, study.runs(), missing=missing)]
    found: dict[str, Shape] = {}
    for job in wanted:
        for shape in _shapes_of(job, params, device, seconds):
            found.setdefault(shape.key, shape)
    return list(found.values())


def _shapes_of(job: Job, params: Params, device: torch.device, seconds: float) -> Iterator[Shape]:
    match job:
        case Train():
            settings = job.group.settings
            yield _gradient(job.group, job.runs, device, seconds)
            yield _acting(job.group, job.runs, settings.eval_episodes, settings.eval_action_samples, device, seconds)
            yield _environment(job.group.env, seconds)
        case Evaluate():
            for item in job.evaluations:
                yield _acting(job.group, job.runs, item.episodes, item.action_samples, device, seconds)
            yield _environment(job.group.env, seconds)
        case Collect():
            yield _environment(job.env, seconds)
            if recipe := params.collect[job.env].sac:
                sac = recipe.model_dump(mode="json")
                yield Shape(collection_shape(job.env, recipe), lambda: _collection(job.env, sac, seconds))
        case _:
            return


def _gradient(group: Group, runs: int, device: torch.device, seconds: float) -> Shape:
    def measure() -> dict[str, float]:
        return {"seconds": mean_seconds(_workload(group, runs, device).step, seconds, device)}

    return Shape(gradient_shape(group, runs), measure)


def _acting(group: Group, runs: int, episodes: int, samples: int, device: torch.device, seconds: float) -> Shape:
    def measure() -> dict[str, float]:
        work = _workload(group, runs, device, episodes=episodes, action_samples=samples)
        return {"seconds": mean_seconds(work.act, seconds / 2, device)}

    return Shape(acting_shape(group, runs, episodes, samples), measure)


def _workload(
    group: Group, runs: int, device: torch.device, *, episodes: int = 10, action_samples: int = 10
) -> Workload:
    settings, terminal = group.settings, group.dataset.kind.one_step
    sizes = dimensions(group.env)
    return Workload(
        agent_config(settings),
        runs,
        sizes,
        device,
        batch_size=settings.batch_size,
        terminal=terminal,
        episodes=episodes,
        action_samples=action_samples,
    )


def _environment(env: str, seconds: float) -> Shape:
    return Shape(environment_shape(env), lambda: _environment_entry(env, seconds))


def _environment_entry(env: str, seconds: float) -> dict[str, float]:
    """Whole episodes of a vector of environments under random actions; those that have ended cost nothing in it."""
    cpu, seeds = torch.device("cpu"), range(ENVIRONMENTS)
    envs.make(env).close()  # what registers it is imported once
    before = reading(cpu)
    vector = envs.episode_vector(env, ENVIRONMENTS)
    vector.reset(seed=list(seeds))
    made = (reading(cpu) - before) / ENVIRONMENTS
    actions = np.random.default_rng(0)
    shape = vector.action_space.shape
    steps, spent = 0, 0.0
    with contextlib.closing(vector):
        while steps == 0 or spent < seconds / 2:
            chosen = actions.uniform(-1, 1, shape).astype(np.float32)
            before = reading(cpu)
            steps += int(envs.rollout(vector, lambda _: chosen, list(seeds)).lengths.sum())  # noqa: B023
            spent += reading(cpu) - before
        spec = vector.envs[0].spec
    limit = (spec.max_episode_steps if spec else None) or EPISODE_STEPS
    return {"step": spent / steps, "make": made, "limit": float(limit)}


def _collection(env: str, settings: dict[str, Any], seconds: float) -> dict[str, float]:
    """Steps of the collector's SAC, with its recording; on one thread, as it collects."""
    recipe = sac_recipe({**settings, "learning_starts": 1, "buffer_size": 10_000})
    before, cpu = torch.get_num_threads(), torch.device("cpu")
    torch.set_num_threads(1)
    try:
        with contextlib.closing(Recorder(envs.make(env))) as recorder:
            model = new_sac(recorder, recipe, 0)
            model.learn(SAC_WARM_UP)
            learn = mean_seconds(lambda: model.learn(SAC_PIECE, reset_num_timesteps=False), seconds, cpu)
            observation, _ = recorder.reset(seed=0)
            act = mean_seconds(lambda: model.predict(observation), seconds / 4, cpu)
    finally:
        torch.set_num_threads(before)
    return {"step": learn / SAC_PIECE, "act": act}


# The machine itself


def _startup() -> float:
    """Seconds until a job has imported what it needs; the second of two, when the files are in memory."""

    def start() -> None:
        subprocess.run([sys.executable, "-c", START], check=True)

    start()
    return wall_seconds(start, 0.0, torch.device("cpu"))


def keep_busy(threads: int) -> None:
    """Train a small pack until standard input ends: a neighbour for `_beside`."""
    torch.set_num_threads(threads)
    work = _typical()
    work.step()
    print("busy", flush=True)
    with contextlib.suppress(BrokenPipeError):
        while True:
            work.step()
            if _ended():
                return


def _ended() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _typical() -> Workload:
    config = AgentConfig(hidden_sizes=(64, 64, 64), ensemble_size=3, next_action_samples=2)
    return Workload(config, 2, (17, 6), torch.device("cpu"), batch_size=128)


def _beside(params: Params, seconds: float) -> float:
    """How much longer a step takes while the other job slots of this machine train too."""
    threads = params.compute.cpu_threads
    neighbours = min(NEIGHBOURS, speeds.cores() // threads - 1)
    if neighbours < 1:
        return 1.0
    work = _typical()
    alone = mean_seconds(work.step, seconds, torch.device("cpu"))
    command = [sys.executable, "-c", BUSY, str(threads)]
    with contextlib.ExitStack() as started:
        for _ in range(neighbours):
            process = started.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            assert process.stdout is not None
            # Not started all at once by a wait for each: as many imports side by side are a load of another kind.
            process.stdout.readline()
        beside = mean_seconds(work.step, seconds, torch.device("cpu"))
    return max(1.0, beside / alone)


def _log(text: str) -> None:
    print(f"calibrate: {text}", file=sys.stderr, flush=True)
