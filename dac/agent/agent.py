"""Diffusion Actor-Critic (arXiv 2405.20555) for a pack of independent runs.

Axes: R runs, H critics, B transitions, N next-action samples, T diffusion steps, O observation and A action components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dac.agent import actor as actor_objective
from dac.agent import critic as critic_objective
from dac.agent.batch import Batch, Draws
from dac.agent.components import GUIDANCES
from dac.agent.config import AgentConfig
from dac.agent.critic import Metrics
from dac.agent.diffusion import make_schedule
from dac.agent.networks import (
    Params,
    actor_layout,
    computed_natively,
    critic_layout,
    initial_parameters,
    q_values,
)
from dac.agent.optim import Adam, cosine_decay, moving_average
from dac.agent.parameters import Layout, Parameters
from dac.agent.policy import Policy, sample_actions, state_dims
from dac.agent.precision import matrix_products, without_gradient
from dac.agent.streams import stream_generator

# Measured on a CPU: fewer states cost more by their calls than the cache saves, and more bytes of a run's activations
# than these, half of a core's second-level cache, by leaving it.
LEAST_TILE, TILE_BYTES = 64, 2**19


def initial_run_state(config: AgentConfig, seed: int, observation_dim: int, action_dim: int) -> dict[str, Tensor]:
    """State of a run at step 0, a pure function of its seed; the layout is that of `Agent.run_state`.

    Target networks equal the online ones and the optimisers' moments are zero. Values are float64.
    """
    layouts = _layouts(config, observation_dim, action_dim)
    state: dict[str, Tensor] = {}
    for network, layout in layouts.items():
        values = initial_parameters(layout, stream_generator(seed, f"parameters/{network}", 0))
        for name, value in values.items():
            state[f"{network}/{name}"] = value
            state[f"target_{network}/{name}"] = value
            state[f"{network}_adam/m/{name}"] = torch.zeros_like(value)
            state[f"{network}_adam/v/{name}"] = torch.zeros_like(value)
    state["eta"] = torch.tensor(config.eta, dtype=torch.float64)
    state["active"] = torch.tensor(True)
    return state


def _layouts(config: AgentConfig, observation_dim: int, action_dim: int) -> dict[str, Layout]:
    return {
        "actor": actor_layout(observation_dim, action_dim, config.hidden_sizes),
        "critic": critic_layout(observation_dim, action_dim, config.hidden_sizes, config.ensemble_size),
    }


class Trained:
    """One network of every run with its target and its optimiser."""

    def __init__(self, name: str, layout: Layout, runs: int, device: torch.device | str, dtype: torch.dtype) -> None:
        self.online = Parameters(layout, runs, device, dtype).requires_grad_()
        self.target = Parameters(layout, runs, device, dtype)
        self.first = Parameters(layout, runs, device, dtype)
        self.second = Parameters(layout, runs, device, dtype)
        self.adam = Adam(self.first.matrix, self.second.matrix)
        self.parts = {
            f"{name}/": self.online,
            f"target_{name}/": self.target,
            f"{name}_adam/m/": self.first,
            f"{name}_adam/v/": self.second,
        }

    def descend(self, loss: Tensor, active: Tensor, step: Tensor, lr: Tensor, max_norm: float) -> Tensor:
        """One clipped Adam step on the loss (R,) of the active runs; returns (R,) which of them remain finite.

        A run whose loss or gradient is not finite is left as it is.
        """
        gradient = self.online.gradient(loss.sum())
        return self.adam.descend(self.online.matrix, gradient, loss.detach(), active, step, lr, max_norm)

    def follow(self, rate: Tensor | float, active: Tensor) -> None:
        """Move the target of the active runs towards the online network."""
        moving_average(self.target.matrix, self.online.matrix, rate, active)


class Agent:
    """R independent runs of DAC that advance together.

    Losses are summed over runs, so gradients never mix; clipping, eta and the freezing of a diverged run are per run.

    Args:
        config: shared by the runs. seeds: one per run, for the initial parameters. observation_dim: O. action_dim: A.

    Attributes:
        eta: (R,), weight of the behaviour-cloning loss.
        active: (R,) bool; False from the first non-finite loss or gradient of a run on. Its parameters, moments and eta
            then stay what they were, to the bit.
        count: (), float64, the gradient steps that the device has counted; the rates of a step are computed from it.
        actor, critic: the networks.
        schedule: of the configured diffusion.
        policy: the acting part, on the current parameters.
    """

    def __init__(
        self,
        config: AgentConfig,
        seeds: Sequence[int],
        observation_dim: int,
        action_dim: int,
        device: torch.device | str = "cpu",
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        states = [initial_run_state(config, seed, observation_dim, action_dim) for seed in seeds]
        self._assemble(config, states, 0, device, dtype)

    @classmethod
    def from_run_states(
        cls,
        config: AgentConfig,
        states: Sequence[Mapping[str, Tensor]],
        step: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Agent:
        """Rebuild a pack from any runs' states at the same step; it continues as those runs would have, to the bit.

        Raises:
            ValueError: a state does not fit the configured networks.
        """
        agent = cls.__new__(cls)
        agent._assemble(config, states, step, device, dtype)
        return agent

    def _assemble(
        self,
        config: AgentConfig,
        states: Sequence[Mapping[str, Tensor]],
        step: int,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> None:
        runs = len(states)
        layouts = _layouts(config, *state_dims(states[0]))
        self.config = config
        self.count = torch.zeros((), device=device, dtype=torch.float64)
        self.step = step
        self.schedule = make_schedule(config.beta_schedule, config.diffusion_steps, device, dtype)
        self.actor = Trained("actor", layouts["actor"], runs, device, dtype)
        self.critic = Trained("critic", layouts["critic"], runs, device, dtype)
        for run, state in enumerate(states):
            for prefix, part in {**self.actor.parts, **self.critic.parts}.items():
                part.load_run_state(run, prefix, state)
        self.eta = torch.stack([state["eta"] for state in states]).to(device, dtype)
        self.active = torch.stack([state["active"] for state in states]).to(device)
        self.policy = Policy(config, self.schedule, self.actor.online.named, self.critic.target.named)

    @property
    def step(self) -> int:
        """Gradient steps made. The device keeps its own `count`."""
        return self._step

    @step.setter
    def step(self, step: int) -> None:
        self._step = step
        self.count.fill_(step)

    def device_step(self) -> int:
        """Gradient steps that the device has counted: `step`, if it made all that it was told to. Waits for it."""
        return int(self.count.item())

    @torch.no_grad()
    def next_action_values(self, next_observations: Tensor, prior: Tensor, z: Tensor | None) -> tuple[Tensor, Tensor]:
        """Actions of the target actor in the next states, and the target critics' values of them.

        PyTorch's operations go through the states in tiles on a CPU, so that activations stay in the cache. Rows do not
        depend on each other, so a tile changes no number but by rounding.

        Args:
            next_observations: (R, B, O). prior: (R, B*N, A). z: (R, T - 1 or T, B*N, A); None for ddim.

        Returns:
            Actions (R, B*N, A) and values (R, H, B, N).
        """
        states = next_observations.shape[1]
        samples = prior.shape[1] // states
        actor, critic = (
            without_gradient(network.target.named, self.config.precision, samples)
            for network in (self.actor, self.critic)
        )
        if next_observations.device.type != "cpu" or computed_natively(actor, next_observations):
            tile = states
        else:
            tile = cpu_tile(self.config, prior.element_size())
        parts = [
            self._tile_values(
                actor,
                critic,
                next_observations[:, start : start + tile],
                prior[:, start * samples : (start + tile) * samples],
                None if z is None else z[:, :, start * samples : (start + tile) * samples],
            )
            for start in range(0, states, tile)
        ]
        actions, values = zip(*parts, strict=True)
        return torch.cat(actions, 1), torch.cat(values, 2).view(len(prior), -1, states, samples)

    def _tile_values(
        self, actor: Params, critic: Params, observations: Tensor, prior: Tensor, z: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Actions (R, b*N, A) of the target actor in some states and the target critics' values (R, H, b*N)."""
        actions = sample_actions(self.config, self.schedule, actor, observations, prior, z)
        return actions, q_values(critic, observations, actions)

    def update(self, batch: Batch, draws: Draws) -> Metrics:
        """Make one gradient step: critic, target critic, actor (with the new target critic), eta, target actor.

        Never waits for the device.

        Returns:
            Metrics (R,): those of `critic.critic_loss` and `actor.actor_loss`, and eta, the value used in this step.
        """
        metrics = self.update_on_device(batch, draws)
        self.count_step()
        return metrics

    def update_on_device(self, batch: Batch, draws: Draws) -> Metrics:
        """The device's part of `update`: it changes tensors in place and depends on them alone, so it can be captured
        once and replayed (`dac.agent.graph`).
        """
        with matrix_products(self.config.precision):
            metrics = self._update_critic(batch, draws)
            metrics |= self.update_actor(batch, draws)
        self.count.add_(1)
        return metrics

    def count_step(self) -> None:
        """The host's part of `update`."""
        self._step += 1

    def _update_critic(self, batch: Batch, draws: Draws) -> Metrics:
        config = self.config
        targets = self.targets(batch, draws)
        loss, metrics = critic_objective.critic_loss(self.critic.online.named, batch, targets)
        lr = cosine_decay(config.critic_lr, self.count, config.lr_decay_steps)
        self.active.copy_(self.critic.descend(loss, self.active, self.count, lr, config.gradient_clip))
        self.critic.follow(config.target_rate, self.active)
        return metrics

    @torch.no_grad()
    def targets(self, batch: Batch, draws: Draws) -> Tensor:
        """The critics' targets (R, B); the rewards where the draws say that every transition terminates."""
        if draws.critic_prior is None:
            return batch.rewards
        _, next_q = self.next_action_values(batch.next_observations, draws.critic_prior, draws.critic_z)
        return critic_objective.td_targets(self.config, batch, next_q)

    def update_actor(self, batch: Batch, draws: Draws) -> Metrics:
        """The actor's part of a step on the device: the actor, eta and the target actor. Returns metrics (R,)."""
        config = self.config
        loss, metrics = actor_objective.actor_loss(
            config,
            self.schedule,
            self.actor.online.named,
            self.critic.target.named,
            batch=batch,
            draws=draws,
            eta=self.eta,
        )
        metrics["eta"] = self.eta.clone()
        lr = cosine_decay(config.actor_lr, self.count, config.lr_decay_steps)
        self.active.copy_(self.actor.descend(loss, self.active, self.count, lr, config.gradient_clip))
        if config.eta_lr > 0 and GUIDANCES[config.guidance].moves_eta:
            self.eta.copy_(torch.where(self.active, updated_eta(config, self.eta, metrics["bc_loss"]), self.eta))
        due = (self.count % config.actor_ema_interval == 0) & (self.count > config.actor_ema_start)
        self.actor.follow(config.target_rate * due, self.active)
        return metrics

    def run_state(self, run: int) -> dict[str, Tensor]:
        """All that one run needs to continue, besides the step: CPU tensors without a run axis, under flat names.

        Names: actor/..., target_actor/..., actor_adam/m/..., actor_adam/v/..., the same for critic, eta, active.
        """
        state: dict[str, Tensor] = {}
        for prefix, part in {**self.actor.parts, **self.critic.parts}.items():
            state |= part.run_state(run, prefix)
        state["eta"] = self.eta[run].cpu().clone()
        state["active"] = self.active[run].cpu().clone()
        return state

    def policy_state(self, run: int) -> dict[str, Tensor]:
        """All that acting needs of one run: actor/... (online) and target_critic/...; see `Policy.from_states`."""
        return {
            **self.actor.online.run_state(run, "actor/"),
            **self.critic.target.run_state(run, "target_critic/"),
        }


def cpu_tile(config: AgentConfig, element_size: int) -> int:
    """Number of states whose next actions are valued at once on a CPU; it does not depend on the number of runs."""
    values = config.ensemble_size * config.next_action_samples * max(config.hidden_sizes)
    return max(LEAST_TILE, TILE_BYTES // (values * element_size))


def updated_eta(config: AgentConfig, eta: Tensor, bc_loss: Tensor) -> Tensor:
    """Dual ascent on eta: clip(eta + eta_lr clip(bc - b, -1, 1), eta_min, eta_max), elementwise."""
    ascent = (bc_loss - config.bc_threshold).clamp(-1.0, 1.0)
    return (eta + config.eta_lr * ascent).clamp(config.eta_min, config.eta_max)
