"""Settings of the agent."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, get_args, get_type_hints

from dac.agent.allowed import Limits, OneOf
from dac.agent.components import GUIDANCES, Q_TARGETS

PRECISIONS = ("fp32", "tf32", "bf16")

PositiveInt = Annotated[int, Limits(ge=1)]
PositiveFloat = Annotated[float, Limits(gt=0)]
Precision = Annotated[str, OneOf(PRECISIONS)]


@dataclass(frozen=True)
class AgentSettings:
    """Settings of Diffusion Actor-Critic as params.yaml has them (`agent`); the defaults are the paper's.

    The paper is arXiv 2405.20555, section 4 and appendix. What a value may be is checked by the reader of params.yaml
    (`dac.study.check`); a setting that is added here is one there too.
    """

    # How Q enters the actor's loss, see dac.agent.components; none: behaviour cloning.
    guidance: Annotated[str, OneOf(GUIDANCES)] = "soft"
    # How the ensemble's next values are combined, see dac.agent.components.
    q_target: Annotated[str, OneOf(Q_TARGETS)] = "lcb"
    # rho: weight of the standard deviation (lcb) or of the minimum (convex)
    lcb_coefficient: Annotated[float, Limits(ge=0, le=100)] = 1.0
    ensemble_size: Annotated[int, Limits(ge=1, le=1024)] = 10  # H, number of critics
    next_action_samples: Annotated[int, Limits(ge=1, le=1024)] = 10  # N, actions drawn at each next state
    max_backup: bool = False  # maximum instead of mean over those actions
    diffusion_steps: Annotated[int, Limits(ge=1, le=1000)] = 5  # T
    beta_schedule: Annotated[str, OneOf(("vp", "linear", "cosine"))] = "vp"
    sampler: Annotated[str, OneOf(("ddpm", "ddim"))] = "ddpm"  # reverse process for acting and the critic's targets
    sampler_steps: PositiveInt | None = None  # steps of the ddim sampler, at most T; None = T
    clip_denoised: bool = True  # clip the predicted clean action to [-1, 1] in every reverse step
    hidden_sizes: Annotated[tuple[PositiveInt, ...], Limits(min_length=1)] = (256, 256, 256)  # of both networks
    discount: Annotated[float, Limits(ge=0, le=1)] = 0.99
    actor_lr: PositiveFloat = 3e-4
    critic_lr: PositiveFloat = 3e-4
    gradient_clip: PositiveFloat = 1.0  # largest global gradient norm of a network (the whole ensemble for the critic)
    target_rate: Annotated[float, Limits(gt=0, le=1)] = 0.005  # tau of both target networks
    actor_ema_start: Annotated[int, Limits(ge=0)] = 1000  # the target actor follows after this step ...
    actor_ema_interval: PositiveInt = 5  # ... at its multiples of this
    eta: PositiveFloat = 1.0  # initial weight of the behaviour-cloning loss
    eta_lr: Annotated[float, Limits(ge=0)] = 1e-3  # rate of the dual ascent on eta; 0 = fixed eta
    eta_min: PositiveFloat = 1e-3
    eta_max: PositiveFloat = 100.0
    bc_threshold: Annotated[float, Limits(ge=0)] = 1.0  # b: the behaviour-cloning loss that the dual ascent aims at


@dataclass(frozen=True)
class AgentConfig(AgentSettings):
    """All that an agent is told: its settings, and what the training decides of it.

    Raises:
        ValueError: a choice is unknown; the message names the field and the allowed values.
    """

    lr_decay_steps: int | None = None  # length of the cosine decay to zero; None = constant rates
    temperature: float = 0.0  # of the draw among candidate actions; 0 = the best candidate
    precision: Precision = "fp32"  # of a gradient step's matrix products, see dac.agent.precision

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: {getattr(self, name)!r}; allowed values are {', '.join(allowed)}")
        if self.sampler_steps is not None and not 1 <= self.sampler_steps <= self.diffusion_steps:
            raise ValueError(
                f"sampler_steps: {self.sampler_steps}; allowed are 1 to diffusion_steps = {self.diffusion_steps}"
            )


_HINTS = get_type_hints(AgentConfig, include_extras=True)
_CHOICES = {
    field.name: mark.names
    for field in fields(AgentConfig)
    for mark in get_args(_HINTS[field.name])
    if isinstance(mark, OneOf)
}
