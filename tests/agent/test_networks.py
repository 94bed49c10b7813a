from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from dac.agent.networks import (
    actor_layout,
    critic_layout,
    fourier_features,
    initial_parameters,
    noise_prediction,
    noise_predictor,
    q_values,
)

RUNS, ENSEMBLE, OBSERVATION, ACTION, HIDDEN = 2, 3, 5, 2, (24, 16)


def stacked(layout_seed: int, layout_kind: str) -> dict[str, Tensor]:
    layout = (
        actor_layout(OBSERVATION, ACTION, HIDDEN)
        if layout_kind == "actor"
        else critic_layout(OBSERVATION, ACTION, HIDDEN, ENSEMBLE)
    )
    generator = torch.Generator().manual_seed(layout_seed)
    runs = [initial_parameters(layout, generator) for _ in range(RUNS)]
    biased = [{name: value + 0.1 * torch.randn_like(value) for name, value in run.items()} for run in runs]
    return {name: torch.stack([run[name] for run in biased]) for name in biased[0]}


def plain_mlp(params: dict[str, Tensor], x: Tensor) -> Tensor:
    depth = len(params) // 2
    for layer in range(depth):
        x = x @ params[f"{layer}/kernel"] + params[f"{layer}/bias"]
        if layer < depth - 1:
            x = x * torch.tanh(functional.softplus(x))
    return x


def part(params: dict[str, Tensor], index: tuple[int, ...], prefix: str = "") -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value[index] for name, value in params.items() if name.startswith(prefix)}


def test_fourier_features_by_hand() -> None:
    features = fourier_features(torch.tensor([3]), torch.float64)[0]
    frequencies = [10000 ** (-i / 7) for i in range(8)]
    expected = [math.cos(3 * f) for f in frequencies] + [math.sin(3 * f) for f in frequencies]
    torch.testing.assert_close(features, torch.tensor(expected, dtype=torch.float64))


def test_noise_prediction_is_an_mlp_of_the_concatenation() -> None:
    params = stacked(0, "actor")
    observations, x_t = torch.randn(RUNS, 6, OBSERVATION).double(), torch.randn(RUNS, 6, ACTION).double()
    t = torch.tensor([[1, 2, 3, 4, 5, 1], [5, 5, 1, 2, 3, 4]])
    prediction = noise_prediction(params, x_t, observations, t)
    for run in range(RUNS):
        tau = plain_mlp(part(params, (run,), "time/"), fourier_features(t[run], torch.float64))
        inputs = torch.cat([observations[run], x_t[run], tau], dim=-1)
        torch.testing.assert_close(prediction[run], plain_mlp(part(params, (run,), "noise/"), inputs))


def test_the_chain_predictor_repeats_every_observation() -> None:
    params = stacked(1, "actor")
    observations, x_t = torch.randn(RUNS, 3, OBSERVATION).double(), torch.randn(RUNS, 12, ACTION).double()
    predictor = noise_predictor(params, observations, 5, ACTION)
    for t in (1, 5):
        repeated = observations.repeat_interleave(4, dim=1)
        expected = noise_prediction(params, x_t, repeated, torch.full((RUNS, 12), t))
        torch.testing.assert_close(predictor(x_t, t), expected)


def test_every_critic_is_an_mlp_of_its_own() -> None:
    params = stacked(2, "critic")
    observations, actions = torch.randn(RUNS, 3, OBSERVATION).double(), torch.randn(RUNS, 12, ACTION).double()
    values = q_values(params, observations, actions)
    assert values.shape == (RUNS, ENSEMBLE, 12)
    for run in range(RUNS):
        inputs = torch.cat([observations[run].repeat_interleave(4, dim=0), actions[run]], dim=-1)
        for member in range(ENSEMBLE):
            expected = plain_mlp(part(params, (run, member)), inputs)
            torch.testing.assert_close(values[run, member], expected.squeeze(-1))


def test_gradients_equal_those_of_the_concatenation() -> None:
    params = {name: value.requires_grad_() for name, value in stacked(3, "critic").items()}
    observations, actions = torch.randn(RUNS, 4, OBSERVATION).double(), torch.randn(RUNS, 4, ACTION).double()
    q_values(params, observations, actions).square().sum().backward()
    found = params["0/kernel"].grad
    params["0/kernel"].grad = None
    total = sum(
        plain_mlp(part(params, (run, member)), torch.cat([observations[run], actions[run]], -1)).square().sum()
        for run in range(RUNS)
        for member in range(ENSEMBLE)
    )
    torch.autograd.backward(total)
    torch.testing.assert_close(found, params["0/kernel"].grad)


def test_initial_kernels_are_xavier_uniform_and_biases_zero() -> None:
    params = initial_parameters(critic_layout(17, 6, (256, 256), 10), torch.Generator().manual_seed(0))
    for layer, (inputs, outputs) in enumerate([(23, 256), (256, 256), (256, 1)]):
        kernel, limit = params[f"{layer}/kernel"], math.sqrt(6 / (inputs + outputs))
        assert kernel.shape == (10, inputs, outputs)
        assert 0.97 * limit < kernel.abs().max() <= limit
        assert math.isclose(kernel.std().item(), limit / math.sqrt(3), rel_tol=0.05)
        assert not params[f"{layer}/bias"].any()
    assert not torch.equal(params["0/kernel"][0], params["0/kernel"][1])
