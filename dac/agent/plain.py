"""Soft guidance as one would first write it in PyTorch: what `dac bench` compares the agent's speed with.

One run, one module per network, one after the other, launched operation by operation, with PyTorch's own modules,
optimiser and clipping. The tests hold it against `dac.agent.Agent`: it makes the same numbers.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from dac.agent import AgentConfig, Batch, Draws
from dac.agent.diffusion import make_schedule

FREQUENCIES = 8
TIME_SIZES = (2 * FREQUENCIES, 32, 32)


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with mish between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Mish()]
    return nn.Sequential(*layers[:-1])


class NoisePredictor(nn.Module):
    """eps_theta(x_t, s, t)."""

    def __init__(self, observation_dim: int, action_dim: int, hidden_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.time = mlp(*TIME_SIZES)
        self.noise = mlp(observation_dim + action_dim + TIME_SIZES[-1], *hidden_sizes, action_dim)

    def forward(self, x_t: Tensor, observations: Tensor, t: Tensor) -> Tensor:
        exponents = torch.arange(FREQUENCIES, device=t.device) / (FREQUENCIES - 1)
        angles = t.unsqueeze(-1) * torch.exp(-math.log(10000.0) * exponents)
        embedded = self.time(torch.cat([angles.cos(), angles.sin()], -1))
        prediction: Tensor = self.noise(torch.cat([observations, x_t, embedded], -1))
        return prediction


class PlainAgent:
    """One run of DAC with soft guidance and lower-confidence-bound targets.

    Args:
        config: soft guidance, `lcb` targets, the `ddpm` sampler, constant learning rates. observation_dim: O.
        action_dim: A.

    Raises:
        ValueError: the configuration asks for something else.
    """

    def __init__(self, config: AgentConfig, observation_dim: int, action_dim: int, device: torch.device) -> None:
        if (config.guidance, config.q_target, config.sampler, config.lr_decay_steps) != ("soft", "lcb", "ddpm", None):
            raise ValueError("the plain agent has soft guidance, lcb targets, the ddpm sampler and constant rates")
        self.config = config
        self.schedule = make_schedule(config.beta_schedule, config.diffusion_steps, device)
        self.actor = NoisePredictor(observation_dim, action_dim, config.hidden_sizes).to(device)
        sizes = (observation_dim + action_dim, *config.hidden_sizes, 1)
        self.critics = nn.ModuleList(mlp(*sizes) for _ in range(config.ensemble_size)).to(device)
        self.target_actor, self.target_critics = copy.deepcopy(self.actor), copy.deepcopy(self.critics)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr)
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr)
        self.eta = torch.tensor(config.eta, device=device)
        self.step = 0

    def update(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """One gradient step on the first run of a batch and its draws; returns critic_loss, bc_loss and actor_loss."""
        observations, actions = batch.observations[0], batch.actions[0]
        q = self._values(self.critics, observations, actions)
        critic_loss = (q - self._targets(batch, draws)).square().mean()
        self._descend(self.critic_optimiser, self.critics, critic_loss)
        self._follow(self.target_critics, self.critics)
        bc_loss, actor_loss = self._actor_loss(observations, actions, draws)
        self._descend(self.actor_optimiser, self.actor, actor_loss)
        config = self.config
        rise = config.eta_lr * (bc_loss.detach() - config.bc_threshold).clamp(-1, 1)
        self.eta = (self.eta + rise).clamp(config.eta_min, config.eta_max)
        if self.step % config.actor_ema_interval == 0 and self.step > config.actor_ema_start:
            self._follow(self.target_actor, self.actor)
        self.step += 1
        return {"critic_loss": critic_loss.detach(), "bc_loss": bc_loss.detach(), "actor_loss": actor_loss.detach()}

    def _values(self, critics: nn.ModuleList, observations: Tensor, actions: Tensor) -> Tensor:
        """(H, n)."""
        inputs = torch.cat([observations, actions], -1)
        return torch.stack([critic(inputs).squeeze(-1) for critic in critics])

    @torch.no_grad()
    def _targets(self, batch: Batch, draws: Draws) -> Tensor:
        assert draws.critic_prior is not None
        assert draws.critic_z is not None
        samples = self.config.next_action_samples
        states = batch.next_observations[0].repeat_interleave(samples, 0)
        actions = self._sample(states, draws.critic_prior[0], draws.critic_z[0])
        values = self._values(self.target_critics, states, actions).view(len(self.critics), -1, samples).mean(-1)
        bound = values.mean(0) - self.config.lcb_coefficient * values.std(0, correction=0)
        return batch.rewards[0] + self.config.discount * (1 - batch.dones[0]) * bound

    def _sample(self, states: Tensor, prior: Tensor, z: Tensor) -> Tensor:
        x, alpha_bars, betas = prior, self.schedule.alpha_bars, self.schedule.betas
        for row, t in enumerate(range(self.schedule.steps, 0, -1)):
            noise = self.target_actor(x, states, torch.full((len(x),), t, device=x.device))
            clean = ((x - (1 - alpha_bars[t]).sqrt() * noise) / alpha_bars[t].sqrt()).clamp(-1, 1)
            before = alpha_bars[t - 1]
            x = before.sqrt() * betas[t] * clean + (1 - betas[t]).sqrt() * (1 - before) * x
            x = x / (1 - alpha_bars[t]) + (betas[t].sqrt() * z[row] if t > 1 else 0)
        return x

    def _actor_loss(self, observations: Tensor, actions: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        alpha_bar = self.schedule.alpha_bars[draws.t[0]].unsqueeze(-1)
        scale, eps = (1 - alpha_bar).sqrt(), draws.eps[0]
        x_t = alpha_bar.sqrt() * actions + scale * eps
        prediction = self.actor(x_t, observations, draws.t[0])
        bc_loss = (prediction - eps).square().mean()
        with torch.no_grad():
            norm = self._values(self.target_critics, observations, actions).abs().mean()
        x_t.requires_grad_()
        (gradient,) = torch.autograd.grad(self._values(self.target_critics, observations, x_t).mean(0).sum(), x_t)
        guidance = (scale * gradient / (norm + 1e-6) * prediction).mean()
        return bc_loss, self.eta * bc_loss + guidance

    def _descend(self, optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), self.config.gradient_clip)
        optimiser.step()

    @torch.no_grad()
    def _follow(self, target: nn.Module, online: nn.Module) -> None:
        for old, new in zip(target.parameters(), online.parameters(), strict=True):
            old.lerp_(new, self.config.target_rate)
