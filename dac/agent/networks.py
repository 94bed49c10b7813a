"""The noise predictor and the critics of a pack.

Parameters are flat dictionaries of tensors with a leading run axis, (R, in, out) for a kernel of the actor; a critic's
have the ensemble axis H behind it, (R, H, in, out). All products are batched over those axes.

The first layer of either network reads a concatenation, [observation, action, time] or [observation, action]. It is
computed as the sum of one product per part: the observation's part is the same for all actions tried in a state and
for all steps of a reverse chain, and the time's part for all rows of a step, so neither is repeated. With a gradient,
native.c multiplies whole rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from dac.agent import native
from dac.agent.activation import mish
from dac.agent.described import described
from dac.agent.parameters import Layout, Named
from dac.agent.precision import LOWERED, product_about_mean

FOURIER_FREQUENCIES = 8
TIME_EMBEDDING_SIZES = (32, 32)

Params = Mapping[str, Tensor]


class Layer(NamedTuple):
    """A layer of M networks: kernels (M, in, out), biases (M, 1, out), and the kernels in bfloat16 where they are
    wanted so (`dac.agent.precision`).
    """

    kernel: Tensor
    bias: Tensor
    lowered: Tensor | None


def actor_layout(observation_dim: int, action_dim: int, hidden_sizes: Sequence[int]) -> Layout:
    """Names and shapes of the noise predictor: `time/i/...` embeds the time, `noise/i/...` predicts the noise."""
    inputs = observation_dim + action_dim + TIME_EMBEDDING_SIZES[-1]
    return Layout(
        {
            **_mlp_shapes("time/", (2 * FOURIER_FREQUENCIES, *TIME_EMBEDDING_SIZES)),
            **_mlp_shapes("noise/", (inputs, *hidden_sizes, action_dim)),
        }
    )


def critic_layout(observation_dim: int, action_dim: int, hidden_sizes: Sequence[int], ensemble_size: int) -> Layout:
    """Names and shapes of an ensemble of Q-networks."""
    return Layout(_mlp_shapes("", (observation_dim + action_dim, *hidden_sizes, 1)), (ensemble_size,))


def _mlp_shapes(prefix: str, sizes: Sequence[int]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        shapes[f"{prefix}{layer}/kernel"] = (inputs, outputs)
        shapes[f"{prefix}{layer}/bias"] = (outputs,)
    return shapes


def initial_parameters(layout: Layout, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw one run's parameters: Xavier-uniform kernels, each with the fans of its own matrix, and zero biases.

    Drawn in float64 on the CPU, so that a seed means the same network on every device and in every precision.
    """
    parameters: dict[str, Tensor] = {}
    for name, shape in layout.shapes.items():
        value = torch.zeros(*layout.ensemble, *shape, dtype=torch.float64)
        if name.endswith("kernel"):
            limit = math.sqrt(6.0 / sum(shape))
            value.uniform_(-limit, limit, generator=generator)
        parameters[name] = value
    return parameters


def fourier_features(t: Tensor, dtype: torch.dtype) -> Tensor:
    """Fourier features [cos(t f), sin(t f)] of the integer diffusion time, f_i = 10000^(-i/7), i = 0..7.

    Args:
        t: (...) integers.

    Returns:
        (..., 16).
    """
    angles = t.unsqueeze(-1).to(dtype) * _frequencies(t.device, dtype)
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


@cache
def features_of_times(steps: int) -> Tensor:
    """(T, 16) Fourier features of the times 1..T, float32 on the CPU; steps: T."""
    return fourier_features(torch.arange(1, steps + 1, device="cpu"), torch.float32)


@cache
def _frequencies(device: torch.device, dtype: torch.dtype) -> Tensor:
    exponents = torch.arange(FOURIER_FREQUENCIES, device=device, dtype=dtype)
    return torch.exp(exponents * (-math.log(10000.0) / (FOURIER_FREQUENCIES - 1)))


def noise_prediction(params: Params, x_t: Tensor, observations: Tensor, t: Tensor) -> Tensor:
    """Predict the noise in x_t: eps_theta(x_t, s, t).

    Args:
        params: the actor's. x_t: (R, n, A). observations: (R, n, O). t: (R, n) integers in 1..T.

    Returns:
        (R, n, A).
    """
    if isinstance(params, Named) and computed_natively(params, observations, x_t):
        networks = described(params, "noise/")
        return native.outputs(networks, params.matrix, observations, x_t, _time_embedding(params, t))
    observation_kernel, action_kernel, time_kernel = _noise_input_kernels(params, observations, x_t.shape[-1])
    hidden = torch.baddbmm(params["noise/0/bias"].unsqueeze(1), observations, observation_kernel)
    hidden = torch.baddbmm(hidden, _time_embedding(params, t), time_kernel)
    return _apply(layers_behind_first(params, "noise/"), torch.baddbmm(hidden, x_t, action_kernel))


def noise_predictor(
    params: Params, observations: Tensor, steps: int, action_dim: int
) -> Callable[[Tensor, int], Tensor]:
    """Noise prediction for a reverse chain: a function of (x_t, t), with t one number for all rows.

    Args:
        params: the actor's. observations: (R, b, O). steps: T.

    Returns:
        predictor(x_t (R, b * m, A), t) -> (R, b * m, A), any m >= 1; rows are grouped by observation. Equals
        `noise_prediction` with every observation repeated m times.
    """
    observation_part, time_part, action_kernel = first_layer_parts(params, observations, steps, action_dim)
    time_parts = time_part.unsqueeze(2).unbind(1)
    layers = layers_behind_first(params, "noise/")

    def predictor(x_t: Tensor, t: int) -> Tensor:
        hidden = _add_to_rows(observation_part + time_parts[t - 1], x_t, action_kernel)
        return _apply(layers, hidden, x_t.shape[1] // observations.shape[1])

    return predictor


def differentiable_predictor(params: Named, observations: Tensor, steps: int) -> Callable[[Tensor, int], Tensor]:
    """`noise_predictor` by native.c, an action per observation, with gradients to the parameters and to x_t."""
    runs, rows, _ = observations.shape
    times = torch.arange(1, steps + 1, device=observations.device).expand(runs, steps)
    embeddings = torch.split(_time_embedding(params, times), 1, dim=1)
    networks = described(params, "noise/")

    def predictor(x_t: Tensor, t: int) -> Tensor:
        embedding = embeddings[t - 1].expand(-1, rows, -1)
        return native.outputs(networks, params.matrix, observations, x_t, embedding)

    return predictor


def first_layer_parts(
    params: Params, observations: Tensor, steps: int, action_dim: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What the noise predictor's first layer adds up in a reverse chain, W wide.

    Args:
        params: the actor's. observations: (R, b, O). steps: T.

    Returns:
        The observations' part with the bias (R, b, W), the part of the times 1..T (R, T, W), and the kernel (R, A, W)
        for the noised action.
    """
    runs = observations.shape[0]
    observation_kernel, action_kernel, time_kernel = _noise_input_kernels(params, observations, action_dim)
    times = torch.arange(1, steps + 1, device=observations.device).expand(runs, steps)
    time_part = torch.bmm(_time_embedding(params, times), time_kernel)
    observation_part = torch.baddbmm(params["noise/0/bias"].unsqueeze(1), observations, observation_kernel)
    return observation_part, time_part, action_kernel


def action_gradient(params: Params, observations: Tensor, actions: Tensor) -> Tensor:
    """The gradient of the ensemble's mean to the actions: grad_a mean_h Q_h(s, a).

    Args:
        params: the critics'. observations: (R, b, O). actions: (R, b * m, A), any m >= 1, grouped by observation.

    Returns:
        (R, b * m, A), without graph.
    """
    if computed_natively(params, observations, actions) and actions.shape[1] == observations.shape[1]:
        return native.action_gradient(described(params, ""), observations, actions)
    with torch.enable_grad():
        inputs = actions.detach().requires_grad_()
        total = q_values(params, observations, inputs).mean(1).sum()
        (gradient,) = torch.autograd.grad(total, inputs)
    return gradient


def q_values(params: Params, observations: Tensor, actions: Tensor) -> Tensor:
    """Evaluate every critic of every run.

    Args:
        params: the critics'. observations: (R, b, O). actions: (R, b * m, A), any m >= 1, grouped by observation.

    Returns:
        Q_h(s, a), (R, H, b * m).
    """
    runs, ensemble = params["0/kernel"].shape[:2]
    if computed_natively(params, observations, actions):
        critics = described(params, "")
        if not _wants_gradient(params, observations, actions):
            return native.values(critics, observations, actions).view(runs, ensemble, -1)
        if isinstance(params, Named) and actions.shape[1] == observations.shape[1]:
            return native.outputs(critics, params.matrix, observations, actions).view(runs, ensemble, -1)
    shared, action_kernel = q_layer_parts(params, observations, actions.shape[-1])
    hidden = _add_to_rows(shared, _per_member(actions, ensemble), action_kernel)
    samples = actions.shape[1] // observations.shape[1]
    return _apply(layers_behind_first(params, ""), hidden, samples).view(runs, ensemble, -1)


def q_layer_parts(params: Params, observations: Tensor, action_dim: int) -> tuple[Tensor, Tensor]:
    """What the critics' first layer adds up, W wide.

    Args:
        params: the critics'. observations: (R, b, O).

    Returns:
        The observations' part with the bias (R * H, b, W), and the kernel (R * H, A, W) for the action.
    """
    kernel, bias = params["0/kernel"], params["0/bias"]
    observation_kernel, action_kernel = torch.split(kernel.flatten(0, 1), [observations.shape[-1], action_dim], dim=-2)
    members = _per_member(observations, kernel.shape[1])
    return torch.baddbmm(bias.flatten(0, 1).unsqueeze(1), members, observation_kernel), action_kernel


def computed_natively(params: Params, *inputs: Tensor) -> bool:
    """Whether native.c computes networks: on a CPU in float32, unless some of their products are in bfloat16."""
    if isinstance(params, Named):
        return native.takes(*inputs, params.matrix)
    return native.takes(*inputs, *params.values()) and not any(name.endswith(LOWERED) for name in params)


def _wants_gradient(params: Params, *inputs: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in (*inputs, *params.values()))


def _noise_input_kernels(params: Params, observations: Tensor, action_dim: int) -> tuple[Tensor, ...]:
    """The parts of the first kernel that belong to the observation, the action and the time."""
    sizes = [observations.shape[-1], action_dim, TIME_EMBEDDING_SIZES[-1]]
    return torch.split(params["noise/0/kernel"], sizes, dim=-2)


def _time_embedding(params: Params, t: Tensor) -> Tensor:
    features = fourier_features(t, params["time/0/kernel"].dtype)
    if isinstance(params, Named) and computed_natively(params, features):
        return native.outputs(described(params, "time/"), params.matrix, features)
    hidden = torch.baddbmm(params["time/0/bias"].unsqueeze(1), features, params["time/0/kernel"])
    return _apply(layers_behind_first(params, "time/"), hidden)


def _per_member(x: Tensor, ensemble: int) -> Tensor:
    """Repeat each run's rows for every member: (R, n, D) -> (R * H, n, D)."""
    return x.unsqueeze(1).expand(-1, ensemble, -1, -1).flatten(0, 1)


def _add_to_rows(shared: Tensor, rows: Tensor, kernel: Tensor) -> Tensor:
    """Add (M, b, W) to each of the m neighbouring rows of rows @ kernel, (M, b * m, D) @ (M, D, W)."""
    members, states, width = shared.shape
    if rows.shape[1] == states:
        return torch.baddbmm(shared, rows, kernel)
    product = torch.bmm(rows, kernel)
    return product.view(members, states, -1, width).add_(shared.unsqueeze(2)).flatten(1, 2)


def layers_behind_first(params: Params, prefix: str) -> list[Layer]:
    """All layers behind the first, the leading axes of their parameters as one."""
    layers: list[Layer] = []
    while (kernel := params.get(name := f"{prefix}{len(layers) + 1}/kernel")) is not None:
        bias = params[f"{prefix}{len(layers) + 1}/bias"]
        lowered = params.get(name + LOWERED)
        layers.append(
            Layer(
                kernel.flatten(0, -3),
                bias.flatten(0, -2).unsqueeze(1),
                None if lowered is None else lowered.flatten(0, -3),
            )
        )
    return layers


def _apply(layers: list[Layer], hidden: Tensor, samples: int = 1) -> Tensor:
    """Apply layers to the first one's output: (M, b * samples, its width) -> (M, b * samples, outputs)."""
    for kernel, bias, lowered in layers:
        hidden = mish(hidden)
        if lowered is None:
            hidden = torch.baddbmm(bias, hidden, kernel)
        else:
            hidden = product_about_mean(hidden, kernel, bias, lowered, samples)
    return hidden
