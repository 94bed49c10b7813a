"""By which code the target half is computed, for benchmarks: PyTorch's operations or this project's Triton kernels."""

from __future__ import annotations

import importlib.util
import os

import torch

from dac.agent import Agent
from dac.system.errors import UserError

KERNELS = ("torch", "triton")
MISSING = "Triton is not installed; builds of PyTorch for CUDA have it. Else: pip install -c constraints.txt triton"


def installed() -> bool:
    """Whether Triton is here."""
    return importlib.util.find_spec("triton") is not None


def agent_kind(kernel: str, device: torch.device) -> type[Agent]:
    """The agent whose target half is computed by one of KERNELS.

    Raises:
        UserError: Triton is not installed, or would have to be interpreted, as on a CPU, and nobody asked for that.
    """
    if kernel == "torch":
        return Agent
    if not installed():
        raise UserError(f"--kernel triton: {MISSING}.")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise UserError(
            f"--kernel triton: it is for a GPU, and this is to run on {device}. Give --device cuda where there is one; "
            "TRITON_INTERPRET=1 in the environment interprets it here, to the same numbers, and many times slower."
        )
    from dac.agent.fused import FusedAgent

    return FusedAgent
