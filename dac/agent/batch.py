"""Inputs of one gradient step of a pack: transitions and random draws.

Axes: R runs, B transitions, N next-action samples per transition, T diffusion steps, O observation and A action
components.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Transitions of every run, in the networks' floating-point type."""

    observations: Tensor  # (R, B, O)
    actions: Tensor  # (R, B, A), in [-1, 1]
    rewards: Tensor  # (R, B)
    dones: Tensor  # (R, B), 1 where the episode terminated (not where it timed out), else 0
    next_observations: Tensor  # (R, B, O)


@dataclass(frozen=True)
class Draws:
    """Random numbers of one gradient step. Rows of B*N are grouped by transition: its N samples are neighbours.

    Sampler noise is in the order of the reverse process, t = T, ..., 2; a further row, for t = 1, is ignored.
    """

    critic_prior: Tensor | None  # (R, B*N, A) standard normal: x_T of the next actions; None: all transitions terminate
    critic_z: Tensor | None  # (R, T - 1 or T, B*N, A) standard normal; None for the deterministic sampler
    t: Tensor  # (R, B) integers, uniform on 1..T
    eps: Tensor  # (R, B, A) standard normal: the noise to predict
    actor_prior: Tensor | None = None  # (R, B, A): x_T of the actor's own chain; where its guidance draws it
    actor_z: Tensor | None = None  # (R, T - 1 or T, B, A); likewise
