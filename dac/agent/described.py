"""Networks and reverse processes as native.c reads them: sizes, addresses and coefficients."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from dac.agent.diffusion import Schedule, visited_steps
from dac.agent.parameters import Named


class Described(NamedTuple):
    """Layers of M networks, as native.c reads them.

    Attributes:
        numbers: see `described` there. members: M. inputs, outputs: of the first layer, and of the last one.
        weights: of one network's kernels.
        whole: whether there are no other parameters in the memory that these are in.
        tensors: whose memory `numbers` points to.
    """

    numbers: Any
    members: int
    inputs: int
    outputs: int
    weights: int
    whole: bool
    tensors: list[Tensor]


def described(params: Mapping[str, Tensor], prefix: str) -> Described:
    """Describe the networks of layers `<prefix>0/kernel` (..., in, out), `<prefix>0/bias` (..., out) and so on."""
    if not isinstance(params, Named):
        return _describe(params, prefix, None)
    if prefix not in params.described:
        params.described[prefix] = _describe(params, prefix, params.matrix)
    found: Described = params.described[prefix]
    return found


def _describe(params: Mapping[str, Tensor], prefix: str, matrix: Tensor | None) -> Described:
    count = 0
    kernels, biases, kernel_steps, bias_steps = list[Tensor](), list[Tensor](), list[int](), list[int]()
    while f"{prefix}{count}/kernel" in params:
        for what, own, found, steps in (("kernel", 2, kernels, kernel_steps), ("bias", 1, biases, bias_steps)):
            tensor, step = _folded(params[f"{prefix}{count}/{what}"].detach(), own)
            found.append(tensor)
            steps.append(step)
        count += 1
    weights = sum(kernel.shape[-2] * kernel.shape[-1] for kernel in kernels)
    members = math.prod(kernels[0].shape[:-2])
    numbers = integers(
        [
            members, count, kernels[0].shape[-2], *(kernel.shape[-1] for kernel in kernels),
            *(kernel.data_ptr() for kernel in kernels), *kernel_steps,
            *(bias.data_ptr() for bias in biases), *bias_steps,
        ]
    )  # fmt: skip
    return Described(
        numbers,
        members,
        kernels[0].shape[-2],
        kernels[-1].shape[-1],
        weights,
        matrix is not None and matrix.numel() == members * (weights + sum(bias.shape[-1] for bias in biases)),
        [*kernels, *biases],
    )


class Process(NamedTuple):
    """Steps of a reverse process as native.c reads them: t - 1 of each, and the five numbers of its `ReverseStep`."""

    steps: int
    visited: Any
    coefficients: Any


@cache
def process(schedule: Schedule, sampler: str, sampler_steps: int | None) -> Process:
    """`diffusion.visited_steps` for `sample`."""
    steps = visited_steps(schedule, sampler, sampler_steps)
    numbers = [number for _, step in steps for number in astuple(step)]
    return Process(len(steps), integers([t - 1 for t, _ in steps]), (ctypes.c_float * len(numbers))(*numbers))


def _folded(x: Tensor, own: int) -> tuple[Tensor, int]:
    """`x`, its last `own` axes in one piece and all members at one distance, copied if need be; and that distance."""
    lead = x.dim() - own
    size = math.prod(x.shape[lead:])
    axes = [(length, step) for length, step in zip(x.shape[:lead], x.stride(), strict=False) if length > 1]
    even = len(axes) < 2 or axes[0][1] == axes[1][0] * axes[1][1]
    if not (even and x[(0,) * lead].is_contiguous()):
        return x.contiguous(), size
    return x, axes[-1][1] if axes else size


def integers(numbers: Sequence[int]) -> Any:
    """An array of C, of 64 bits each."""
    return (ctypes.c_int64 * len(numbers))(*numbers)
