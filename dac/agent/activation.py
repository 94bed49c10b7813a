"""Mish, x tanh(softplus(x)), with one exponential (Misra 2019).

With e = exp(x) and n = e (e + 2): mish(x) = x n / (n + 2). PyTorch's own kernel takes a logarithm and a hyperbolic
tangent besides, which on a CPU costs as much as the matrix products around it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# From here on n / (n + 2) is 1 in float32 and float64, while exp(2x) is still far from overflowing.
_LARGEST_EXPONENT = 20.0


def mish(x: Tensor) -> Tensor:
    """Mish of `x`, elementwise; overwrites `x` where autograd keeps nothing, since large temporaries cost most."""
    if x.requires_grad:
        result: Tensor = _Mish.apply(x)  # type: ignore[no-untyped-call]
        return result
    half = _half_n(x.clamp(max=_LARGEST_EXPONENT).exp_())
    return x.mul_(half).div_(half.add_(1.0))


def _half_n(e: Tensor) -> Tensor:
    """n / 2 = e + e² / 2."""
    return torch.addcmul(e, e, e, value=0.5)


class _Mish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        e = x.clamp(max=_LARGEST_EXPONENT).exp_()
        half = _half_n(e)
        tanh = half / (half + 1.0)
        ctx.save_for_backward(x, e, tanh)
        return x * tanh

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """d mish / dx = t + x (1 - t²) σ(x), t = tanh(softplus(x)), σ(x) = e / (e + 1)."""
        x, e, tanh = ctx.saved_tensors
        slope = (1.0 - tanh.square()).mul_(x).mul_(e / (e + 1.0)).add_(tanh)
        result: Tensor = slope.mul_(gradient)
        return result
