"""Precision of the matrix products of a gradient step; parameters, moments and losses are float32 in each.

- fp32: float32 throughout.
- tf32: the products' factors are rounded to TF32 (10 bits of mantissa) on a GPU that has it, and added in float32. A
  device without it multiplies in float32, which is more exact than what is asked for.
- bf16: as tf32, and in the half that has no gradient (the next actions and their values) the layers between the first
  and the last of each network multiply in bfloat16 (7 bits of mantissa) how the N actions of a state differ. With one
  action a state, nothing differs, and all is as in tf32.

A layer of that half is linear, so its product is that of the mean of a state's N activations, in float32, plus those of
their deviations from it, in bfloat16. The targets average over the N actions. The deviations sum to zero, whatever the
kernel, so the rounding of a kernel falls out of a layer's average; and where activations differ little among actions,
little is rounded. Rounded as they are, they would move every target by a tenth of the ensemble's spread and more
(benchmarks/README.md has what is left of that), in the same direction for all states that are alike.

A device without instructions for bfloat16 (a CPU with AVX2 alone, Apple's M1, a GPU before Ampere) takes bf16's factors
as float32 numbers, which hold them and their products exactly, and rounds what it has added as the others do. PyTorch's
own imitation takes some ten times as long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

LOWERED = "/bf16"  # behind the name of a kernel: the same in bfloat16
# Of processors, as `torch.cpu.get_capabilities` names them: of x86, and of ARM.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")


@contextlib.contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """Let the GPU's float32 products be of a precision until the block ends; the CPU's are float32 throughout."""
    flags = torch.backends.cuda.matmul
    before = flags.fp32_precision
    flags.fp32_precision = "ieee" if precision == "fp32" else "tf32"
    try:
        yield
    finally:
        flags.fp32_precision = before


def without_gradient(params: Mapping[str, Tensor], precision: str, samples: int) -> Mapping[str, Tensor]:
    """A network's parameters as the half without a gradient takes them: for bf16 with its inner kernels in bfloat16.

    Args:
        params: of an actor or of critics, as in `networks`. samples: actions a state; one has nothing to differ from.

    Returns:
        `params`, and for bf16 behind them under `<name>` + LOWERED the kernels between the first layer and the last,
        rounded to bfloat16; as float32 where the device has no products of bfloat16.
    """
    if precision != "bf16" or samples == 1:
        return params
    inner = {name: value for name, value in params.items() if _is_inner(name, params)}
    return {**params, **{name + LOWERED: _lowered(value) for name, value in inner.items()}}


def _lowered(kernel: Tensor) -> Tensor:
    rounded = kernel.bfloat16()
    return rounded if multiplies_bf16(kernel.device) else rounded.float()


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices itself; what is asked of others in it is computed in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in _BF16_INSTRUCTIONS)


def _is_inner(name: str, params: Mapping[str, Tensor]) -> bool:
    """Whether it is a kernel of a layer between the first and the last; those that embed the time are not."""
    *prefix, layer, what = name.split("/")
    last = "/".join([*prefix, str(int(layer) + 1), "kernel"]) not in params
    return what == "kernel" and prefix != ["time"] and int(layer) > 0 and not last


def product_about_mean(hidden: Tensor, kernel: Tensor, bias: Tensor, lowered: Tensor, samples: int) -> Tensor:
    """hidden @ kernel + bias, with each state's mean row multiplied in float32 and what differs from it in bfloat16.

    Args:
        hidden: (M, b * samples, in), the rows of a state together; overwritten.
        kernel: (M, in, out). bias: (M, 1, out). lowered: the kernel rounded to bfloat16.

    Returns:
        (M, b * samples, out), of the dtype of `hidden`.
    """
    networks, rows, width = hidden.shape
    grouped = hidden.view(networks, -1, samples, width)
    mean = grouped.mean(2)
    deviations = grouped.sub_(mean.unsqueeze(2)).bfloat16().to(lowered.dtype).flatten(1, 2)
    product = torch.bmm(deviations, lowered).bfloat16().to(hidden.dtype).view(networks, -1, samples, kernel.shape[2])
    return product.add_(torch.baddbmm(bias, mean, kernel).unsqueeze(2)).view(networks, rows, -1)
