"""The gradient steps of a pack: each from a batch of the data and from noise that its runs' seeds and the step fix."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from dac.agent import Agent, Batch, ShuffledScan, UpdateNoise
from dac.agent.critic import Metrics
from dac.agent.graph import updater
from dac.training.data import TrainingData


class GradientSteps:
    """Makes the gradient steps of an agent.

    Args:
        seeds: of its R runs.
        device: the agent's.
        captured: see `updater`.
    """

    def __init__(
        self,
        agent: Agent,
        seeds: list[int],
        data: TrainingData,
        batch_size: int,
        device: torch.device,
        *,
        captured: bool,
    ) -> None:
        transitions = data.transitions
        self._update = updater(agent, captured=captured)
        self._noise = UpdateNoise(
            seeds, agent.config, batch_size, data.action_dim, device, next_actions=not transitions.dones.all()
        )
        self._scan = ShuffledScan(seeds, len(transitions), batch_size, device)
        self._data = data.on(device)

    def make(self, step: int) -> Metrics:
        """The gradient step after `step` of them; returns its metrics, (R,) each."""
        return self._update(_batch(self._data, self._scan.batch_indices(step)), self._noise.draws(step))


def _batch(data: Batch, indices: Tensor) -> Batch:
    """The transitions at `indices` (R, B), from tensors with one row per transition."""
    return Batch(*(getattr(data, field.name)[indices] for field in fields(Batch)))
