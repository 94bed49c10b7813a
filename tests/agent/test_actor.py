from __future__ import annotations

import dataclasses

import pytest
import torch
from small import ACTION_DIM, draws_of, make_agent, pack_batch, small_config
from torch import Tensor

from dac.agent import Agent, AgentConfig, Batch, Draws
from dac.agent.actor import actor_loss, q_gradient, q_norm
from dac.agent.agent import updated_eta
from dac.agent.diffusion import forward_noise, make_schedule
from dac.agent.networks import noise_prediction, q_values

SEEDS = [0, 1]


def loss_of(agent: Agent, batch: Batch, draws: Draws, eta: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    config = agent.config
    schedule = make_schedule(config.beta_schedule, config.diffusion_steps, dtype=torch.float64)
    return actor_loss(config, schedule, agent.policy.actor, agent.policy.critic, batch=batch, draws=draws, eta=eta)


def setup(guidance: str) -> tuple[Agent, Batch, Draws, Tensor]:
    config = small_config(guidance=guidance)
    agent = make_agent(config, SEEDS, torch.float64)
    batch, draws = pack_batch(SEEDS, 0, torch.float64), draws_of(config, SEEDS, 0, torch.float64)
    return agent, batch, draws, torch.tensor([0.5, 2.0], dtype=torch.float64)


@pytest.mark.parametrize("guidance", ["soft", "hard"])
def test_gradient_guidance_by_definition(guidance: str) -> None:
    agent, batch, draws, eta = setup(guidance)
    schedule = make_schedule("vp", 5, dtype=torch.float64)
    loss, metrics = loss_of(agent, batch, draws, eta)
    x_t, scale = forward_noise(schedule, batch.actions, draws.t, draws.eps)
    prediction = noise_prediction(agent.policy.actor, x_t, batch.observations, draws.t)
    norm = q_values(agent.policy.critic, batch.observations, batch.actions).abs().mean((1, 2))
    x_t.requires_grad_()
    (slope,) = torch.autograd.grad(q_values(agent.policy.critic, batch.observations, x_t).mean(1).sum(), x_t)
    gradient = slope / (norm[:, None, None] + 1e-6)
    weight = scale if guidance == "soft" else torch.ones_like(scale)
    expected = (weight * gradient * prediction).mean((1, 2))
    bc = ((prediction - draws.eps) ** 2).mean((1, 2))
    torch.testing.assert_close(metrics["guidance_loss"], expected.detach())
    torch.testing.assert_close(metrics["bc_loss"], bc.detach())
    torch.testing.assert_close(loss, eta * bc + expected)
    torch.testing.assert_close(metrics["q_norm"], norm)
    torch.testing.assert_close(metrics["q_grad"], gradient.mean((1, 2)))
    torch.testing.assert_close(metrics["q_grad_abs"], gradient.abs().mean((1, 2)))


def test_q_gradient_equals_finite_differences() -> None:
    agent, batch, _, _ = setup("soft")
    critic = agent.policy.critic
    norm = q_norm(critic, batch)
    gradient = q_gradient(critic, batch.observations, batch.actions, norm)
    assert not gradient.requires_grad
    for component in range(ACTION_DIM):
        shift = torch.zeros(ACTION_DIM, dtype=torch.float64)
        shift[component] = 1e-5
        above = q_values(critic, batch.observations, batch.actions + shift).mean(1)
        below = q_values(critic, batch.observations, batch.actions - shift).mean(1)
        expected = (above - below) / 2e-5 / (norm[:, None] + 1e-6)
        torch.testing.assert_close(gradient[..., component], expected, rtol=1e-6, atol=1e-8)


def test_denoised_guidance_differentiates_through_the_whole_chain() -> None:
    agent, batch, draws, eta = setup("denoised")
    _, metrics = loss_of(agent, batch, draws, eta)
    kernel = agent.policy.actor["noise/1/kernel"]
    (gradient,) = torch.autograd.grad(loss_of(agent, batch, draws, 0 * eta)[0].sum(), kernel)
    direction = torch.randn_like(kernel)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            kernel.add_(sign * 1e-6 * direction)
        values.append(loss_of(agent, batch, draws, 0 * eta)[0].sum().item())
        with torch.no_grad():
            kernel.sub_(sign * 1e-6 * direction)
    assert (gradient * direction).sum().item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)
    # The reverse chain is that of acting: one candidate from the same prior and noise.
    assert draws.actor_prior is not None
    _, chosen_q = agent.policy.candidates(batch.observations, 1, draws.actor_prior, draws.actor_z)
    expected = -chosen_q.mean((1, 2)) / (metrics["q_norm"] + 1e-6)
    torch.testing.assert_close(metrics["guidance_loss"], expected)


def test_denoised_guidance_asks_for_its_draws() -> None:
    agent, batch, draws, eta = setup("denoised")
    with pytest.raises(ValueError, match="actor_prior and actor_z"):
        loss_of(agent, batch, dataclasses.replace(draws, actor_prior=None), eta)


def test_no_guidance_is_scaled_behaviour_cloning() -> None:
    agent, batch, draws, eta = setup("none")
    loss, metrics = loss_of(agent, batch, draws, eta)
    torch.testing.assert_close(loss, eta * metrics["bc_loss"])
    assert metrics["guidance_loss"].tolist() == [0.0, 0.0]


def test_eta_ascends_clipped_and_bounded() -> None:
    config = AgentConfig(eta_lr=0.1, bc_threshold=1.0, eta_min=0.05, eta_max=2.0)
    eta = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.06, 1.95])
    bc = torch.tensor([1.5, 0.8, 9.0, -4.0, 0.0, 7.0])
    expected = torch.tensor([1.05, 0.98, 1.1, 0.9, 0.05, 2.0])
    torch.testing.assert_close(updated_eta(config, eta, bc), expected)
