from __future__ import annotations

import pytest

from dac.agent import AgentConfig


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("guidance", "soft, hard, denoised, none"),
        ("q_target", "lcb, min, convex"),
        ("beta_schedule", "vp, linear, cosine"),
        ("sampler", "ddpm, ddim"),
    ],
)
def test_unknown_choices_are_refused_with_the_allowed_ones(field: str, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: 'medium'; allowed values are {allowed}"):
        AgentConfig(**{field: "medium"})


@pytest.mark.parametrize("steps", [0, 6])
def test_sampler_steps_lie_within_the_diffusion(steps: int) -> None:
    with pytest.raises(ValueError, match=f"sampler_steps: {steps}; allowed are 1 to diffusion_steps = 5"):
        AgentConfig(sampler="ddim", sampler_steps=steps)
