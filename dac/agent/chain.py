"""The reverse chain of the noise predictor with its own backward pass, for guidance through all of its steps.

The chain is T networks in a row. Autograd would record some eighty small operations for each; here a step keeps what
its gradient needs, and the gradients of the weights are summed over the steps in place. Where native.c computes the
networks, each is one operation, and autograd does the rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dac.agent.activation import mish_and_slope
from dac.agent.diffusion import Schedule, check_sampler_noise, ddpm_sample, reverse_step
from dac.agent.networks import (
    Params,
    computed_natively,
    differentiable_predictor,
    first_layer_parts,
    layers_behind_first,
)
from dac.agent.parameters import Named


def differentiable_ddpm_sample(
    actor: Params, observations: Tensor, schedule: Schedule, prior: Tensor, z: Tensor, *, clip_denoised: bool
) -> Tensor:
    """`diffusion.ddpm_sample` with the actor's noise predictor, an action per observation, with gradients to the actor.

    Args:
        actor: the noise predictor's parameters. observations: (R, n, O). prior: (R, n, A), x_T.
        z: (R, T - 1 or T, n, A). clip_denoised: clip x_0 to [-1, 1] in every step.

    Returns:
        x_0, (R, n, A); it cannot be differentiated twice.

    Raises:
        ValueError: z has another number of rows.
    """
    check_sampler_noise(schedule, z)
    if isinstance(actor, Named) and computed_natively(actor, observations, prior):
        predictor = differentiable_predictor(actor, observations, schedule.steps)
        return ddpm_sample(predictor, schedule, prior, z, clip_denoised=clip_denoised)
    observation_part, time_part, action_kernel = first_layer_parts(actor, observations, schedule.steps, prior.shape[-1])
    layers = [part for kernel, bias, _ in layers_behind_first(actor, "noise/") for part in (kernel, bias)]
    result: Tensor = _Chain.apply(  # type: ignore[no-untyped-call]
        schedule, clip_denoised, prior, z, action_kernel, observation_part, time_part, *layers
    )
    return result


class _Chain(torch.autograd.Function):
    """x_0 from x_T = prior, with gradients to the parts of the first layer and to the kernels and biases behind it."""

    @staticmethod
    def forward(
        ctx: Any,
        schedule: Schedule,
        clip: bool,
        prior: Tensor,
        z: Tensor,
        action_kernel: Tensor,
        observation_part: Tensor,
        time_part: Tensor,
        *layers: Tensor,
    ) -> Tensor:
        kernels, biases = layers[::2], layers[1::2]
        inputs: list[Tensor] = []
        activations: list[list[Tensor]] = []
        slopes: list[list[Tensor]] = []
        inside: list[Tensor | None] = []
        x = prior
        for row, t in enumerate(range(schedule.steps, 0, -1)):
            step = reverse_step(schedule, t)
            hidden = torch.baddbmm(observation_part + time_part[:, t - 1].unsqueeze(1), x, action_kernel)
            values, derivatives = [], []
            for kernel, bias in zip(kernels, biases, strict=True):
                value, slope = mish_and_slope(hidden)
                values.append(value)
                derivatives.append(slope)
                hidden = torch.baddbmm(bias, value, kernel)
            inputs.append(x)
            activations.append(values)
            slopes.append(derivatives)
            clean = torch.sub(x, hidden, alpha=step.noise).div_(step.signal)
            inside.append(clean.abs() <= 1.0 if clip else None)
            if clip:
                clean.clamp_(-1.0, 1.0)
            x = clean if t == 1 else clean.mul_(step.clean).add_(x, alpha=step.kept).add_(z[:, row], alpha=step.spread)
        ctx.save_for_backward(action_kernel, *kernels)
        ctx.schedule, ctx.inputs, ctx.inside = schedule, inputs, inside
        ctx.activations, ctx.slopes = activations, slopes
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Walks t = 1..T; `delta` is the loss's gradient at the output of the layer in hand."""
        action_kernel, *kernels = ctx.saved_tensors
        action_gradient = torch.zeros_like(action_kernel)
        kernel_gradients = [torch.zeros_like(kernel) for kernel in kernels]
        delta_sums = [gradient.new_zeros(*gradient.shape[:2], kernel.shape[2]) for kernel in (action_kernel, *kernels)]
        times = []
        for t in range(1, ctx.schedule.steps + 1):
            step, row = reverse_step(ctx.schedule, t), ctx.schedule.steps - t
            clean = gradient * step.clean
            if ctx.inside[row] is not None:
                clean.mul_(ctx.inside[row])
            delta = clean * (-step.noise / step.signal)
            for layer in range(len(kernels) - 1, -1, -1):
                delta_sums[layer + 1].add_(delta)
                kernel_gradients[layer].baddbmm_(ctx.activations[row][layer].transpose(1, 2), delta)
                delta = torch.bmm(delta, kernels[layer].transpose(1, 2)).mul_(ctx.slopes[row][layer])
            delta_sums[0].add_(delta)
            times.append(delta.sum(1))
            action_gradient.baddbmm_(ctx.inputs[row].transpose(1, 2), delta)
            through_network = torch.bmm(delta, action_kernel.transpose(1, 2))
            gradient = through_network.add_(clean, alpha=1 / step.signal).add_(gradient, alpha=step.kept)
        observation_gradient, *rest = delta_sums
        layers = [part for kernel, delta in zip(kernel_gradients, rest, strict=True) for part in (kernel, _bias(delta))]
        return None, None, None, None, action_gradient, observation_gradient, torch.stack(times, dim=1), *layers


def _bias(delta: Tensor) -> Tensor:
    """Gradient of a bias (R, 1, W) from that of its layer's output (R, n, W)."""
    return delta.sum(1, keepdim=True)
