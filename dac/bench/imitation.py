"""TF32 on a machine without it: the factors of float32 products rounded as a GPU's tensor cores take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DROPPED = 13  # of float32's 23 bits of mantissa


class Tf32Factors(TorchFunctionMode):
    """While it is entered, batched products round float32 factors to TF32, to the nearest, and add in float32."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.bmm, torch.baddbmm):
            *rest, left, right = args
            args = (*rest, to_tf32(left), to_tf32(right))
        return func(*args, **(kwargs or {}))


def to_tf32(values: Tensor) -> Tensor:
    """Float32 values with 10 bits of mantissa, to the nearest, halves away from zero; others as they are."""
    if values.dtype != torch.float32:
        return values
    bits = values.contiguous().view(torch.int32)
    half, kept = 1 << (DROPPED - 1), -1 << DROPPED
    return ((bits + half) & kept).view(torch.float32)
