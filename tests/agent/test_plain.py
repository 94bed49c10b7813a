"""The plain agent that speed is compared with computes what the agent does."""

from __future__ import annotations

import pytest
import torch
from small import ACTION_DIM, OBSERVATION_DIM, batch_of, draws_of, small_config

from dac.agent import Agent, AgentConfig
from dac.agent.plain import PlainAgent


def plain_copy(agent: Agent) -> PlainAgent:
    """A plain agent with the parameters of an agent's only run."""
    plain = PlainAgent(agent.config, OBSERVATION_DIM, ACTION_DIM, torch.device("cpu"))
    state = agent.run_state(0)
    with torch.no_grad():
        for part, network in {"time": plain.actor.time, "noise": plain.actor.noise}.items():
            for layer, module in enumerate(network[::2]):
                module.weight.copy_(state[f"actor/{part}/{layer}/kernel"].T)
                module.bias.copy_(state[f"actor/{part}/{layer}/bias"])
        for member, critic in enumerate(plain.critics):
            for layer, module in enumerate(critic[::2]):
                module.weight.copy_(state[f"critic/{layer}/kernel"][member].T)
                module.bias.copy_(state[f"critic/{layer}/bias"][member])
    plain.target_actor.load_state_dict(plain.actor.state_dict())
    plain.target_critics.load_state_dict(plain.critics.state_dict())
    return plain


def test_it_makes_the_agents_numbers() -> None:
    """Losses of ten steps in float32; clipping adds 1e-6 to the norm in PyTorch."""
    config = small_config(actor_ema_start=2, actor_ema_interval=3)
    agent = Agent(config, [0], OBSERVATION_DIM, ACTION_DIM)
    plain = plain_copy(agent)
    for step in range(10):
        batch, draws = batch_of(0, step), draws_of(config, [0], step)
        expected, found = agent.update(batch, draws), plain.update(batch, draws)
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name][0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(plain.eta, agent.eta[0])


def test_other_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="soft guidance"):
        PlainAgent(AgentConfig(guidance="hard"), 3, 2, torch.device("cpu"))
