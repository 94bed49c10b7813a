"""The paper's theorems as numbers: what the trained noise predictor must be where everything is known exactly.

Behaviour is Gaussian, so E[eps | x_t] is known (Theorem 1); with a known Q the minimiser of the soft-guided loss is
E[eps | x_t] - sqrt(1 - alpha_bar_t) g / (2 eta), g the normalised Q gradient at x_t (Theorem 2; the factor 1/2 is that
of the released loss).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dac.agent import AgentConfig, Batch, UpdateNoise
from dac.agent.actor import actor_loss
from dac.agent.diffusion import make_schedule
from dac.agent.networks import actor_layout, initial_parameters, noise_prediction

MEAN, STD = 0.3, 0.2
BATCH, STEPS = 512, 1500


def linear(actions: Tensor) -> Tensor:
    """Q(a) = 1 + 0.8 a: gradient 0.8; positive where the data lie, so that C is its mean there."""
    return 1.0 + 0.8 * actions[..., 0]


def quadratic(actions: Tensor) -> Tensor:
    """Q(a) = -2 (a - 0.6)^2: gradient -4 (a - 0.6)."""
    return -2.0 * (actions[..., 0] - 0.6).square()


def train(config: AgentConfig) -> tuple[dict[str, Tensor], float]:
    """Minimise the real loss; returns the predictor's parameters and the mean of 1 / C over the second half."""
    schedule = make_schedule("vp", config.diffusion_steps)
    drawn = initial_parameters(actor_layout(1, 1, config.hidden_sizes), torch.Generator().manual_seed(0))
    params = {name: value.float().unsqueeze(0).requires_grad_() for name, value in drawn.items()}
    optimiser = torch.optim.Adam(params.values(), lr=5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    noise = UpdateNoise([0], config, BATCH, 1, next_actions=False)
    generator = torch.Generator().manual_seed(1)
    scales = []
    for step in range(STEPS):
        batch, draws = gaussian_batch(generator), noise.draws(step)
        eta = torch.tensor([config.eta])
        loss, metrics = actor_loss(config, schedule, params, {}, batch=batch, draws=draws, eta=eta)
        optimiser.zero_grad()
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        decay.step()
        if "q_norm" in metrics and step >= STEPS // 2:
            scales.append(1 / metrics["q_norm"].item())
    return {name: value.detach() for name, value in params.items()}, sum(scales) / max(len(scales), 1)


def gaussian_batch(generator: torch.Generator) -> Batch:
    zeros = torch.zeros(1, BATCH)
    actions = MEAN + STD * torch.randn(1, BATCH, 1, generator=generator)
    return Batch(zeros[..., None], actions, zeros, zeros, zeros[..., None])


def largest_error(config: AgentConfig, params: dict[str, Tensor], shift: Callable[[Tensor], Tensor]) -> float:
    """Largest |predicted - exact| noise over all times, within 1.5 standard deviations of x_t.

    Args:
        shift: x -> g / (2 eta), by which the scaled score is moved.
    """
    schedule, worst = make_schedule("vp", config.diffusion_steps), 0.0
    for t in range(1, config.diffusion_steps + 1):
        alpha_bar = schedule.alpha_bar[t]
        variance = alpha_bar * STD**2 + 1 - alpha_bar
        x = alpha_bar**0.5 * MEAN + variance**0.5 * torch.linspace(-1.5, 1.5, 13).view(1, 13, 1)
        found = noise_prediction(params, x, torch.zeros(1, 13, 1), torch.full((1, 13), t))
        expected_noise = (1 - alpha_bar) ** 0.5 * (x - alpha_bar**0.5 * MEAN) / variance
        exact = expected_noise - (1 - alpha_bar) ** 0.5 * shift(x)
        worst = max(worst, (found - exact).abs().max().item())
    return worst


def test_theorem_1_the_score_of_gaussian_behaviour() -> None:
    config = AgentConfig(guidance="none", hidden_sizes=(48, 48), eta_lr=0.0)
    params, _ = train(config)
    assert largest_error(config, params, torch.zeros_like) < 0.06
    # The identity is not met by a predictor of no noise: the test can fail.
    assert largest_error(config, {name: 0 * value for name, value in params.items()}, torch.zeros_like) > 1.0


@pytest.mark.parametrize(
    ("q", "slope"),
    [(linear, lambda x: 0.8 + 0 * x), (quadratic, lambda x: -4.0 * (x - 0.6))],
    ids=["linear", "quadratic"],
)
@pytest.mark.parametrize("eta", [0.5, 2.0])
@pytest.mark.usefixtures("by_pytorch")
def test_theorem_2_the_minimiser_of_soft_guidance(
    q: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor], eta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known_q(_: object, observations: Tensor, actions: Tensor) -> Tensor:
        return q(actions).unsqueeze(1).expand(-1, 2, -1)

    for user in ("actor", "networks"):
        monkeypatch.setattr(f"dac.agent.{user}.q_values", known_q)
    config = AgentConfig(guidance="soft", hidden_sizes=(48, 48), eta=eta, eta_lr=0.0)
    params, inverse_norm = train(config)
    norm = torch.tensor(MEAN) + STD * torch.randn(1_000_000, generator=torch.Generator().manual_seed(2))
    assert inverse_norm == pytest.approx(1 / q(norm[:, None]).abs().mean().item(), rel=0.02)

    def shift(x: Tensor) -> Tensor:
        return slope(x) * inverse_norm / (2 * eta)

    moved = largest_error(config, params, torch.zeros_like)
    assert largest_error(config, params, shift) < 0.01 + 0.02 * moved


@pytest.mark.usefixtures("by_pytorch")
def test_hard_guidance_has_another_minimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the noise scaling the shift is the same at all times: -g / (2 eta)."""
    for user in ("actor", "networks"):
        monkeypatch.setattr(f"dac.agent.{user}.q_values", lambda _, observations, actions: linear(actions).unsqueeze(1))
    config = AgentConfig(guidance="hard", hidden_sizes=(48, 48), eta=1.0, eta_lr=0.0)
    params, inverse_norm = train(config)
    schedule = make_schedule("vp", config.diffusion_steps)
    alpha_bar = schedule.alpha_bar[1]
    x = torch.full((1, 1, 1), alpha_bar**0.5 * MEAN)
    found = noise_prediction(params, x, torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.int64)).item()
    shift = 0.8 * inverse_norm / 2
    assert found == pytest.approx(-shift, abs=0.05)
    assert abs(found + (1 - alpha_bar) ** 0.5 * shift) > 0.1
