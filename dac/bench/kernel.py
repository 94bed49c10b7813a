"""By which code the target half is computed, for benchmarks: PyTorch's operations or this project's Triton kernels."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from dac.system.errors import UserError

if TYPE_CHECKING:  # the command line reads KERNELS and must not wait for torch
    import torch

    from dac.agent import Agent, AgentConfig

KERNELS = ("torch", "triton")
MISSING = "Triton is not installed; builds of PyTorch for CUDA have it. Else: pip install -c constraints.txt triton"


def installed() -> bool:
    """Whether Triton is here."""
    return importlib.util.find_spec("triton") is not None


def agent_kind(kernel: str, config: AgentConfig) -> type[Agent]:
    """The agent whose target half is computed by one of KERNELS.

    Raises:
        UserError: Triton is not installed, or has no kernels for the configuration.
    """
    if kernel == "torch":
        from dac.agent import Agent

        return Agent
    if not installed():
        raise UserError(f"--kernel triton: {MISSING}.")
    from dac.agent.fused import FusedAgent, check_kernels

    try:
        check_kernels(config)
    except ValueError as error:
        raise UserError(f"--kernel triton: {error}. Give what they have, or --kernel torch.") from None
    return FusedAgent


def check_device(kernel: str, device: torch.device) -> None:
    """Check that a kernel runs on a device at the paper's sizes.

    Raises:
        UserError: Triton would have to be interpreted, as on a CPU, and nobody asked for that, or the GPU is too small.
    """
    if kernel == "torch":
        return
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise UserError(
            f"--kernel triton: it is for a GPU, and this is to run on {device}. Give --device cuda where there is one; "
            "TRITON_INTERPRET=1 in the environment interprets it here, to the same numbers, and many times slower."
        )
    if (why := too_small(device)) is not None:
        raise UserError(f"--kernel triton: {why}. Give --device another one, or --kernel torch.")


def too_small(device: torch.device) -> str | None:
    """Why the kernels do not fit a GPU at the paper's sizes; None where they do, and on a CPU."""
    import torch

    from dac.agent.fused import LEAST_CAPABILITY

    if device.type != "cuda" or torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY:
        return None
    found, least = (".".join(map(str, two)) for two in (torch.cuda.get_device_capability(device), LEAST_CAPABILITY))
    return (
        f"{torch.cuda.get_device_name(device)} has compute capability {found}, and the shared memory that the kernels "
        f"take at the paper's sizes comes with {least}"
    )
