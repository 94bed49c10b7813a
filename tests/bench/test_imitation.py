"""TF32's rounding on a machine without it."""

from __future__ import annotations

import torch

from dac.bench.imitation import Tf32Factors, to_tf32


def test_values_keep_ten_bits_of_mantissa() -> None:
    values = torch.tensor([1 + 2**-10, 1 + 2**-11, 1 + 2**-12, -1 - 2**-11, 3.0, 0.0])
    expected = [1 + 2**-10, 1 + 2**-10, 1.0, -1 - 2**-10, 3.0, 0.0]
    assert to_tf32(values).tolist() == expected
    double = values.double() + 2**-40
    assert to_tf32(double) is double


def test_products_round_their_factors_while_it_lasts() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right, bias = (torch.randn(2, 3, 3, generator=generator) for _ in range(3))
    exact = torch.bmm(left, right)
    rounded = torch.bmm(to_tf32(left), to_tf32(right))
    with Tf32Factors():
        assert torch.equal(torch.bmm(left, right), rounded)
        torch.testing.assert_close(torch.baddbmm(bias, left, right), bias + rounded, rtol=0, atol=1e-6)
    assert torch.equal(torch.bmm(left, right), exact)
    assert 1e-5 < (rounded - exact).abs().max() < 2**-9
