"""Diffusion Actor-Critic on one page: the algorithm as one would first write it in PyTorch.

One run, one module per network, launched operation by operation, with PyTorch's own modules, optimiser and clipping.
`dac.agent.Agent` computes the same numbers for many runs at once (the tests hold the two together), and `dac bench`
compares the time of the two. At each line stands what it is in the paper, arXiv 2405.20555 (ICLR 2025); where the
paper and its authors' released code differ, it is the code's.

Axes: B transitions, N next actions of each, H critics, T diffusion steps, O observation and A action components.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from dac.agent import AgentConfig, Batch, Draws
from dac.agent.diffusion import ddim_times, make_schedule

FREQUENCIES = 8
TIME_SIZES = (2 * FREQUENCIES, 32, 32)


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with mish between them; Xavier-uniform kernels, biases of zero."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Mish()]
    return nn.Sequential(*layers[:-1])


class NoisePredictor(nn.Module):
    """The actor, eps_theta(x_t, s, t): (n, A), (n, O), (n,) -> (n, A)."""

    def __init__(self, observation_dim: int, action_dim: int, hidden_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.time = mlp(*TIME_SIZES)
        self.noise = mlp(observation_dim + action_dim + TIME_SIZES[-1], *hidden_sizes, action_dim)

    def forward(self, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        exponents = torch.arange(FREQUENCIES, device=s.device, dtype=s.dtype) / (FREQUENCIES - 1)
        angles = t.unsqueeze(-1) * torch.exp(-math.log(10000.0) * exponents)
        embedded = self.time(torch.cat([angles.cos(), angles.sin()], -1))
        prediction: Tensor = self.noise(torch.cat([s, x_t, embedded], -1))
        return prediction


class PlainAgent:
    """One run of DAC, from random initial parameters.

    Args:
        config: of any guidance, target and sampler, in `fp32`. observation_dim: O. action_dim: A.

    Raises:
        ValueError: the configuration has another precision.
    """

    def __init__(
        self,
        config: AgentConfig,
        observation_dim: int,
        action_dim: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if config.precision != "fp32":
            raise ValueError(f"precision: {config.precision!r}; the plain agent has fp32 alone")
        self.config = config
        self.schedule = make_schedule(config.beta_schedule, config.diffusion_steps, device, dtype)
        self.actor = NoisePredictor(observation_dim, action_dim, config.hidden_sizes).to(device, dtype)
        sizes = (observation_dim + action_dim, *config.hidden_sizes, 1)
        self.critics = nn.ModuleList(mlp(*sizes) for _ in range(config.ensemble_size)).to(device, dtype)  # Q-ensemble
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr)
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr)
        self.eta = torch.tensor(config.eta, device=device, dtype=dtype)
        self.step = 0

    def update(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """One gradient step on the first run of a batch and its draws; returns critic_loss, bc_loss and actor_loss."""
        config = self.config

        q = self.values(self.critics, batch.observations[0], batch.actions[0])
        critic_loss = (q - self.targets(batch, draws)).square().mean()  # every critic learns the same target
        self.descend(self.critic_optimiser, self.critics, critic_loss, config.critic_lr)
        self.follow(self.target_critics, self.critics)

        bc_loss, guidance = self.actor_losses(batch, draws)
        actor_loss = self.eta * bc_loss + guidance  # noise regression whose minimiser is Theorem 2's, up to a factor
        self.descend(self.actor_optimiser, self.actor, actor_loss, config.actor_lr)

        if config.eta_lr > 0 and config.guidance != "none":  # dual ascent on eta, the multiplier of bc_loss <= b
            ascent = config.eta_lr * (bc_loss.detach() - config.bc_threshold).clamp(-1, 1)
            self.eta = (self.eta + ascent).clamp(config.eta_min, config.eta_max)

        if self.step % config.actor_ema_interval == 0 and self.step > config.actor_ema_start:
            self.follow(self.target_actor, self.actor)
        self.step += 1
        return {"critic_loss": critic_loss.detach(), "bc_loss": bc_loss.detach(), "actor_loss": actor_loss.detach()}

    def values(self, critics: nn.ModuleList, s: Tensor, a: Tensor) -> Tensor:
        """Q_h(s, a) of every critic: (n, O), (n, A) -> (H, n)."""
        return torch.stack([critic(torch.cat([s, a], -1)).squeeze(-1) for critic in critics])

    # The critics

    @torch.no_grad()
    def targets(self, batch: Batch, draws: Draws) -> Tensor:
        """y = r + gamma (1 - done) v(s'), (B,)."""
        if draws.critic_prior is None:  # every transition ends its episode, as in the bandit of Fig. 2
            return batch.rewards[0]
        samples = self.config.next_action_samples
        s = batch.next_observations[0].repeat_interleave(samples, 0)
        a = self.sample(
            self.target_actor, s, draws.critic_prior[0], None if draws.critic_z is None else draws.critic_z[0]
        )
        q = self.values(self.target_critics, s, a).view(self.config.ensemble_size, -1, samples)
        v = q.amax(-1) if self.config.max_backup else q.mean(-1)  # max backup: AntMaze (appendix)
        return batch.rewards[0] + self.config.discount * (1 - batch.dones[0]) * self.combined(v)

    def combined(self, v: Tensor) -> Tensor:
        """The ensemble's one value of each next state: (H, B) -> (B,)."""
        rho, target = self.config.lcb_coefficient, self.config.q_target
        if target == "lcb":  # the paper's: the lower confidence bound of the Q-ensemble
            return v.mean(0) - rho * v.std(0, correction=0)
        if target == "min":  # compared with lcb in Table 6 (appendix)
            return v.amin(0)
        if target == "convex":
            return rho * v.amin(0) + (1 - rho) * v.amax(0)
        raise ValueError(f"q_target: {target!r} is not written plainly")

    # The actor

    def actor_losses(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Behaviour cloning and guidance; the target critics are those of this step."""
        s, a, t, eps = batch.observations[0], batch.actions[0], draws.t[0], draws.eps[0]
        alpha_bar = self.schedule.alpha_bars[t].unsqueeze(-1)
        noise_scale = (1 - alpha_bar).sqrt()
        x_t = alpha_bar.sqrt() * a + noise_scale * eps  # forward process
        prediction = self.actor(x_t, s, t)
        bc_loss = (prediction - eps).square().mean()  # its minimiser is the score of the behaviour policy, Theorem 1

        norm = self.values(self.target_critics, s, a).abs().mean() + 1e-6  # the scale of Q: of the released code
        guidance = self.config.guidance  # the types of Table 2 and Fig. 3, and behaviour cloning alone
        if guidance == "soft":  # the paper's soft Q-guidance: it vanishes with the noise, t -> 0
            return bc_loss, (noise_scale * self.q_gradient(s, x_t) / norm * prediction).mean()
        if guidance == "hard":
            return bc_loss, (self.q_gradient(s, x_t) / norm * prediction).mean()
        if guidance == "denoised":  # Diffusion-QL's (arXiv 2208.06193): the gradient goes through all T steps
            assert draws.actor_prior is not None
            assert draws.actor_z is not None
            denoised = self.ddpm(self.actor, s, draws.actor_prior[0], draws.actor_z[0])
            return bc_loss, -self.values(self.target_critics, s, denoised).mean() / norm
        if guidance == "none":
            return bc_loss, torch.zeros_like(bc_loss)
        raise ValueError(f"guidance: {guidance!r} is not written plainly")

    def q_gradient(self, s: Tensor, x_t: Tensor) -> Tensor:
        """The gradient of the ensemble's mean at the noised actions, (B, A)."""
        x_t = x_t.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.values(self.target_critics, s, x_t).mean(0).sum(), x_t)
        return gradient

    # The reverse process

    def sample(self, actor: NoisePredictor, s: Tensor, prior: Tensor, z: Tensor | None) -> Tensor:
        """Actions in the states (n, O) from the prior x_T (n, A) by the configured sampler, (n, A)."""
        if self.config.sampler == "ddim":
            return self.ddim(actor, s, prior)
        assert z is not None
        return self.ddpm(actor, s, prior, z)

    def clean(self, actor: NoisePredictor, s: Tensor, x: Tensor, t: int) -> Tensor:
        """The action x_0 that the predicted noise implies, kept in the range of actions."""
        alpha_bar = self.schedule.alpha_bars[t]
        noise = actor(x, s, torch.full((len(x),), t, device=x.device))
        x_0: Tensor = (x - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()
        return x_0.clamp(-1, 1) if self.config.clip_denoised else x_0

    def ddpm(self, actor: NoisePredictor, s: Tensor, prior: Tensor, z: Tensor) -> Tensor:
        """The stochastic process, the paper's; the noise's variance is beta_t."""
        x, betas, alpha_bars = prior, self.schedule.betas, self.schedule.alpha_bars
        for row, t in enumerate(range(self.schedule.steps, 0, -1)):
            x_0, beta, before = self.clean(actor, s, x, t), betas[t], alpha_bars[t - 1]
            mean = (before.sqrt() * beta * x_0 + (1 - beta).sqrt() * (1 - before) * x) / (1 - alpha_bars[t])
            x = mean + beta.sqrt() * z[row] if t > 1 else mean
        return x

    def ddim(self, actor: NoisePredictor, s: Tensor, prior: Tensor) -> Tensor:
        """The deterministic process (Song et al. 2021), not in the paper: any number of steps up to T."""
        x, alpha_bars = prior, self.schedule.alpha_bars
        for t, before in pairwise(ddim_times(self.schedule.steps, self.config.sampler_steps or self.schedule.steps)):
            x_0 = self.clean(actor, s, x, t)
            noise = (x - alpha_bars[t].sqrt() * x_0) / (1 - alpha_bars[t]).sqrt()
            x = alpha_bars[before].sqrt() * x_0 + (1 - alpha_bars[before]).sqrt() * noise
        return x

    @torch.no_grad()
    def act(self, s: Tensor, samples: int, prior: Tensor, z: Tensor | None, gumbel: Tensor | None = None) -> Tensor:
        """Policy extraction: the best of N_a = `samples` candidates in each state, (n, O) -> (n, A).

        Args:
            prior: (n * N_a, A), neighbours of one state. z: (T - 1 or T, n * N_a, A); None for ddim.
            gumbel: (n, N_a), where the configured temperature is positive: the choice is then drawn (not in the paper).
        """
        s, temperature = s.repeat_interleave(samples, 0), self.config.temperature
        a = self.sample(self.actor, s, prior, z)
        q = self.values(self.target_critics, s, a).mean(0).view(-1, samples)
        if temperature > 0:
            assert gumbel is not None
            q = q / (temperature * q.abs().mean(-1, keepdim=True)) + gumbel
        return a.view(*q.shape, -1)[torch.arange(len(q)), q.argmax(-1)].clamp(-1, 1)

    # Steps of the optimiser and of the averages

    def descend(self, optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor, rate: float) -> None:
        """One step of Adam along the clipped gradient; the rate follows a cosine to zero where it decays."""
        if self.config.lr_decay_steps is not None:
            rate *= (1 + math.cos(math.pi * min(self.step / self.config.lr_decay_steps, 1.0))) / 2
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), self.config.gradient_clip)  # of the whole ensemble at once
        optimiser.step()

    @torch.no_grad()
    def follow(self, target: nn.Module, online: nn.Module) -> None:
        """target <- (1 - tau) target + tau online."""
        for old, new in zip(target.parameters(), online.parameters(), strict=True):
            old.lerp_(new, self.config.target_rate)
