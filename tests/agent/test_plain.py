"""The algorithm on one page and the fast agent compute the same numbers.

In float64 the two differ by PyTorch's clipping alone, which adds 1e-6 to the norm.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from small import ACTION_DIM, OBSERVATION_DIM, batch_of, draws_of, make_agent, small_config
from torch import Tensor, nn

from dac.agent import ActingNoise, Agent, AgentConfig
from dac.agent.plain import PlainAgent

STEPS = 10
DOUBLE = torch.float64


def layers(network: nn.Sequential) -> list[nn.Linear]:
    return [module for module in network if isinstance(module, nn.Linear)]


def parameters(plain: PlainAgent) -> dict[str, list[Tensor]]:
    """The plain agent's parameters, to read and write, under the names of `Agent.run_state`: those of each member."""
    found: dict[str, list[Tensor]] = {}
    for prefix, actor, critics in (
        ("", plain.actor, plain.critics),
        ("target_", plain.target_actor, plain.target_critics),
    ):
        networks = {"actor/time": [actor.time], "actor/noise": [actor.noise], "critic": list(critics)}
        for name, members in networks.items():
            for number, same in enumerate(zip(*(layers(member) for member in members), strict=True)):
                found[f"{prefix}{name}/{number}/kernel"] = [layer.weight.data.T for layer in same]
                found[f"{prefix}{name}/{number}/bias"] = [layer.bias.data for layer in same]
    return found


def members_of(name: str, value: Tensor) -> list[Tensor]:
    """A parameter of `Agent.run_state`, of each member of its network."""
    return list(value) if "critic" in name else [value]


def twins(config: AgentConfig) -> tuple[Agent, PlainAgent]:
    """The fast agent, and the plain one with its initial parameters."""
    agent = make_agent(config, [0], DOUBLE)
    plain = PlainAgent(config, OBSERVATION_DIM, ACTION_DIM, torch.device("cpu"), DOUBLE)
    state = agent.run_state(0)
    for name, members in parameters(plain).items():
        for member, value in zip(members, members_of(name, state[name]), strict=True):
            member.copy_(value)
    return agent, plain


def train(agent: Agent, plain: PlainAgent, **changed: Any) -> None:
    """Both make the same steps; their losses, and at the end their parameters and eta, are compared."""
    initial = agent.run_state(0)
    for step in range(STEPS):
        batch = batch_of(0, step, DOUBLE)
        draws = dataclasses.replace(draws_of(agent.config, [0], step, DOUBLE), **changed)
        metrics, losses = agent.update(batch, draws), plain.update(batch, draws)
        for name, value in losses.items():
            torch.testing.assert_close(value, metrics[name][0], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(plain.eta, agent.eta[0], rtol=1e-9, atol=0)
    state, found = agent.run_state(0), parameters(plain)
    assert found.keys() == {name for name in state if "_adam/" not in name} - {"eta", "active"}
    for name, members in found.items():
        values, before = torch.stack(members), torch.stack(members_of(name, initial[name]))
        expected = torch.stack(members_of(name, state[name]))
        assert torch.allclose(values, expected, rtol=1e-6, atol=1e-7), name
        assert not torch.equal(values, before), f"{name} did not train"


@pytest.mark.parametrize("q_target", ["lcb", "min", "convex"])
@pytest.mark.parametrize("guidance", ["soft", "hard", "denoised", "none"])
def test_every_guidance_with_every_target(guidance: str, q_target: str) -> None:
    train(*twins(small_config(guidance=guidance, q_target=q_target, lcb_coefficient=0.7, eta_lr=0.01)))


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "ddim"},
        {"sampler": "ddim", "sampler_steps": 2, "guidance": "denoised"},
        {"clip_denoised": False, "beta_schedule": "cosine", "diffusion_steps": 7},
        {"max_backup": True, "eta_lr": 0.0, "eta": 0.1},
        {"lr_decay_steps": 7, "gradient_clip": 0.05, "actor_ema_start": 3},
    ],
    ids=str,
)
def test_every_other_setting_of_a_step(settings: dict[str, Any]) -> None:
    train(*twins(small_config(**settings)))


def test_transitions_that_all_end_their_episodes() -> None:
    train(*twins(small_config()), critic_prior=None, critic_z=None)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_acting(temperature: float) -> None:
    config = small_config(temperature=temperature)
    agent, plain = twins(config)
    draws = ActingNoise([0], "test", 0, config, 6, 5, ACTION_DIM, dtype=DOUBLE).draws(0)
    states = torch.randn(6, OBSERVATION_DIM, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    expected = agent.policy.act(states.unsqueeze(0), 5, draws.prior, draws.z, gumbel=draws.gumbel)
    gumbel = None if draws.gumbel is None else draws.gumbel[0]
    assert draws.z is not None
    found = plain.act(states, 5, draws.prior[0], draws.z[0], gumbel)
    torch.testing.assert_close(found, expected[0], rtol=1e-9, atol=1e-9)


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match="precision: 'bf16'; the plain agent has fp32 alone"):
        PlainAgent(AgentConfig(precision="bf16"), 3, 2, torch.device("cpu"))
