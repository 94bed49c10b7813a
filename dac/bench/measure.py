"""How fast this machine trains at the paper's sizes: by part, by pack, by diffusion steps, against what it could do.

The result is also behind `dac plan`'s times where nothing nearer is measured (`dac.cost.speeds`).
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from dac import envs
from dac.agent import Agent, AgentConfig
from dac.agent.plain import PlainAgent
from dac.agent.precision import matrix_products
from dac.agent.streams import BLOCK_STEPS
from dac.bench.clock import median_seconds, wall_seconds
from dac.bench.here import here
from dac.bench.kernel import agent_kind, check_device
from dac.bench.processes import step_seconds
from dac.bench.workload import Workload
from dac.cost.estimate import step_flops
from dac.study.params import Settings, TrainingSettings
from dac.system import devices

ENVIRONMENT = "Hopper-v5"
SWEPT_GUIDANCES = ("soft", "denoised")


def measure(
    device: str,
    threads: int,
    seconds: float,
    runs: Sequence[int] = (1,),
    sweep: Sequence[int] = (),
    precision: str = "fp32",
    processes: int = 0,
    kernel: str = "torch",
) -> dict[str, Any]:
    """Time gradient steps with the paper's settings on random data of Hopper's sizes, and environment steps.

    Args:
        device: `cpu`, `cuda` or `auto`.
        threads: of PyTorch, on the CPU.
        seconds: how long to measure each number.
        runs: pack sizes.
        sweep: diffusion steps T, for soft and denoised guidance, one run each.
        precision: of a step's products, as `training.precision`.
        processes: how many runs to time in a process each, all at once; 0 = not at all.
        kernel: by which targets are computed, of all but `plain_ms`; see `dac.bench.kernel`.

    Returns:
        `packs`, `sweep`, `separate` (`processes` and the `step_ms` of each; None where not asked for),
        `plain_ms` (a step of one run, `dac.agent.plain`), `matmul_flops` (the
        ceiling: this machine's batched float32 products of the critics' size), `environment_steps` (per second and
        core); `flops` and `step_ms` of the smallest pack; machine, device, threads, versions and date.

    Raises:
        UserError: the kernel is not here, or does not have this precision or run on this device; or the device is not
            there.
    """
    config = AgentConfig(precision=precision)
    kind = agent_kind(kernel, config)  # what is wrong with it is said before anything waits for a GPU
    torch.set_num_threads(threads)
    env = envs.make(ENVIRONMENT)
    assert env.observation_space.shape and env.action_space.shape  # vectors, says envs.make
    sizes = env.observation_space.shape[0], env.action_space.shape[0]
    with devices.claimed(device, asked_by="--device") as chosen:
        check_device(kernel, chosen)
        before = _peak_bytes(chosen)
        packs = [_pack(kind, count, sizes, chosen, seconds, precision, before) for count in sorted(runs)]
        separate = step_seconds(processes, sizes, chosen, threads, seconds, config, kind=kind) if processes else None
        return {
            "what": "soft guidance at the paper's settings on random data, without evaluations",
            "precision": precision,
            "kernel": kernel,
            "step_ms": packs[0]["step_ms"],
            "flops": packs[0]["flops"],
            "packs": packs,
            "separate": separate and {"processes": processes, "step_ms": round(1000 * separate, 3)},
            "matmul_flops": _matmul_flops(chosen, seconds),
            "plain_ms": round(1000 * _plain_seconds(sizes, chosen, seconds), 3),
            "sweep": _sweep(kind, sweep, precision, sizes, chosen, seconds),
            "environment": ENVIRONMENT,
            "environment_steps": round(_environment_steps(env, seconds), 1),
            **here(chosen, threads),
        }


def _pack(
    kind: type[Agent],
    runs: int,
    sizes: tuple[int, int],
    device: torch.device,
    seconds: float,
    precision: str,
    before: int,
) -> dict[str, Any]:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    work = Workload(AgentConfig(precision=precision), runs, sizes, device, kind=kind)
    step = median_seconds(work.step, seconds, device)
    peak = _peak_bytes(device) - before
    with matrix_products(precision):
        parts = {name: median_seconds(part, seconds / 4, device) for name, part in work.parts().items()}
    parts["draws"] /= BLOCK_STEPS
    return {
        "runs": runs,
        "step_ms": round(1000 * step, 3),
        "flops": runs * step_flops(Settings(), *sizes) / step,
        "parts_ms": {name: round(1000 * part, 3) for name, part in parts.items()},
        "acting_ms": round(1000 * median_seconds(work.act, seconds / 4, device), 3),
        "peak_bytes": peak,
    }


def _peak_bytes(device: torch.device) -> int:
    """Largest memory so far: tensors' on a GPU, else this process's, which never shrinks (`devices.claimed`)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _plain_seconds(sizes: tuple[int, int], device: torch.device, seconds: float) -> float:
    """Seconds of a gradient step of one run, written plainly; always in float32."""
    work = Workload(AgentConfig(), 1, sizes, device)
    agent = PlainAgent(work.config, *sizes, device)
    return median_seconds(lambda: agent.update(*work.inputs.at(agent.step)), seconds, device)


def _sweep(
    kind: type[Agent],
    diffusion_steps: Sequence[int],
    precision: str,
    sizes: tuple[int, int],
    device: torch.device,
    seconds: float,
) -> list[dict[str, Any]]:
    """A row for every T and guidance."""
    configs = [
        AgentConfig(guidance=guidance, diffusion_steps=count, precision=precision)
        for count in diffusion_steps
        for guidance in SWEPT_GUIDANCES
    ]
    return [_sweep_row(kind, config, sizes, device, seconds) for config in configs]


def _sweep_row(
    kind: type[Agent], config: AgentConfig, sizes: tuple[int, int], device: torch.device, seconds: float
) -> dict[str, Any]:
    work = Workload(config, 1, sizes, device, kind=kind)
    return {
        "diffusion_steps": config.diffusion_steps,
        "guidance": config.guidance,
        "step_ms": round(1000 * median_seconds(work.step, seconds, device), 3),
        "actor_ms": round(1000 * median_seconds(work.parts()["actor"], seconds / 2, device), 3),
    }


def critic_products(device: torch.device) -> tuple[Callable[[], object], int]:
    """Nothing but the critics' products for the next actions at the paper's sizes, in float32.

    Returns:
        What computes them, and its floating-point operations.
    """
    config, width = AgentConfig(), AgentConfig().hidden_sizes[0]
    rows = TrainingSettings().batch_size * config.next_action_samples
    left = torch.randn(config.ensemble_size, rows, width, device=device)
    right = torch.randn(config.ensemble_size, width, width, device=device)
    out = torch.empty(config.ensemble_size, rows, width, device=device)
    return lambda: torch.bmm(left, right, out=out), 2 * config.ensemble_size * rows * width * width


def _matmul_flops(device: torch.device, seconds: float) -> float:
    """Floating-point operations per second of `critic_products`."""
    call, operations = critic_products(device)
    return operations / median_seconds(call, seconds, device)


def _environment_steps(env: envs.Environment, seconds: float) -> float:
    """Steps per second of one environment under random actions, resets included."""
    actions = np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> None:
        *_, terminated, truncated, _ = env.step(actions.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        if terminated or truncated:
            env.reset()

    return 1 / wall_seconds(step, seconds, torch.device("cpu"))
