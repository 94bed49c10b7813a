"""Mish against PyTorch's own, values and gradients, over the whole range of its argument."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from dac.agent.activation import mish


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_value_and_gradient_are_those_of_torch(dtype: torch.dtype, tolerance: float) -> None:
    x = torch.cat(
        [torch.linspace(-30, 30, 4001, dtype=dtype), torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4], dtype=dtype)]
    )
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    value, expected = mish(ours), functional.mish(theirs)
    value.sum().backward()
    expected.sum().backward()
    scale = x.abs().clamp(min=1.0)
    assert ((value - expected) / scale).abs().max() < tolerance
    assert ours.grad is not None and theirs.grad is not None
    assert (ours.grad - theirs.grad).abs().max() < 10 * tolerance


def test_without_autograd_the_argument_is_overwritten_with_the_same_value() -> None:
    x = torch.linspace(-10, 10, 1001)
    expected = mish(x.clone().requires_grad_()).detach()
    result = mish(x)
    assert result.data_ptr() == x.data_ptr()
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-7)


def test_second_derivatives_are_refused() -> None:
    x = torch.ones(3, requires_grad=True)
    (gradient,) = torch.autograd.grad(mish(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError):
        gradient.sum().backward()
