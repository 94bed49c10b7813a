"""Diffusion Actor-Critic (arXiv 2405.20555) for packs of independent runs; needs torch and nothing else."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dac.agent.agent import Agent, initial_run_state
    from dac.agent.batch import Batch, Draws
    from dac.agent.config import AgentConfig
    from dac.agent.policy import Policy
    from dac.agent.streams import ActingDraws, ActingNoise, ShuffledScan, UpdateNoise, stream_generator

__all__ = [
    "ActingDraws",
    "ActingNoise",
    "Agent",
    "AgentConfig",
    "Batch",
    "Draws",
    "Policy",
    "ShuffledScan",
    "UpdateNoise",
    "initial_run_state",
    "stream_generator",
]

_MODULES = {
    "agent": ("Agent", "initial_run_state"),
    "batch": ("Batch", "Draws"),
    "config": ("AgentConfig",),
    "policy": ("Policy",),
    "streams": ("ActingDraws", "ActingNoise", "ShuffledScan", "UpdateNoise", "stream_generator"),
}


def __getattr__(name: str) -> Any:
    # On first use: the plan reads dac.agent.components at every start and must not wait for torch.
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
