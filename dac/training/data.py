"""The transitions that a group of runs trains on, checked against its environment and its settings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch

from dac import envs
from dac.agent import Batch
from dac.datasets.load import load, refuse_other_version
from dac.datasets.transitions import Transitions, to_transitions
from dac.rows.raw import statistics
from dac.study.identity import Group
from dac.system.errors import UserError


@dataclass(frozen=True)
class TrainingData:
    """A group's transitions.

    Attributes:
        sha256: of the dataset, as `load` gives it.
        statistics: of the recorded rows, see `dac.rows.raw.statistics`.
    """

    transitions: Transitions
    sha256: str
    statistics: dict[str, Any]

    @property
    def observation_dim(self) -> int:
        """O, of the transitions."""
        return int(self.transitions.observations.shape[1])

    @property
    def action_dim(self) -> int:
        """A, of the transitions."""
        return int(self.transitions.actions.shape[1])

    def on(self, device: torch.device) -> Batch:
        """All transitions as tensors on a device, one row per transition."""
        return Batch(
            **{
                field.name: torch.as_tensor(getattr(self.transitions, field.name), device=device)
                for field in fields(Batch)
            }
        )


def training_data(group: Group) -> TrainingData:
    """The data of a group.

    Raises:
        UserError: the dataset is missing or damaged, does not fit the environment, or is smaller than a batch.
    """
    raw, sha256 = load(group.dataset)
    data = TrainingData(to_transitions(raw, group.reward_scaling), sha256, statistics(raw))
    refuse_other_version(group)
    _check_spaces(group, data)
    batch_size = group.settings.batch_size
    if len(data.transitions) < batch_size:
        raise UserError(
            f"{group.dataset.id}: {len(data.transitions)} transitions, fewer than batch_size ({batch_size}); lower "
            "batch_size or collect more."
        )
    return data


def _check_spaces(group: Group, data: TrainingData) -> None:
    env = envs.make(group.env)
    expected = (env.observation_space.shape, env.action_space.shape)
    env.close()
    found = ((data.observation_dim,), (data.action_dim,))
    if expected != found:
        raise UserError(
            f"params.yaml: tasks.{group.task}: the dataset {group.dataset.id} has observations and actions of shapes "
            f"{found[0]} and {found[1]}, the environment {group.env} {expected[0]} and {expected[1]}. Give the "
            "environment that the data come from."
        )
