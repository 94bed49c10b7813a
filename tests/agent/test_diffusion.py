from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dac.agent.diffusion import (
    NoisePredictor,
    Schedule,
    ddim_sample,
    ddim_times,
    ddpm_sample,
    forward_noise,
    make_schedule,
    predicted_clean,
)

MEAN, VARIANCE = 0.4, 0.09


def gaussian_predictor(schedule: Schedule) -> NoisePredictor:
    """The exact E[eps | x_t] where clean actions are N(MEAN, VARIANCE)."""

    def predict(x: Tensor, t: int) -> Tensor:
        alpha_bar = schedule.alpha_bar[t]
        marginal = alpha_bar * VARIANCE + 1 - alpha_bar
        return math.sqrt(1 - alpha_bar) * (x - math.sqrt(alpha_bar) * MEAN) / marginal

    return predict


def test_vp_schedule_by_hand() -> None:
    schedule = make_schedule("vp", 2, dtype=torch.float64)
    first = math.exp(-0.1 / 2 - 0.5 * 9.9 * 1 / 4)
    second = math.exp(-0.1 / 2 - 0.5 * 9.9 * 3 / 4)
    assert schedule.beta == pytest.approx((0, 1 - first, 1 - second), abs=1e-15)
    assert schedule.alpha_bar == pytest.approx((1, first, first * second), abs=1e-15)
    # The paper's five steps: the products telescope to exp(-b_min t/T - (b_max - b_min) t^2 / (2 T^2)).
    five = make_schedule("vp", 5)
    assert five.alpha_bar[5] == pytest.approx(math.exp(-0.1 - 0.5 * 9.9))
    assert five.alpha_bar[2] == pytest.approx(math.exp(-0.1 * 2 / 5 - 0.5 * 9.9 * 4 / 25))


def test_linear_schedule_by_hand() -> None:
    schedule = make_schedule("linear", 3)
    assert schedule.beta == pytest.approx((0, 1e-4, 1.005e-2, 2e-2))
    assert schedule.alpha_bar[3] == pytest.approx((1 - 1e-4) * (1 - 1.005e-2) * (1 - 2e-2))


def test_cosine_schedule_by_hand() -> None:
    schedule = make_schedule("cosine", 4)

    def f(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    assert schedule.alpha_bar[:4] == pytest.approx([f(t / 4) / f(0) for t in range(4)])
    assert schedule.beta[4] == 0.999  # f(1) = 0: clipped
    assert schedule.alpha_bar[4] == pytest.approx(f(0.75) / f(0) * 1e-3)


@pytest.mark.parametrize("name", ["vp", "linear", "cosine"])
def test_tensors_equal_the_floats(name: str) -> None:
    schedule = make_schedule(name, 7, dtype=torch.float64)
    assert schedule.steps == 7
    assert schedule.betas.tolist() == list(schedule.beta)
    assert schedule.alpha_bars.tolist() == list(schedule.alpha_bar)


def test_unknown_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed values are vp, linear, cosine"):
        make_schedule("sigmoid", 5)
    with pytest.raises(ValueError, match="diffusion_steps: 0"):
        make_schedule("vp", 0)


def test_forward_noise_and_its_inverse() -> None:
    schedule = make_schedule("vp", 5, dtype=torch.float64)
    actions, eps = torch.rand(2, 6, 3, dtype=torch.float64) * 2 - 1, torch.randn(2, 6, 3, dtype=torch.float64)
    t = torch.full((2, 6), 3)
    x_t, scale = forward_noise(schedule, actions, t, eps)
    alpha_bar = schedule.alpha_bar[3]
    torch.testing.assert_close(x_t, math.sqrt(alpha_bar) * actions + math.sqrt(1 - alpha_bar) * eps)
    torch.testing.assert_close(scale, torch.full((2, 6, 1), math.sqrt(1 - alpha_bar), dtype=torch.float64))
    torch.testing.assert_close(predicted_clean(schedule, x_t, eps, 3, clip=False), actions)


def test_clean_actions_are_clipped_only_where_asked() -> None:
    schedule = make_schedule("vp", 5)
    x_t = torch.tensor([[[3.0, -3.0, 0.1]]])
    noise = torch.zeros_like(x_t)
    assert predicted_clean(schedule, x_t, noise, 1, clip=True)[0, 0, :2].tolist() == [1.0, -1.0]
    assert predicted_clean(schedule, x_t, noise, 1, clip=False)[0, 0, 0] > 3.0


def test_ddpm_moments_are_those_of_the_exact_chain() -> None:
    """With Gaussian data every step is affine plus noise, so the chain's mean and variance are known exactly."""
    schedule = make_schedule("vp", 5, dtype=torch.float64)
    mean, variance = 0.0, 1.0
    for t in range(5, 0, -1):
        beta, alpha_bar, previous = schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
        marginal = alpha_bar * VARIANCE + 1 - alpha_bar
        # x0 = E[a | x_t] = MEAN + gain (x_t - sqrt(alpha_bar) MEAN)
        gain = math.sqrt(alpha_bar) * VARIANCE / marginal
        weight_x0 = math.sqrt(previous) * beta / (1 - alpha_bar)
        weight_x = math.sqrt(1 - beta) * (1 - previous) / (1 - alpha_bar)
        slope = weight_x0 * gain + weight_x
        mean = slope * mean + weight_x0 * MEAN * (1 - gain * math.sqrt(alpha_bar))
        variance = slope**2 * variance + (beta if t > 1 else 0.0)

    count = 400_000
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn(1, count, 1, generator=generator, dtype=torch.float64)
    z = torch.randn(1, 4, count, 1, generator=generator, dtype=torch.float64)
    samples = ddpm_sample(gaussian_predictor(schedule), schedule, prior, z, clip_denoised=False)
    standard_error = math.sqrt(variance / count)
    assert samples.mean().item() == pytest.approx(mean, abs=5 * standard_error)
    assert samples.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / count))


def test_many_ddpm_steps_approach_the_data() -> None:
    schedule = make_schedule("vp", 200)
    generator = torch.Generator().manual_seed(0)
    prior, z = torch.randn(1, 20_000, 1, generator=generator), torch.randn(1, 199, 20_000, 1, generator=generator)
    samples = ddpm_sample(gaussian_predictor(schedule), schedule, prior, z, clip_denoised=False)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert samples.std().item() == pytest.approx(math.sqrt(VARIANCE), abs=0.02)


def test_the_last_noise_row_is_not_used() -> None:
    schedule = make_schedule("vp", 4)
    prior, z = torch.randn(2, 6, 3), torch.randn(2, 4, 6, 3)
    predict = gaussian_predictor(schedule)
    full = ddpm_sample(predict, schedule, prior, z, clip_denoised=True)
    short = ddpm_sample(predict, schedule, prior, z[:, :3], clip_denoised=True)
    assert torch.equal(full, short)
    with pytest.raises(ValueError, match="2 rows; 4 diffusion steps need 3 or 4"):
        ddpm_sample(predict, schedule, prior, z[:, :2], clip_denoised=True)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_ddim_is_the_affine_map_of_gaussian_data(steps: int) -> None:
    """In units of the marginals' standard deviations a DDIM step to s from t has slope
    (sqrt(ab_s ab_t) VARIANCE + sqrt((1 - ab_s)(1 - ab_t))) / (sd_s sd_t)."""
    schedule = make_schedule("vp", 10, dtype=torch.float64)
    slope = 1.0
    times = ddim_times(10, steps)
    for t, s in pairwise(times):
        a, b = schedule.alpha_bar[t], schedule.alpha_bar[s]
        slope *= (math.sqrt(a * b) * VARIANCE + math.sqrt((1 - a) * (1 - b))) / (a * VARIANCE + 1 - a)
    last = schedule.alpha_bar[10]
    prior = torch.linspace(-2, 2, 9, dtype=torch.float64).view(1, 9, 1)
    samples = ddim_sample(gaussian_predictor(schedule), schedule, prior, steps=steps, clip_denoised=False)
    torch.testing.assert_close(samples, MEAN + slope * (prior - math.sqrt(last) * MEAN))


def test_ddim_times_end_at_both_ends() -> None:
    assert ddim_times(5, 5) == [5, 4, 3, 2, 1, 0]
    assert ddim_times(5, 1) == [5, 0]
    assert ddim_times(10, 3) == [10, 7, 4, 0]
    with pytest.raises(ValueError, match="sampler_steps: 6"):
        schedule = make_schedule("vp", 5)
        ddim_sample(gaussian_predictor(schedule), schedule, torch.zeros(1, 1, 1), steps=6, clip_denoised=False)
