"""Precision of the matrix products of a gradient step; parameters, moments and losses are float32 in each.

- fp32: float32 throughout.
- tf32: the products' factors are rounded to TF32 (10 bits of mantissa) on a GPU that has it, and added in float32. A
  device without it multiplies in float32, which is more exact than what is asked for.
- bf16: as tf32, and in the half that has no gradient (the next actions and their values) the layers between the first
  and the last of each network work in bfloat16 (7 bits of mantissa).

The last layer is float32 in each: the lower confidence bound subtracts the spread of the ensemble's values, so a value
rounded to 7 bits would lower every target by a part of its own size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from dac.agent.networks import Params


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


def without_gradient(params: Params, precision: str) -> Params:
    """A network's parameters as the half without a gradient takes them: its inner layers in bfloat16 for bf16.

    Args:
        params: of an actor or of critics, as in `networks`.
    """
    if precision != "bf16":
        return params
    return {name: value.bfloat16() if _is_inner(name, params) else value for name, value in params.items()}


def _is_inner(name: str, params: Params) -> bool:
    """Whether a parameter is of a layer between the first and the last; those that embed the time are not."""
    *prefix, layer, _ = name.split("/")
    last = "/".join([*prefix, str(int(layer) + 1), "kernel"]) not in params
    return prefix != ["time"] and int(layer) > 0 and not last
