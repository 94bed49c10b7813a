"""Adam, gradient clipping and the learning rate of a pack: per run, on the flat parameters (R, P).

A run that is not active keeps its parameters and moments to the bit: its weights in every update are zero and its
gradient is replaced by zero. (Selecting by multiplication needs finite numbers; they are, since a run stops at its
first non-finite gradient.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dac.agent import native

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def cosine_decay(base: float, step: Tensor, decay_steps: int | None) -> Tensor:
    """Learning rate of a step, counted from 0: base * (1 + cos(pi * step / decay_steps)) / 2, 0 from decay_steps on.

    Args:
        step: (), float64, on the device, so that a captured step computes its own rate. decay_steps: None: constant.

    Returns:
        (), float64.
    """
    if decay_steps is None:
        return torch.full_like(step, base)
    return 0.5 * base * (1 + torch.cos(math.pi * step.clamp(max=decay_steps) / decay_steps))


def clip_by_global_norm(gradient: Tensor, max_norm: float) -> tuple[Tensor, Tensor]:
    """Scale each run's gradient to norm `max_norm` where it is longer.

    Args:
        gradient: (R, P), overwritten.

    Returns:
        The clipped gradient (R, P) and the norms before (R,).
    """
    norm = torch.linalg.vector_norm(gradient, dim=1)
    scale = (max_norm / norm).clamp(max=1.0)
    return gradient.mul_(scale.unsqueeze(1)), norm


class Adam:
    """Adam (Kingma and Ba 2015; beta 0.9 and 0.999, epsilon 1e-8 outside the root) over flat parameters.

    Args:
        first, second: moment buffers (R, P), updated in place.
    """

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self.first = first
        self.second = second

    @torch.no_grad()
    def descend(
        self,
        parameters: Tensor,
        gradient: Tensor,
        loss: Tensor,
        active: Tensor,
        step: Tensor,
        lr: Tensor,
        max_norm: float,
    ) -> Tensor:
        """One step along the clipped gradient on the parameters (R, P) of the active runs.

        Args:
            gradient: (R, P), overwritten. loss: (R,). active: (R,) bool. step: (), float64, number of updates before
                this one. lr: (), float64. max_norm: of a run's gradient.

        Returns:
            (R,) bool, the active runs whose loss and gradient are finite; the others are left as they are.
        """
        if native.takes(parameters, gradient):
            made = float(step) + 1
            first_correction, second_correction = 1 - BETA1**made, 1 - BETA2**made
            return native.descend(
                parameters, gradient, (self.first, self.second), loss, active,
                max_norm=max_norm, decays=(1 - BETA1, 1 - BETA2), scale=math.sqrt(second_correction), epsilon=EPSILON,
                rate=float(lr) / first_correction,
            )  # fmt: skip
        gradient, norm = clip_by_global_norm(gradient, max_norm)
        active = active & torch.isfinite(loss) & torch.isfinite(norm)
        self.update(parameters, gradient, step, lr, active)
        return active

    @torch.no_grad()
    def update(self, parameters: Tensor, gradient: Tensor, step: Tensor, lr: Tensor, active: Tensor) -> None:
        """Update the parameters (R, P) of the active runs in place.

        Args:
            gradient: (R, P), overwritten. step: (), float64, number of updates before this one. lr: (), float64.
            active: (R,) bool.
        """
        mask = active.unsqueeze(1)
        gradient.masked_fill_(~mask, 0.0)
        weight = mask.to(gradient.dtype)
        self.first.lerp_(gradient, weight * (1 - BETA1))
        self.second.lerp_(gradient.square_(), weight * (1 - BETA2))
        first_correction, second_correction = 1 - BETA1 ** (step + 1), 1 - BETA2 ** (step + 1)
        denominator = self.second.sqrt().div_(second_correction.sqrt()).add_(EPSILON)
        change = torch.div(self.first, denominator, out=denominator)
        parameters.sub_(change.mul_(weight * (lr / first_correction)))


@torch.no_grad()
def moving_average(target: Tensor, online: Tensor, rate: Tensor | float, active: Tensor) -> None:
    """target <- (1 - rate) target + rate online, in place, for the active runs.

    Args:
        target, online: (R, P). active: (R,) bool.
    """
    if native.takes(target, online):
        native.follow(target, online, float(rate), active)
        return
    target.lerp_(online, (active * rate).to(target.dtype).unsqueeze(1))
