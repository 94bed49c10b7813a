"""Settings of the agent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dac.agent.components import GUIDANCES, Q_TARGETS

BETA_SCHEDULES = ("vp", "linear", "cosine")
SAMPLERS = ("ddpm", "ddim")
PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class AgentConfig:
    """Settings of Diffusion Actor-Critic; the defaults are the paper's (arXiv 2405.20555).

    Raises:
        ValueError: a choice is unknown; the message names the field and the allowed values.
    """

    guidance: str = "soft"  # how Q enters the actor's loss, see dac.agent.components; none: behaviour cloning
    q_target: str = "lcb"  # how the ensemble's next values are combined, see dac.agent.components
    lcb_coefficient: float = 1.0  # rho: weight of the standard deviation (lcb) or of the minimum (convex)
    ensemble_size: int = 10  # H, number of critics
    next_action_samples: int = 10  # N, actions drawn at each next state
    max_backup: bool = False  # maximum instead of mean over those actions
    diffusion_steps: int = 5  # T
    beta_schedule: str = "vp"  # vp | linear | cosine
    sampler: str = "ddpm"  # reverse process for acting and for the critic's targets: ddpm | ddim
    sampler_steps: int | None = None  # steps of the ddim sampler, at most T; None = T
    clip_denoised: bool = True  # clip the predicted clean action to [-1, 1] in every reverse step
    hidden_sizes: tuple[int, ...] = (256, 256, 256)  # of both networks
    discount: float = 0.99
    actor_lr: float = 3e-4
    critic_lr: float = 3e-4
    lr_decay_steps: int | None = None  # length of the cosine decay to zero; None = constant rates
    gradient_clip: float = 1.0  # largest global gradient norm of one network (the whole ensemble for the critic)
    target_rate: float = 0.005  # tau of both target networks
    actor_ema_start: int = 1000  # the target actor follows after this step ...
    actor_ema_interval: int = 5  # ... at its multiples of this
    eta: float = 1.0  # initial weight of the behaviour-cloning loss
    eta_lr: float = 1e-3  # rate of the dual ascent on eta; 0 = fixed eta
    eta_min: float = 1e-3
    eta_max: float = 100.0
    bc_threshold: float = 1.0  # b: the behaviour-cloning loss that the dual ascent aims at
    temperature: float = 0.0  # of the draw among candidate actions; 0 = the best candidate
    precision: str = "fp32"  # of a gradient step's matrix products: fp32 | tf32 | bf16, see dac.agent.precision

    def __post_init__(self) -> None:
        _check_choice("guidance", self.guidance, GUIDANCES)
        _check_choice("q_target", self.q_target, Q_TARGETS)
        _check_choice("beta_schedule", self.beta_schedule, BETA_SCHEDULES)
        _check_choice("sampler", self.sampler, SAMPLERS)
        _check_choice("precision", self.precision, PRECISIONS)
        if self.sampler_steps is not None and not 1 <= self.sampler_steps <= self.diffusion_steps:
            raise ValueError(
                f"sampler_steps: {self.sampler_steps}; allowed are 1 to diffusion_steps = {self.diffusion_steps}"
            )


def _check_choice(field: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{field}: {value!r}; allowed values are {', '.join(allowed)}")
