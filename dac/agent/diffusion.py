"""Diffusion over actions: noise schedules, the forward process and the reverse samplers.

Time runs from t = 0 (clean) to t = T (nearly pure noise); every array of a schedule has T + 1 entries and the entry
at index 0 is that of t = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

NoisePredictor = Callable[[Tensor, int], Tensor]  # (x_t, t) -> the predicted noise, in the shape of x_t


@dataclass(frozen=True)
class Schedule:
    """Noise schedule: beta_t, alpha_t = 1 - beta_t and alpha_bar_t = alpha_1 ... alpha_t, each (T + 1,).

    The tuples hold the same numbers as Python floats, so that a sampler's coefficients cost no device access.
    """

    betas: Tensor = field(compare=False)
    alpha_bars: Tensor = field(compare=False)
    beta: tuple[float, ...]
    alpha_bar: tuple[float, ...]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.beta) - 1


def make_schedule(
    name: str, steps: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Schedule:
    """Build a schedule of `steps` = T diffusion steps.

    - vp: alpha_t = exp(-b_min / T - (b_max - b_min)(2t - 1) / (2 T^2)), b_min = 0.1, b_max = 10 (the discretised
      variance-preserving process, Song et al. 2021; the schedule of arXiv 2405.20555);
    - linear: beta from 1e-4 to 2e-2 (Ho et al. 2020);
    - cosine: alpha_bar_t = f(t/T) / f(0), f(u) = cos^2((u + 0.008) / 1.008 * pi / 2), beta at most 0.999
      (Nichol and Dhariwal 2021).

    Raises:
        ValueError: the name is unknown or `steps` < 1.
    """
    if name not in _BETAS:
        raise ValueError(f"beta_schedule: {name!r}; allowed values are {', '.join(_BETAS)}")
    if steps < 1:
        raise ValueError(f"diffusion_steps: {steps}; at least 1 is needed")
    betas = torch.cat([torch.zeros(1, dtype=torch.float64), _BETAS[name](steps)])
    alpha_bars = torch.cumprod(1 - betas, dim=0)
    return Schedule(
        betas=betas.to(device, dtype),
        alpha_bars=alpha_bars.to(device, dtype),
        beta=tuple(betas.tolist()),
        alpha_bar=tuple(alpha_bars.tolist()),
    )


def _vp_betas(steps: int) -> Tensor:
    t = torch.arange(1, steps + 1, dtype=torch.float64)
    b_min, b_max = 0.1, 10.0
    return 1 - torch.exp(-b_min / steps - 0.5 * (b_max - b_min) * (2 * t - 1) / steps**2)


def _linear_betas(steps: int) -> Tensor:
    return torch.linspace(1e-4, 2e-2, steps, dtype=torch.float64)


def _cosine_betas(steps: int) -> Tensor:
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)


_BETAS: dict[str, Callable[[int], Tensor]] = {"vp": _vp_betas, "linear": _linear_betas, "cosine": _cosine_betas}


def forward_noise(schedule: Schedule, actions: Tensor, t: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Noise actions to time t: x_t = sqrt(alpha_bar_t) a + sqrt(1 - alpha_bar_t) eps.

    Args:
        actions: (..., A). t: (...) integers in 0..T. eps: (..., A) standard normal.

    Returns:
        x_t (..., A) and the noise's scale sqrt(1 - alpha_bar_t) (..., 1).
    """
    alpha_bar = schedule.alpha_bars[t].unsqueeze(-1)
    scale = torch.sqrt(1 - alpha_bar)
    return torch.sqrt(alpha_bar) * actions + scale * eps, scale


def predicted_clean(schedule: Schedule, x_t: Tensor, noise: Tensor, t: int, clip: bool) -> Tensor:
    """The clean action that a noise prediction implies: x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t).

    Args:
        x_t, noise: (..., A). t: 1..T. clip: clip the result to [-1, 1].
    """
    alpha_bar = schedule.alpha_bar[t]
    clean = torch.sub(x_t, noise, alpha=math.sqrt(1 - alpha_bar)) / math.sqrt(alpha_bar)
    return clean.clamp(-1.0, 1.0) if clip else clean


@dataclass(frozen=True)
class ReverseStep:
    """Numbers of one reverse step t: x_0 = (x_t - noise eps) / signal, x_{t-1} = clean x_0 + kept x_t + spread z."""

    noise: float  # sqrt(1 - alpha_bar_t)
    signal: float  # sqrt(alpha_bar_t)
    clean: float
    kept: float
    spread: float  # sqrt(beta_t), 0 at t = 1


def reverse_step(schedule: Schedule, t: int) -> ReverseStep:
    """The coefficients of `ddpm_sample` at time t, 1..T."""
    beta, alpha_bar, previous = schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
    noise, signal = math.sqrt(1 - alpha_bar), math.sqrt(alpha_bar)
    if t == 1:
        return ReverseStep(noise, signal, 1.0, 0.0, 0.0)  # alpha_bar_0 = 1: the mean is x_0 itself
    clean = math.sqrt(previous) * beta / (1 - alpha_bar)
    kept = math.sqrt(1 - beta) * (1 - previous) / (1 - alpha_bar)
    return ReverseStep(noise, signal, clean, kept, math.sqrt(beta))


def check_sampler_noise(schedule: Schedule, z: Tensor) -> None:
    """Check that the reverse process has its noise.

    Raises:
        ValueError: z (R, T - 1 or T, n, A) has another number of rows.
    """
    steps = schedule.steps
    if z.shape[1] not in (steps - 1, steps):
        raise ValueError(f"sampler noise has {z.shape[1]} rows; {steps} diffusion steps need {steps - 1} or {steps}")


def ddpm_sample(
    predictor: NoisePredictor, schedule: Schedule, prior: Tensor, z: Tensor, *, clip_denoised: bool
) -> Tensor:
    """Run the stochastic reverse process from t = T to 0 (Ho et al. 2020, with x_0 clipped where asked).

    x_{t-1} = [sqrt(alpha_bar_{t-1}) beta_t x_0 + sqrt(alpha_t) (1 - alpha_bar_{t-1}) x_t] / (1 - alpha_bar_t)
    + 1[t > 1] sqrt(beta_t) z. The noise's scale is sqrt(beta_t), as in arXiv 2405.20555, not the posterior's.

    Args:
        prior: (R, n, A), x_T. z: (R, T - 1 or T, n, A) standard normal, in the order t = T, ..., 2; a further row,
            for t = 1, is ignored. clip_denoised: clip x_0 to [-1, 1] in every step.

    Returns:
        x_0, (R, n, A).

    Raises:
        ValueError: z has another number of rows.
    """
    check_sampler_noise(schedule, z)
    x = prior
    for row, t in enumerate(range(schedule.steps, 0, -1)):
        step = reverse_step(schedule, t)
        clean = predicted_clean(schedule, x, predictor(x, t), t, clip_denoised)
        if t == 1:
            return clean
        x = torch.add(torch.add(clean * step.clean, x, alpha=step.kept), z[:, row], alpha=step.spread)
    return x


def ddim_times(total: int, steps: int) -> list[int]:
    """Times visited by a `steps`-step sampler of a `total`-step process: evenly spread, from `total` down to 0."""
    return [-(-total * (steps - i) // steps) for i in range(steps + 1)]


def ddim_step(schedule: Schedule, t: int, s: int) -> ReverseStep:
    """The coefficients of `ddim_sample` from time t to s < t; nothing is spread."""
    alpha_bar, previous = schedule.alpha_bar[t], schedule.alpha_bar[s]
    noise, signal = math.sqrt(1 - alpha_bar), math.sqrt(alpha_bar)
    kept = math.sqrt((1 - previous) / (1 - alpha_bar))
    return ReverseStep(noise, signal, math.sqrt(previous) - kept * signal, kept, 0.0)


def ddim_sample(
    predictor: NoisePredictor, schedule: Schedule, prior: Tensor, *, steps: int | None = None, clip_denoised: bool
) -> Tensor:
    """Run the deterministic reverse process (DDIM, Song et al. 2021, its eta = 0) from t = T to 0.

    From time t to s < t: x_s = sqrt(alpha_bar_s) x_0 + sqrt(1 - alpha_bar_s) (x_t - sqrt(alpha_bar_t) x_0) /
    sqrt(1 - alpha_bar_t); the direction follows the x_0 that was kept, also where it was clipped.

    Args:
        prior: (R, n, A), x_T. steps: number of steps, 1..T; None = T. clip_denoised: clip x_0 in every step.

    Returns:
        x_0, (R, n, A).

    Raises:
        ValueError: `steps` is not in 1..T.
    """
    steps = schedule.steps if steps is None else steps
    if not 1 <= steps <= schedule.steps:
        raise ValueError(f"sampler_steps: {steps}; allowed are 1 to {schedule.steps}")
    times = ddim_times(schedule.steps, steps)
    x = prior
    for t, s in pairwise(times):
        step = ddim_step(schedule, t, s)
        clean = predicted_clean(schedule, x, predictor(x, t), t, clip_denoised)
        x = torch.add(clean * step.clean, x, alpha=step.kept)
    return x


def visited_steps(schedule: Schedule, sampler: str, sampler_steps: int | None) -> list[tuple[int, ReverseStep]]:
    """The times that a sampler visits, from T down, each with its step's coefficients.

    Args:
        sampler: ddpm or ddim. sampler_steps: of ddim; None = T.
    """
    if sampler == "ddpm":
        return [(t, reverse_step(schedule, t)) for t in range(schedule.steps, 0, -1)]
    times = ddim_times(schedule.steps, sampler_steps or schedule.steps)
    return [(t, ddim_step(schedule, t, s)) for t, s in pairwise(times)]
