"""How far the values that a precision learns from are from those of the same networks in float64."""

from __future__ import annotations

import dataclasses

import torch

from dac.agent import Agent, AgentConfig
from dac.agent.critic import next_values
from dac.agent.precision import matrix_products
from dac.bench.workload import Workload

STEPS = 25  # of training on random numbers before, so that online and target networks are not those of the start
LEVEL = 100.0  # added to the values: those of a trained critic are large against the ensemble's spread


def target_error(config: AgentConfig, sizes: tuple[int, int], device: torch.device) -> dict[str, float]:
    """Error of the next states' values, the targets but for their rewards, of one batch.

    Args:
        config: with the precision in question.
        sizes: of the observation and the action.

    Returns:
        `rms` and `mean` of the difference from float64, and `ensemble_std`, the mean spread of the values that the
        lower confidence bound subtracts a multiple of: in the values' own unit.
    """
    work = Workload(dataclasses.replace(config, precision="fp32"), 1, sizes, device)
    for _ in range(STEPS):
        work.step()
    state = work.agent.run_state(0)
    state[f"target_critic/{len(config.hidden_sizes)}/bias"] += LEVEL
    batch, draws = work.batch(), work.noise.draws(work.agent.step)
    prior = draws.critic_prior
    assert prior is not None  # transitions do not end here

    def values(config: AgentConfig, dtype: torch.dtype) -> torch.Tensor:
        agent = Agent.from_run_states(config, [state], STEPS, device, dtype)
        z = None if draws.critic_z is None else draws.critic_z.to(dtype)
        _, found = agent.next_action_values(batch.next_observations.to(dtype), prior.to(dtype), z)
        return found.double()

    with matrix_products(config.precision):
        found = values(config, torch.float32)
    exact = values(work.config, torch.float64)
    error = next_values(config, found) - next_values(config, exact)
    return {
        "rms": error.square().mean().sqrt().item(),
        "mean": error.mean().item(),
        "ensemble_std": exact.std(1, correction=0).mean().item(),
    }
