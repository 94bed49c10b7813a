"""How fast this machine trains at the paper's network sizes: the calibration behind `dac plan`'s times."""

from __future__ import annotations

import datetime
import time
from typing import Any

import numpy as np
import torch

from dac import devices, envs, provenance
from dac.agent import Agent, AgentConfig, Batch, UpdateNoise
from dac.estimate import step_flops
from dac.params import AgentSettings, TrainingSettings

ENVIRONMENT = "Hopper-v5"
WARM_UP = 3


def measure(device: str, threads: int, seconds: float) -> dict[str, Any]:
    """Time gradient steps of one run with the paper's settings, and environment steps.

    Args:
        device: `cpu`, `cuda` or `auto`.
        threads: of PyTorch, on the CPU.
        seconds: how long to measure each.

    Returns:
        `step_ms` (wall clock per gradient step), `steps_per_second`, `flops` (operations per second, counted from the
        matrix products), `environment_steps` (per second and core), machine, device, threads, versions and date.
    """
    torch.set_num_threads(threads)
    env = envs.make(ENVIRONMENT)
    assert env.observation_space.shape and env.action_space.shape  # vectors, says envs.make
    observation_dim, action_dim = env.observation_space.shape[0], env.action_space.shape[0]
    with devices.claimed(device) as chosen:
        step = _step_seconds(observation_dim, action_dim, chosen, seconds)
    values = {**AgentSettings().model_dump(), **TrainingSettings().model_dump()}
    made = provenance.provenance(devices.name(chosen), seconds)
    return {
        "what": "one run of soft guidance at the paper's settings, plain gradient steps without evaluations",
        "step_ms": round(1000 * step, 2),
        "steps_per_second": round(1 / step, 2),
        "flops": step_flops(values, observation_dim, action_dim) / step,
        "environment": ENVIRONMENT,
        "environment_steps": round(_environment_steps(env, seconds), 1),
        "machine": made["machine"],
        "device": chosen.type,
        "device_name": made["device"],
        "threads": threads,
        "versions": made["versions"],
        "commit": made["commit"],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _step_seconds(observation_dim: int, action_dim: int, device: torch.device, seconds: float) -> float:
    config, batch_size = AgentConfig(), TrainingSettings().batch_size
    agent = Agent(config, [0], observation_dim, action_dim, device)
    noise = UpdateNoise([0], config, batch_size, action_dim, device)
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(1, batch_size, *shape, generator=generator, device=device)

    batch = Batch(
        observations=normal(observation_dim),
        actions=normal(action_dim).tanh(),
        rewards=normal(),
        dones=torch.zeros(1, batch_size, device=device),
        next_observations=normal(observation_dim),
    )
    for _ in range(WARM_UP):
        agent.update(batch, noise.draws(agent.step))
    _synchronise(device)
    started, first = time.perf_counter(), agent.step
    while time.perf_counter() - started < seconds:
        agent.update(batch, noise.draws(agent.step))
        _synchronise(device)
    return (time.perf_counter() - started) / (agent.step - first)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _environment_steps(env: envs.Environment, seconds: float) -> float:
    """Steps per second of one environment under random actions, resets included."""
    actions = np.random.default_rng(0)
    env.reset(seed=0)
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        *_, terminated, truncated, _ = env.step(actions.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / (time.perf_counter() - started)
