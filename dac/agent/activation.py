"""Mish, x tanh(softplus(x)), from one logistic function (Misra 2019).

With s = 1 / (1 + exp(-x)) and u = s (2 - s): tanh(softplus(x)) = u / (2 - u). Nothing overflows, nothing cancels, and
PyTorch's logistic function is vectorised, while its own mish takes a logarithm and a hyperbolic tangent besides, which
on a CPU costs more than the matrix products around it. On a GPU, PyTorch's own is one kernel instead of five. Where
this machine can compile native.c, a CPU takes that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dac.agent import native


def mish(x: Tensor) -> Tensor:
    """Mish of `x`, elementwise; overwrites `x` where autograd keeps nothing, since large temporaries cost most."""
    if x.is_cuda:
        return torch.nn.functional.mish(x)
    if x.requires_grad:
        result: Tensor = _Mish.apply(x)  # type: ignore[no-untyped-call]
        return result
    if native.takes(x) and x.is_contiguous():
        return native.mish(x)
    return mish_in_passes(x)


def mish_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mish of `x` and its derivative t + 4 x s (1 - u) / (2 - u)^2, t = tanh(softplus(x)), elementwise."""
    if native.takes(x) and x.is_contiguous():
        return native.mish_and_slope(x)
    return mish_and_slope_in_passes(x)


def mish_in_passes(x: Tensor) -> Tensor:
    """`mish` of what needs no gradient, by PyTorch's kernels: the reference of the one in a pass."""
    s = torch.sigmoid(x)
    u = (2.0 - s).mul_(s)
    return x.mul_(u).div_(torch.sub(2.0, u, out=s))


def mish_and_slope_in_passes(x: Tensor) -> tuple[Tensor, Tensor]:
    """`mish_and_slope` by PyTorch's kernels."""
    s = torch.sigmoid(x)
    u = (2.0 - s).mul_(s)
    rest = 2.0 - u
    tanh = u / rest
    minus_quarter = s.mul_(u.sub_(1.0)).div_(rest).div_(rest)
    slope = torch.addcmul(tanh, x, minus_quarter, value=-4.0)
    return tanh.mul_(x), slope


class _Mish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        value, slope = mish_and_slope(x)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        result: Tensor = slope * gradient
        return result
