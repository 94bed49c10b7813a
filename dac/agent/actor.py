"""The actor's loss: noise regression, guided by the critics.

With x_t = sqrt(alpha_bar_t) a + sqrt(1 - alpha_bar_t) eps, the loss is eta * bc + guidance. Axes: R runs, H critics,
B transitions, A action components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dac.agent.batch import Batch, Draws
from dac.agent.chain import differentiable_ddpm_sample
from dac.agent.components import GUIDANCES, check_complete, function_of
from dac.agent.config import AgentConfig
from dac.agent.critic import Metrics
from dac.agent.diffusion import Schedule, forward_noise
from dac.agent.networks import Params, action_gradient, noise_prediction, q_values

NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class ActorStep:
    """What a guidance may read: the actor (online), the target critics and the quantities of this step."""

    config: AgentConfig
    schedule: Schedule
    actor: Params
    target_critic: Params
    batch: Batch
    draws: Draws
    x_t: Tensor  # (R, B, A)
    noise_scale: Tensor  # sqrt(1 - alpha_bar_t), (R, B, 1)
    prediction: Tensor  # eps_theta(x_t, s, t), (R, B, A), with its graph


_GUIDANCES: dict[str, Callable[[ActorStep], tuple[Tensor, Metrics]]] = {}


def bc_loss(prediction: Tensor, eps: Tensor) -> Tensor:
    """Behaviour cloning as noise regression: mean over batch and components of (eps_theta - eps)^2, (R,)."""
    return (prediction - eps).square().mean((1, 2))


def q_norm(target_critic: Params, batch: Batch) -> Tensor:
    """C = mean over ensemble and batch of |Q_h(s, a)|, (R,), without gradient: the guidance's scale."""
    with torch.no_grad():
        return q_values(target_critic, batch.observations, batch.actions).abs().mean((1, 2))


def q_gradient(target_critic: Params, observations: Tensor, actions: Tensor, norm: Tensor) -> Tensor:
    """Normalised action gradient of the ensemble mean: grad_a mean_h Q_h(s, a) / (C + 1e-6).

    Args:
        observations: (R, B, O). actions: (R, B, A). norm: C, (R,).

    Returns:
        (R, B, A), without graph.
    """
    return action_gradient(target_critic, observations, actions) / (norm + NORM_EPSILON).view(-1, 1, 1)


@function_of(_GUIDANCES, "soft")
def soft_guidance(step: ActorStep) -> tuple[Tensor, Metrics]:
    """mean(sqrt(1 - alpha_bar_t) g eps_theta), g the normalised Q gradient at x_t (arXiv 2405.20555, the method)."""
    gradient, metrics = _gradient_at_noised(step)
    return (step.noise_scale * gradient * step.prediction).mean((1, 2)), metrics


@function_of(_GUIDANCES, "hard")
def hard_guidance(step: ActorStep) -> tuple[Tensor, Metrics]:
    """mean(g eps_theta): soft guidance without the noise scaling."""
    gradient, metrics = _gradient_at_noised(step)
    return (gradient * step.prediction).mean((1, 2)), metrics


@function_of(_GUIDANCES, "denoised")
def denoised_guidance(step: ActorStep) -> tuple[Tensor, Metrics]:
    """-mean Q_h(s, a) / (C + 1e-6) at actions from the full reverse chain, gradients through all of its T steps.

    This is the guidance of Diffusion-QL (arXiv 2208.06193).

    Raises:
        ValueError: the draws lack the chain's noise.
    """
    draws, observations = step.draws, step.batch.observations
    if draws.actor_prior is None or draws.actor_z is None:
        raise ValueError("denoised guidance needs the draws actor_prior and actor_z")
    actions = differentiable_ddpm_sample(
        step.actor,
        observations,
        step.schedule,
        draws.actor_prior,
        draws.actor_z,
        clip_denoised=step.config.clip_denoised,
    )
    norm = q_norm(step.target_critic, step.batch)
    values = q_values(step.target_critic, observations, actions).mean((1, 2))
    return -values / (norm + NORM_EPSILON), {"q_norm": norm}


@function_of(_GUIDANCES, "none")
def no_guidance(step: ActorStep) -> tuple[Tensor, Metrics]:
    """Zero: diffusion behaviour cloning."""
    return torch.zeros_like(step.prediction[:, 0, 0]), {}


check_complete(GUIDANCES, _GUIDANCES, __name__)


def _gradient_at_noised(step: ActorStep) -> tuple[Tensor, Metrics]:
    norm = q_norm(step.target_critic, step.batch)
    gradient = q_gradient(step.target_critic, step.batch.observations, step.x_t, norm)
    metrics = {"q_norm": norm, "q_grad": gradient.mean((1, 2)), "q_grad_abs": gradient.abs().mean((1, 2))}
    return gradient, metrics


def actor_loss(
    config: AgentConfig,
    schedule: Schedule,
    actor: Params,
    target_critic: Params,
    *,
    batch: Batch,
    draws: Draws,
    eta: Tensor,
) -> tuple[Tensor, Metrics]:
    """eta * bc + guidance.

    Args:
        actor: the online actor's parameters. target_critic: the target critics'. eta: (R,).

    Returns:
        The loss (R,) and metrics (R,): bc_loss, guidance_loss, actor_loss; q_norm (C) where a guidance uses it;
        q_grad and q_grad_abs, mean and mean absolute value of the normalised gradient, for soft and hard.
    """
    x_t, noise_scale = forward_noise(schedule, batch.actions, draws.t, draws.eps)
    prediction = noise_prediction(actor, x_t, batch.observations, draws.t)
    step = ActorStep(config, schedule, actor, target_critic, batch, draws, x_t, noise_scale, prediction)
    guidance, metrics = _GUIDANCES[config.guidance](step)
    bc = bc_loss(prediction, draws.eps)
    loss = eta * bc + guidance
    metrics |= {"bc_loss": bc.detach(), "guidance_loss": guidance.detach(), "actor_loss": loss.detach()}
    return loss, metrics
