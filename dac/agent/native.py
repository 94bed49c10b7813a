"""The networks on a CPU by native.c, a call for each evaluation or gradient of one, where it can be compiled.

PyTorch takes some fifteen operations for every evaluation of a network, and each goes through memory by itself.
Compiled, all layers of some rows are computed while they are in the cache. A product's sum is added in another order,
so results agree to float32's rounding; `dac.agent.networks` and `dac.agent.optim` have the operations that they are
held to. A compiled sum depends on its terms alone: the pack that a run is in changes no bit of it, nor do threads.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import increment_version

from dac.agent import compiled
from dac.agent.described import Described, Process, integers

SOURCE = Path(__file__).with_suffix(".c")
# Multiplications, or values of Mish, from which on threads gain more than it costs to wake them.
SHARED_OUT = 32768

_by_pytorch = ContextVar("by_pytorch", default=False)


@contextlib.contextmanager
def by_pytorch() -> Iterator[None]:
    """Let PyTorch's operations compute on the CPU, too, until the block ends: as on a GPU and without a compiler."""
    before = _by_pytorch.set(True)
    try:
        yield
    finally:
        _by_pytorch.reset(before)


def takes(*tensors: Tensor) -> bool:
    """Whether the compiled functions are here and can take tensors: float32 on a CPU."""
    if _by_pytorch.get() or any(x.dtype != torch.float32 or x.device.type != "cpu" for x in tensors):
        return False
    return _library() is not None


def computes_on(device: torch.device) -> bool:
    """Whether they compute the float32 networks of a device."""
    return takes(torch.empty(0, dtype=torch.float32, device=device))


def mish(x: Tensor) -> Tensor:
    """Overwrite `x`, which is in one piece, with its Mish."""
    _check(_functions().mish(x.data_ptr(), x.numel(), _threads(x.numel())))
    return x


def mish_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mish of `x`, which is in one piece, and its derivative."""
    value, slope = torch.empty_like(x), torch.empty_like(x)
    call = _functions().mish_and_slope
    _check(call(x.data_ptr(), value.data_ptr(), slope.data_ptr(), x.numel(), _threads(x.numel())))
    return value, slope


def sample(
    noise: Described,
    time: Described,
    features: Tensor,
    observations: Tensor,
    process: Process,
    prior: Tensor,
    z: Tensor | None,
    *,
    clip: bool,
) -> Tensor:
    """Actions of a reverse process: `diffusion.ddpm_sample` or `ddim_sample` with a noise predictor.

    Args:
        noise: the predictor's layers, the first over [observation, action, time]. time: those that embed the time.
        features: (T, 16), of the times 1..T. observations: (R, b, O).
        prior: (R, b * m, A), rows grouped by observation. z: (R, T - 1 or T, b * m, A), read where a step spreads.
        clip: clip x_0 to [-1, 1] in every step.

    Returns:
        (R, b * m, A).
    """
    runs, rows, size = prior.shape
    states, samples = _grouped(noise, observations, prior, time.outputs)
    if time.members != runs or features.shape[1] != time.inputs:
        raise ValueError(f"{runs} runs with {time.members} networks that embed {features.shape[1]} features of a time")
    if z is not None:
        if z.shape[2:] != prior.shape[1:]:
            raise ValueError(f"sampler noise is {tuple(z.shape)}, actions are {tuple(prior.shape)}")
        z = rows_together(z.expand(runs, *z.shape[1:]))
    observations, prior, features = observations.contiguous(), rows_together(prior), features.contiguous()
    actions = _empty(runs, rows, size)
    _check(
        _functions().sample(
            noise.numbers, states, samples, observations.shape[2], size, observations.data_ptr(),
            process.steps, len(features), process.visited, process.coefficients, time.numbers, features.data_ptr(),
            clip, prior.data_ptr(), prior.stride(0),
            None if z is None else z.data_ptr(), 0 if z is None else z.stride(0), 0 if z is None else z.stride(1),
            actions.data_ptr(), _threads(process.steps * rows * runs * noise.weights),
        )
    )  # fmt: skip
    return actions


def values(critics: Described, observations: Tensor, actions: Tensor) -> Tensor:
    """`networks.q_values` without a gradient.

    Args:
        critics: their layers, the first over [observation, action]. observations: (R, b, O).
        actions: (R, b * m, A), grouped by observation.

    Returns:
        (M, b * m, outputs).
    """
    runs, rows, size = actions.shape
    states, samples = _grouped(critics, observations, actions)
    observations, actions = observations.contiguous(), actions.contiguous()
    found = _empty(critics.members, rows, critics.outputs)
    _check(
        _functions().values(
            critics.numbers, critics.members // runs, states, samples, observations.shape[2], size,
            observations.data_ptr(), actions.data_ptr(), found.data_ptr(),
            _threads(critics.members * rows * critics.weights),
        )
    )  # fmt: skip
    return found


def outputs(networks: Described, matrix: Tensor, *parts: Tensor) -> Tensor:
    """Outputs of networks, with a gradient to their parameters and to the parts of their input.

    Args:
        networks: their layers, the first over the concatenated parts. matrix: (R, P), the memory of their parameters.
        parts: (R, n, any), each read by M / R networks.

    Returns:
        (M, n, outputs).
    """
    result: Tensor = _Outputs.apply(networks, matrix, *parts)  # type: ignore[no-untyped-call]
    return result


def action_gradient(critics: Described, observations: Tensor, actions: Tensor) -> Tensor:
    """The gradient of the members' mean to the actions, (R, n, A).

    Args:
        critics: their layers, the first over [observation, action]. observations: (R, n, O). actions: (R, n, A).
    """
    values, kept = _evaluate(critics, (observations, actions))
    first, columns = kept.widths
    return _gradients(kept, torch.full_like(values, len(actions) / critics.members), None, first, columns)[1]


class _Kept(NamedTuple):
    """What the gradient of networks' outputs needs."""

    networks: Described
    widths: list[int]
    threads: int
    inputs: Tensor
    activations: Tensor


def _evaluate(networks: Described, parts: Sequence[Tensor]) -> tuple[Tensor, _Kept]:
    """Networks' outputs (M, n, any), and what their gradient needs."""
    parts = [part.contiguous() for part in parts]
    widths = [part.shape[2] for part in parts]
    runs, rows, _ = parts[0].shape
    if any(part.shape[:2] != parts[0].shape[:2] for part in parts):
        raise ValueError(f"parts of one input are of unlike rows: {[tuple(part.shape) for part in parts]}")
    _check_sizes(networks, runs, sum(widths))
    inputs = _empty(runs, rows, sum(widths))
    activations = _empty(_functions().kept(networks.numbers, rows))
    found = _empty(networks.members, rows, networks.outputs)
    threads = _threads(networks.members * rows * networks.weights)
    _check(
        _functions().forward(
            networks.numbers, networks.members // runs, rows, len(parts),
            integers([part.data_ptr() for part in parts]), integers(widths),
            inputs.data_ptr(), activations.data_ptr(), found.data_ptr(), threads,
        )
    )  # fmt: skip
    return found, _Kept(networks, widths, threads, inputs, activations)


def _gradients(
    kept: _Kept, of_outputs: Tensor, matrix: Tensor | None, first: int, columns: int
) -> tuple[Tensor | None, Tensor]:
    """Gradients of a loss.

    Args:
        of_outputs: (M, n, any). matrix: (R, P), the memory of the parameters; None: their gradient is not wanted.
        first, columns: of the input, whose gradient is.

    Returns:
        That of the matrix, and that of the columns, (R, n, columns).
    """
    networks, inputs = kept.networks, kept.inputs
    (runs, rows, _), members = inputs.shape, networks.members
    found = None if matrix is None else (torch.empty_like if networks.whole else torch.zeros_like)(matrix)
    of_inputs = _empty(members, rows, columns)
    of_outputs = of_outputs.contiguous()
    _check(
        _functions().backward(
            networks.numbers, members // runs, rows, inputs.data_ptr(), kept.activations.data_ptr(),
            of_outputs.data_ptr(), 0 if matrix is None else matrix.data_ptr(), 0 if found is None else found.data_ptr(),
            first, columns, of_inputs.data_ptr(), kept.threads,
        )
    )  # fmt: skip
    return found, of_inputs.view(runs, members // runs, rows, columns).sum(1) if columns else of_inputs


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, networks: Described, matrix: Tensor, *parts: Tensor) -> Tensor:
        found, kept = _evaluate(networks, parts)
        ctx.save_for_backward(kept.inputs, kept.activations)
        ctx.networks, ctx.widths, ctx.threads = networks, kept.widths, kept.threads
        ctx.matrix, ctx.version = matrix.detach(), matrix._version
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.matrix._version != ctx.version:
            raise RuntimeError("parameters were changed between networks' outputs and their gradient")
        widths: list[int] = ctx.widths
        kept = _Kept(ctx.networks, widths, ctx.threads, *ctx.saved_tensors)
        _, of_matrix, *wanted = ctx.needs_input_grad
        # One range of the input's columns, from the first part whose gradient is wanted to the last one.
        first = sum(widths[: wanted.index(True)]) if any(wanted) else 0
        columns = sum(widths[: len(wanted) - wanted[::-1].index(True)]) - first if any(wanted) else 0
        found, of_inputs = _gradients(kept, gradient, ctx.matrix if of_matrix else None, first, columns)
        starts = [sum(widths[:index]) - first for index in range(len(widths))]
        of_parts = (
            of_inputs[..., start : start + width] if asked else None
            for start, width, asked in zip(starts, widths, wanted, strict=True)
        )
        return None, found, *of_parts


def descend(
    parameters: Tensor,
    gradient: Tensor,
    moments: tuple[Tensor, Tensor],
    loss: Tensor,
    active: Tensor,
    *,
    max_norm: float,
    decays: tuple[float, float],
    scale: float,
    epsilon: float,
    rate: float,
) -> Tensor:
    """`optim.Adam.descend`.

    Args:
        decays: 1 - beta of the moments. scale: root of the second moment's correction. rate: lr over the first's.
    """
    runs, size = parameters.shape
    _check_whole(parameters, *moments)
    loss, gradient, active = loss.float().contiguous(), gradient.contiguous(), active.clone().contiguous()
    _check(
        _functions().descend(
            runs, size, parameters.data_ptr(), gradient.data_ptr(), moments[0].data_ptr(), moments[1].data_ptr(),
            loss.data_ptr(), active.data_ptr(), max_norm, *decays, scale, epsilon, rate, _threads(runs * size),
        )
    )  # fmt: skip
    increment_version([parameters, *moments])
    return active


def follow(target: Tensor, online: Tensor, rate: float, active: Tensor) -> None:
    """`optim.moving_average`."""
    runs, size = target.shape
    _check_whole(target, online)
    active = active.contiguous()
    _check(
        _functions().follow(
            runs, size, online.data_ptr(), target.data_ptr(), active.data_ptr(), rate, _threads(runs * size)
        )
    )
    increment_version([target])


def _grouped(networks: Described, observations: Tensor, actions: Tensor, further: int = 0) -> tuple[int, int]:
    """States and rows of each, of inputs that are grouped by state; `further`: inputs besides those two."""
    runs, rows, size = actions.shape
    states = observations.shape[1]
    if len(observations) != runs or rows != states * (samples := rows // max(states, 1)):
        raise ValueError(f"actions are {tuple(actions.shape)}, observations {tuple(observations.shape)}")
    _check_sizes(networks, runs, observations.shape[2] + size + further)
    return states, max(samples, 1)


def _check_sizes(networks: Described, runs: int, inputs: int) -> None:
    if networks.inputs != inputs or networks.members % max(runs, 1):
        raise ValueError(
            f"inputs of {inputs} components for {runs} runs; the {networks.members} networks take {networks.inputs}"
        )


def _check_whole(*tensors: Tensor) -> None:
    if any(x.shape != tensors[0].shape or not x.is_contiguous() for x in tensors):
        raise ValueError("parameters and what belongs to them must be of one shape and in one piece")


def _empty(*shape: int) -> Tensor:
    """Float32 on the CPU, whatever PyTorch's defaults are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def rows_together(x: Tensor) -> Tensor:
    """`x`, copied unless the rows of its last two axes follow each other in memory."""
    return x if x.stride()[-2:] == (x.shape[-1], 1) else x.contiguous()


def _threads(work: int) -> int:
    return torch.get_num_threads() if work > SHARED_OUT else 1


def _check(failed: int) -> None:
    if failed:
        raise MemoryError("no memory for the activations of a network")


def _functions() -> ctypes.CDLL:
    library = _library()
    assert library is not None, "ask `takes` first"
    return library


@cache
def _library() -> ctypes.CDLL | None:
    library = compiled.library(SOURCE)
    if library is None:
        return None
    address, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    library.mish.argtypes = [address, count, number]
    library.mish_and_slope.argtypes = [address] * 3 + [count, number]
    library.values.argtypes = [address] + [count] * 5 + [address] * 3 + [number]
    library.sample.argtypes = [
        address, *[count] * 4, address, count, count, *[address] * 4, number,
        address, count, address, count, count, address, number,
    ]  # fmt: skip
    library.forward.argtypes = [address] + [count] * 3 + [address] * 5 + [number]
    library.kept.argtypes, library.kept.restype = [address, count], count
    library.backward.argtypes = [address] + [count] * 2 + [address] * 3 + [count] * 4 + [address, number]
    library.descend.argtypes = [count] * 2 + [address] * 6 + [ctypes.c_double] * 6 + [number]
    library.follow.argtypes = [count] * 2 + [address] * 3 + [ctypes.c_double, number]
    return library
