"""Diffusion Actor-Critic (arXiv 2405.20555): agent, datasets, training, evaluation and report.

`dac.load_policy` loads a trained policy; the rest is the command line's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dac.training.policies import load_policy

__all__ = ["load_policy"]

# Metadata of data that were recorded earlier name `dac.bandit` and `dac.d4rl_tasks`.
__path__.append(str(Path(__file__).parent / "envs" / "earlier"))


def __getattr__(name: str) -> Any:
    # On first use: the Snakefile imports this package at every start and must not wait for torch.
    if name == "load_policy":
        from dac.training.policies import load_policy

        return load_policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
