"""Diffusion Actor-Critic (arXiv 2405.20555) for packs of independent runs; needs torch and nothing else."""

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
