"""Small packs and random inputs for the tests of the agent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dac.agent import Agent, AgentConfig, Batch, Draws, ShuffledScan, UpdateNoise
from dac.agent.inputs import Inputs

OBSERVATION_DIM, ACTION_DIM, BATCH_SIZE = 5, 2, 16

torch.set_num_threads(1)


def small_config(**settings: Any) -> AgentConfig:
    defaults: dict[str, Any] = {
        "hidden_sizes": (24, 24),
        "ensemble_size": 3,
        "next_action_samples": 4,
        "actor_ema_start": 2,
        "actor_ema_interval": 3,
    }
    return AgentConfig(**{**defaults, **settings})


def batch_of(seed: int, step: int, dtype: torch.dtype = torch.float32) -> Batch:
    """One run's batch: a function of its seed and the step alone."""
    generator = torch.Generator().manual_seed(1000 * seed + step)

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, BATCH_SIZE, *shape, generator=generator, dtype=dtype)

    return Batch(
        observations=normal(OBSERVATION_DIM),
        actions=normal(ACTION_DIM).tanh(),
        rewards=normal(),
        dones=(torch.rand(1, BATCH_SIZE, generator=generator) < 0.2).to(dtype),
        next_observations=normal(OBSERVATION_DIM),
    )


def pack_batch(seeds: list[int], step: int, dtype: torch.dtype = torch.float32) -> Batch:
    rows = [batch_of(seed, step, dtype) for seed in seeds]
    return Batch(**{name: torch.cat([getattr(row, name) for row in rows]) for name in Batch.__dataclass_fields__})


def draws_of(config: AgentConfig, seeds: list[int], step: int, dtype: torch.dtype = torch.float32) -> Draws:
    return UpdateNoise(seeds, config, BATCH_SIZE, ACTION_DIM, dtype=dtype).draws(step)


def inputs_of(config: AgentConfig, seeds: list[int], device: str = "cpu", epoch: int = 6) -> Inputs:
    """Of steps on random transitions, as many as `epoch` batches take."""
    batches = [batch_of(100, number) for number in range(epoch)]
    fields = Batch.__dataclass_fields__
    data = Batch(**{name: torch.cat([getattr(batch, name)[0] for batch in batches]).to(device) for name in fields})
    scan = ShuffledScan(seeds, len(data.rewards), BATCH_SIZE, device)
    return Inputs(data, scan, UpdateNoise(seeds, config, BATCH_SIZE, ACTION_DIM, device))


def make_agent(config: AgentConfig, seeds: list[int], dtype: torch.dtype = torch.float32) -> Agent:
    return Agent(config, seeds, OBSERVATION_DIM, ACTION_DIM, dtype=dtype)


def advance(agent: Agent, seeds: list[int], steps: int) -> list[dict[str, Tensor]]:
    """Make gradient steps on the runs' own batches and draws; returns the metrics of each."""
    noise = UpdateNoise(seeds, agent.config, BATCH_SIZE, ACTION_DIM)
    return [agent.update(pack_batch(seeds, agent.step), noise.draws(agent.step)) for _ in range(steps)]


def assert_states_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Equal to the bit."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
