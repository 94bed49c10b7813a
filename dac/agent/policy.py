"""Acting: the choice among candidate actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dac.agent import native
from dac.agent.config import AgentConfig
from dac.agent.described import described, process
from dac.agent.diffusion import (
    Schedule,
    check_sampler_noise,
    ddim_sample,
    ddpm_sample,
    make_schedule,
)
from dac.agent.networks import (
    Params,
    actor_layout,
    computed_natively,
    critic_layout,
    features_of_times,
    noise_predictor,
    q_values,
)
from dac.agent.parameters import Parameters


@torch.no_grad()
def sample_actions(
    config: AgentConfig, schedule: Schedule, actor: Params, observations: Tensor, prior: Tensor, z: Tensor | None
) -> Tensor:
    """Run the configured sampler with a noise predictor.

    Args:
        actor: the noise predictor's parameters. observations: (R, n, O).
        prior: (R, n * m, A), any m >= 1, rows grouped by observation.
        z: (R, T - 1 or T, n * m, A); None for the ddim sampler.

    Returns:
        (R, n * m, A).

    Raises:
        ValueError: the ddpm sampler is configured, and z is None or has another number of rows.
    """
    if config.sampler == "ddpm":
        if z is None:
            raise ValueError("the ddpm sampler needs its noise z")
        check_sampler_noise(schedule, z)
    if computed_natively(actor, observations, prior, *(() if z is None else (z,))):
        return native.sample(
            described(actor, "noise/"),
            described(actor, "time/"),
            features_of_times(schedule.steps),
            observations,
            process(schedule, config.sampler, config.sampler_steps),
            prior,
            z,
            clip=config.clip_denoised,
        )
    predictor = noise_predictor(actor, observations, schedule.steps, prior.shape[-1])
    if config.sampler == "ddim":
        return ddim_sample(predictor, schedule, prior, steps=config.sampler_steps, clip_denoised=config.clip_denoised)
    assert z is not None
    return ddpm_sample(predictor, schedule, prior, z, clip_denoised=config.clip_denoised)


class Policy:
    """R policies that act at once: online noise predictors, and target critics that choose among their actions.

    Args:
        actor, critic: parameters with a leading run axis, as in `networks`; they are read, not copied.
        schedule: of the configured diffusion.

    Attributes:
        actor, critic: those parameters.
    """

    def __init__(self, config: AgentConfig, schedule: Schedule, actor: Params, critic: Params) -> None:
        self.config = config
        self.schedule = schedule
        self.actor = actor
        self.critic = critic

    @classmethod
    def from_states(
        cls,
        config: AgentConfig,
        states: Sequence[Mapping[str, Tensor]],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Policy:
        """Build a pack of policies from the states of single ones, `Agent.policy_state`.

        Raises:
            ValueError: a state does not fit the configured networks.
        """
        observation_dim, action_dim = state_dims(states[0])
        actor = Parameters(actor_layout(observation_dim, action_dim, config.hidden_sizes), len(states), device, dtype)
        critic = Parameters(
            critic_layout(observation_dim, action_dim, config.hidden_sizes, config.ensemble_size),
            len(states),
            device,
            dtype,
        )
        for run, state in enumerate(states):
            actor.load_run_state(run, "actor/", state)
            critic.load_run_state(run, "target_critic/", state)
        schedule = make_schedule(config.beta_schedule, config.diffusion_steps, device, dtype)
        return cls(config, schedule, actor.named, critic.named)

    @torch.no_grad()
    def candidates(
        self, observations: Tensor, action_samples: int, prior: Tensor, z: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Draw candidate actions and value them with the ensemble mean of the target critics.

        Args:
            observations: (R, n, O). action_samples: m. prior: (R, n * m, A), rows grouped by state.
            z: (R, T - 1 or T, n * m, A); None for the deterministic sampler.

        Returns:
            Actions (R, n, m, A) and values (R, n, m).
        """
        states = observations.shape[1]
        actions = sample_actions(self.config, self.schedule, self.actor, observations, prior, z)
        values = q_values(self.critic, observations, actions).mean(1)
        shape = (len(observations), states, action_samples)
        return actions.view(*shape, -1), values.view(shape)

    @torch.no_grad()
    def act(
        self,
        observations: Tensor,
        action_samples: int,
        prior: Tensor,
        z: Tensor | None,
        *,
        temperature: float | None = None,
        gumbel: Tensor | None = None,
    ) -> Tensor:
        """Choose one of the candidates in every state.

        At temperature 0 the one of the largest value; at tau > 0 one with probability proportional to
        exp(q / (tau mean |q|)), the mean over the state's candidates, drawn by adding Gumbel noise to the exponent.

        Args:
            observations, action_samples, prior, z: as in `candidates`. temperature: tau; None = the configured one.
            gumbel: (R, n, m) standard Gumbel, needed where tau > 0.

        Returns:
            Actions (R, n, A) in [-1, 1].

        Raises:
            ValueError: the temperature is positive and gumbel is None.
        """
        temperature = self.config.temperature if temperature is None else temperature
        actions, values = self.candidates(observations, action_samples, prior, z)
        if temperature > 0:
            if gumbel is None:
                raise ValueError(f"temperature {temperature} needs Gumbel noise")
            scale = values.abs().mean(-1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
            values = values / (temperature * scale) + gumbel
        choice = values.argmax(-1)[..., None, None].expand(-1, -1, 1, actions.shape[-1])
        return actions.gather(2, choice).squeeze(2).clamp(-1.0, 1.0)


def state_dims(state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Sizes of the observation and the action, read from a run's or a policy's state.

    Raises:
        ValueError: the state is not one of an actor.
    """
    time_bias = [name for name in state if name.startswith("actor/time/") and name.endswith("/bias")]
    noise_bias = [name for name in state if name.startswith("actor/noise/") and name.endswith("/bias")]
    if not time_bias or not noise_bias:
        raise ValueError("the state has no parameters actor/time/... and actor/noise/...")
    action_dim = state[max(noise_bias, key=_layer)].shape[0]
    inputs = state["actor/noise/0/kernel"].shape[0]
    return inputs - action_dim - state[max(time_bias, key=_layer)].shape[0], action_dim


def _layer(name: str) -> int:
    return int(name.split("/")[-2])
