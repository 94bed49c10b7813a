"""The chain's own backward pass against autograd through the plain sampler."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dac.agent.chain import differentiable_ddpm_sample
from dac.agent.diffusion import ddpm_sample, make_schedule
from dac.agent.networks import actor_layout, initial_parameters, noise_predictor

RUNS, ROWS, OBSERVATION_DIM, ACTION_DIM = 3, 7, 4, 2


def actor(scale: float) -> dict[str, Tensor]:
    layout = actor_layout(OBSERVATION_DIM, ACTION_DIM, (9, 8))
    generator = torch.Generator().manual_seed(0)
    drawn = [initial_parameters(layout, generator) for _ in range(RUNS)]
    stacked = {name: scale * torch.stack([values[name] for values in drawn]) for name in layout.shapes}
    return {name: value.requires_grad_() for name, value in stacked.items()}


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(("steps", "spare_row"), [(1, 0), (2, 0), (6, 0), (6, 1)])
def test_actions_and_gradients_equal_autograds(steps: int, spare_row: int, clip: bool) -> None:
    params, schedule = actor(1.5), make_schedule("vp", steps, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(RUNS, *shape, generator=generator, dtype=torch.float64)

    observations, prior = normal(ROWS, OBSERVATION_DIM), normal(ROWS, ACTION_DIM)
    z, weights = normal(steps - 1 + spare_row, ROWS, ACTION_DIM), normal(ROWS, ACTION_DIM)
    predictor = noise_predictor(params, observations, steps, ACTION_DIM)
    plain = ddpm_sample(predictor, schedule, prior, z, clip_denoised=clip)
    ours = differentiable_ddpm_sample(params, observations, schedule, prior, z, clip_denoised=clip)
    torch.testing.assert_close(ours, plain)
    if clip and steps > 1:
        assert 0 < (plain.abs() == 1.0).double().mean() < 1, "some must be clipped for this test to say anything"
    expected = torch.autograd.grad((weights * plain).sum(), list(params.values()))
    found = torch.autograd.grad((weights * ours).sum(), list(params.values()))
    for name, theirs, own in zip(params, expected, found, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-9, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


def test_without_autograd_nothing_is_kept() -> None:
    params, schedule = actor(1.0), make_schedule("vp", 2, dtype=torch.float64)
    rows = torch.zeros(RUNS, ROWS, ACTION_DIM, dtype=torch.float64)
    observations = torch.zeros(RUNS, ROWS, OBSERVATION_DIM, dtype=torch.float64)
    with torch.no_grad():
        actions = differentiable_ddpm_sample(params, observations, schedule, rows, rows[:, None], clip_denoised=True)
    assert not actions.requires_grad


def test_noise_of_another_length_is_refused() -> None:
    params, schedule = actor(1.0), make_schedule("vp", 4, dtype=torch.float64)
    rows = torch.zeros(RUNS, ROWS, ACTION_DIM, dtype=torch.float64)
    observations = torch.zeros(RUNS, ROWS, OBSERVATION_DIM, dtype=torch.float64)
    with pytest.raises(ValueError, match="4 diffusion steps need 3 or 4"):
        differentiable_ddpm_sample(params, observations, schedule, rows, rows[:, None], clip_denoised=True)
