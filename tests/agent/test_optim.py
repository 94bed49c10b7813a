from __future__ import annotations

import math

import pytest
import torch

from dac.agent.optim import Adam, clip_by_global_norm, cosine_decay, moving_average


def test_cosine_decay_runs_from_the_full_rate_to_zero() -> None:
    def rate(step: float, decay_steps: int | None = 100) -> float:
        return cosine_decay(0.3, torch.tensor(step, dtype=torch.float64), decay_steps).item()

    assert rate(0) == 0.3
    assert rate(25) == pytest.approx(0.15 * (1 + math.sqrt(0.5)))
    assert rate(50) == pytest.approx(0.15)
    assert rate(100) == 0.0
    assert rate(250) == 0.0
    assert rate(10**9, None) == 0.3


def test_clipping_is_that_of_every_run_alone() -> None:
    gradient = torch.randn(3, 50, dtype=torch.float64) * torch.tensor([[0.01], [1.0], [30.0]], dtype=torch.float64)
    expected = []
    for row in gradient:
        parameter = torch.nn.Parameter(torch.zeros(50, dtype=torch.float64))
        parameter.grad = row.clone()
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        expected.append(parameter.grad)
    norms = gradient.norm(dim=1)
    clipped, norm = clip_by_global_norm(gradient.clone(), 1.0)
    torch.testing.assert_close(norm, norms)
    # torch divides by norm + 1e-6
    torch.testing.assert_close(clipped, torch.stack(expected), rtol=1e-5, atol=0)
    assert torch.equal(clipped[0], gradient[0])
    assert not clip_by_global_norm(torch.zeros(1, 4), 1.0)[0].any()


def test_adam_is_torch_adam() -> None:
    start = torch.randn(2, 30, dtype=torch.float64)
    parameters = start.clone()
    adam = Adam(torch.zeros_like(start), torch.zeros_like(start))
    references = [torch.nn.Parameter(row.clone()) for row in start]
    optimisers = [torch.optim.Adam([reference], lr=0.01) for reference in references]
    for step in range(20):
        gradient = torch.randn_like(start) * 10.0 ** (step % 5 - 3)
        for reference, optimiser, row in zip(references, optimisers, gradient, strict=True):
            reference.grad = row.clone()
            optimiser.param_groups[0]["lr"] = 0.01 / (1 + step)
            optimiser.step()
        count = torch.tensor(step, dtype=torch.float64)
        adam.update(parameters, gradient.clone(), count, 0.01 / (1 + count), torch.tensor([True, True]))
    torch.testing.assert_close(parameters, torch.stack([row.detach() for row in references]), rtol=1e-12, atol=1e-14)


def test_inactive_runs_stay_to_the_bit() -> None:
    active = torch.tensor([True, False])
    parameters, first, second = torch.randn(2, 30), torch.randn(2, 30), torch.rand(2, 30)
    before = [tensor.clone() for tensor in (parameters, first, second)]
    gradient = torch.randn(2, 30)
    gradient[1, 3] = float("nan")
    gradient[1, 4] = float("inf")
    number = torch.tensor([7, 0.1], dtype=torch.float64)
    Adam(first, second).update(parameters, gradient, number[0], number[1], active)
    target, target_before = torch.randn(2, 30), torch.empty(2, 30)
    target_before.copy_(target)
    moving_average(target, parameters, 0.5, active)
    for found, previous in zip((parameters, first, second, target), (*before, target_before), strict=True):
        assert torch.equal(found[1].view(torch.int32), previous[1].view(torch.int32))
        assert torch.isfinite(found[0]).all() and not torch.equal(found[0], previous[0])


def test_moving_average() -> None:
    target = torch.tensor([[1.0, -2.0]])
    moving_average(target, torch.tensor([[2.0, 0.0]]), 0.25, torch.tensor([True]))
    torch.testing.assert_close(target, torch.tensor([[1.25, -1.5]]))
