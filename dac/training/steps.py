"""The gradient steps of a pack: each from a batch of the data and from noise that its runs' seeds and the step fix."""

from __future__ import annotations

import torch

from dac.agent import Agent, ShuffledScan, UpdateNoise
from dac.agent.critic import Metrics
from dac.agent.graph import updater
from dac.agent.inputs import Inputs
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
        self.agent = agent
        transitions = data.transitions
        noise = UpdateNoise(
            seeds, agent.config, batch_size, data.action_dim, device, next_actions=not transitions.dones.all()
        )
        scan = ShuffledScan(seeds, len(transitions), batch_size, device)
        self._update = updater(agent, Inputs(data.on(device), scan, noise), captured=captured)

    def make(self) -> Metrics:
        """Make the agent's next gradient step; returns its metrics, (R,) each."""
        return self._update()
