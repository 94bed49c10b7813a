"""The critics' loss and its targets.

Axes: R runs, H critics, B transitions, N next-action samples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dac.agent.batch import Batch
from dac.agent.components import Q_TARGETS, check_complete, function_of
from dac.agent.config import AgentConfig
from dac.agent.networks import Params, q_values

Metrics = dict[str, Tensor]

_COMBINATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {}


@function_of(_COMBINATIONS, "lcb")
def lower_confidence_bound(values: Tensor, coefficient: float) -> Tensor:
    """mean_h v - rho std_h v, with the population standard deviation (arXiv 2405.20555). (R, H, B) -> (R, B)."""
    return values.mean(1) - coefficient * values.std(1, correction=0)


@function_of(_COMBINATIONS, "min")
def minimum(values: Tensor, coefficient: float) -> Tensor:
    """min_h v; the coefficient is not used. (R, H, B) -> (R, B)."""
    return values.amin(1)


@function_of(_COMBINATIONS, "convex")
def convex_combination(values: Tensor, coefficient: float) -> Tensor:
    """rho min_h v + (1 - rho) max_h v. (R, H, B) -> (R, B)."""
    return coefficient * values.amin(1) + (1 - coefficient) * values.amax(1)


check_complete(Q_TARGETS, _COMBINATIONS, __name__)


def next_values(config: AgentConfig, next_q: Tensor) -> Tensor:
    """Value of the next states: over the N actions the mean (or the maximum: max backup), then over the ensemble.

    Args:
        next_q: (R, H, B, N), the target critics at the target actor's actions.

    Returns:
        (R, B).
    """
    values = next_q.amax(-1) if config.max_backup else next_q.mean(-1)
    return _COMBINATIONS[config.q_target](values, config.lcb_coefficient)


def td_targets(config: AgentConfig, batch: Batch, next_q: Tensor) -> Tensor:
    """y = r + gamma (1 - done) v(s'), (R, B), from next_q (R, H, B, N)."""
    return batch.rewards + config.discount * (1 - batch.dones) * next_values(config, next_q)


def critic_loss(params: Params, batch: Batch, targets: Tensor) -> tuple[Tensor, Metrics]:
    """Squared TD error, mean over ensemble and batch; every critic regresses on the same targets.

    Args:
        params: the online critics'. targets: (R, B).

    Returns:
        The loss (R,) and metrics (R,): critic_loss; q_mean, the mean of Q_h(s, a); q_std, its population standard
        deviation over the ensemble, mean over the batch.
    """
    q = q_values(params, batch.observations, batch.actions)
    loss = (q - targets.unsqueeze(1)).square().mean((1, 2))
    with torch.no_grad():
        metrics = {"critic_loss": loss.detach(), "q_mean": q.mean((1, 2)), "q_std": q.std(1, correction=0).mean(1)}
    return loss, metrics
