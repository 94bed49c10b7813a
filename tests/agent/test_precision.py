"""Precision of a gradient step's products."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest
import torch
from small import advance, assert_states_equal, draws_of, make_agent, pack_batch
from small import small_config as config

from dac.agent import Agent, AgentConfig, networks, precision
from dac.agent.critic import critic_loss, next_values
from dac.agent.precision import LOWERED, matrix_products, multiplies_bf16, product_about_mean, without_gradient


def test_bf16_lowers_the_inner_kernels_alone() -> None:
    agent = make_agent(config(hidden_sizes=(8, 8, 8)), [0])
    for network, inner in ((agent.actor, {"noise/1", "noise/2"}), (agent.critic, {"1", "2"})):
        lowered = without_gradient(network.target.named, "bf16", 2)
        added = lowered.keys() - network.target.named.keys()
        assert all(torch.equal(lowered[name], lowered[name].bfloat16()) for name in added)
        assert added == {f"{layer}/kernel{LOWERED}" for layer in inner}
        assert {name: lowered[name] for name in lowered.keys() - added} == network.target.named
        assert without_gradient(network.target.named, "fp32", 2) is network.target.named
        assert without_gradient(network.target.named, "bf16", 1) is network.target.named
    one_layer = make_agent(config(hidden_sizes=(8,)), [0])
    assert without_gradient(one_layer.critic.target.named, "bf16", 2) == one_layer.critic.target.named


def test_the_mean_over_a_states_rows_is_as_in_float32() -> None:
    """A row is off by the rounding of its deviation from the mean; the mean is not, nor is a row that equals it."""
    generator = torch.Generator().manual_seed(0)
    hidden = 3 + torch.randn(2, 6 * 4, 32, generator=generator)
    hidden[:, :4] = hidden[:, :1]  # the first state's rows are alike
    kernel, bias = torch.randn(2, 32, 8, generator=generator), torch.randn(2, 1, 8, generator=generator)
    exact = (hidden.double() @ kernel.double() + bias.double()).view(2, 6, 4, 8)
    error = product_about_mean(hidden.clone(), kernel, bias, kernel.bfloat16(), 4).view(2, 6, 4, 8).double() - exact
    assert error[:, 0].abs().max() < 1e-5
    assert 1e-3 < error[:, 1:].abs().max() < 0.2
    # Each activation's and product's rounding is its own, so their mean is smaller; without it nothing would be left.
    assert error.mean(2).square().mean().sqrt() < 0.6 * error[:, 1:].square().mean().sqrt()
    coarse = hidden.bfloat16().float() @ kernel.bfloat16().float() + bias
    assert (coarse.view(2, 6, 4, 8) - exact).square().mean().sqrt() > 2 * error.square().mean().sqrt()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_device_without_bf16_computes_the_same(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the order in which a product is added, which seldom changes what it is rounded to."""
    generator = torch.Generator().manual_seed(1)
    hidden = 3 + torch.randn(3, 16 * 4, 64, generator=generator, dtype=dtype)
    params = {f"{layer}/kernel": torch.randn(3, 64, 64, generator=generator, dtype=dtype) for layer in range(3)}
    kernel, bias = params["1/kernel"], torch.randn(3, 1, 64, generator=generator, dtype=dtype)
    products = {}
    for has in (True, False):
        monkeypatch.setattr(precision, "multiplies_bf16", lambda _, has=has: has)
        lowered = without_gradient(params, "bf16", 4)["1/kernel" + LOWERED]
        assert lowered.dtype == (torch.bfloat16 if has else torch.float32)
        products[has] = product_about_mean(hidden.clone(), kernel, bias, lowered, 4)
        assert products[has].dtype == dtype
    equal = torch.isclose(products[True], products[False], rtol=1e-6, atol=1e-6)
    assert equal.double().mean() > 0.99
    torch.testing.assert_close(products[True], products[False], rtol=2**-7, atol=0.1)
    exact = hidden.double() @ kernel.double() + bias.double()
    assert not torch.allclose(products[False].double(), exact, rtol=0, atol=1e-3)  # it is rounded, too


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((8, 9), True), ((9, 0), True)])
def test_gpus_multiply_bf16_since_ampere(
    capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert multiplies_bf16(torch.device("cuda", 0)) is expected


@pytest.mark.parametrize(
    ("found", "has"),
    [
        ({"avx512_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
        ({"architecture": "aarch64", "neon": True}, False),  # Apple's M1, Graviton2
    ],
)
def test_a_processor_is_asked_for_its_instructions(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, object], has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert multiplies_bf16(torch.device("cpu")) is has


@pytest.mark.parametrize(("precision", "inside"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "tf32")])
def test_the_gpus_products_have_the_precision_for_the_block_alone(precision: str, inside: str) -> None:
    before = torch.backends.cuda.matmul.fp32_precision
    with pytest.raises(ZeroDivisionError), matrix_products(precision):
        assert torch.backends.cuda.matmul.fp32_precision == inside
        raise ZeroDivisionError
    assert torch.backends.cuda.matmul.fp32_precision == before


LEARNT = config(hidden_sizes=(64, 64, 64), ensemble_size=5, next_action_samples=10)


@functools.cache
def regressed() -> dict[str, torch.Tensor]:
    """The state of a run whose target critics have learnt values of about 40 from rows, as trained ones have."""
    agent = make_agent(LEARNT, [0])
    zero, rate = torch.zeros((), dtype=torch.float64), torch.tensor(3e-3, dtype=torch.float64)
    for step in range(300):
        batch = pack_batch([0], step)
        targets = 40 + 10 * torch.sin(batch.observations.sum(-1)) + 3 * batch.actions.sum(-1)
        loss, _ = critic_loss(agent.critic.online.named, batch, targets)
        agent.critic.descend(loss, agent.active, zero + step, rate, 1e6)
    agent.critic.follow(1.0, agent.active)
    return agent.run_state(0)


def values(settings: AgentConfig, dtype: torch.dtype) -> torch.Tensor:
    """The next values (R, H, B, N) of the regressed networks."""
    agent = Agent.from_run_states(settings, [regressed()], 300, dtype=dtype)
    draws, observations = draws_of(settings, [0], 300), pack_batch([0], 300).next_observations
    assert draws.critic_prior is not None and draws.critic_z is not None
    noise = draws.critic_prior.to(dtype), draws.critic_z.to(dtype)  # drawn in another type, they would be others
    return agent.next_action_values(observations.to(dtype), *noise)[1].double()


def target_errors(**settings: Any) -> tuple[float, float]:
    """Rms error of the targets as a share of the ensemble's spread, and their bias as one of their size."""
    settings_of = functools.partial(dataclasses.replace, LEARNT, **settings)
    exact = values(settings_of(precision="fp32"), torch.float64)
    size = next_values(LEARNT, exact).abs().mean()
    assert size > 30
    error = next_values(settings_of(), values(settings_of(), torch.float32)) - next_values(settings_of(), exact)
    return (error.square().mean().sqrt() / exact.mean(-1).std(1).mean()).item(), (error.mean().abs() / size).item()


@pytest.mark.parametrize("max_backup", [False, True])
def test_targets_of_trained_critics_against_float64(max_backup: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 moves a target by less than 0.01 of what the ensemble disagrees by; rounding whole activations by more."""
    assert target_errors(precision="tf32", max_backup=max_backup) == target_errors(max_backup=max_backup)
    rms, bias = target_errors(precision="bf16", max_backup=max_backup)
    assert target_errors(max_backup=max_backup)[0] < 1e-4 < rms < 0.01
    assert bias < 1e-4

    def rounded(hidden: torch.Tensor, _: object, bias: torch.Tensor, lowered: torch.Tensor, __: int) -> torch.Tensor:
        return torch.bmm(hidden.bfloat16().to(lowered.dtype), lowered).bfloat16().float() + bias

    monkeypatch.setattr(networks, "product_about_mean", rounded)
    assert target_errors(precision="bf16", max_backup=max_backup)[0] > 3 * rms


def test_one_action_a_state_is_not_rounded() -> None:
    assert target_errors(precision="bf16", next_action_samples=1) == target_errors(next_action_samples=1)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_run_computes_the_same_in_any_pack(precision: str) -> None:
    """After 20 steps of three runs together and of one alone, within float rounding."""
    together, alone = make_agent(config(precision=precision), [3, 5, 8]), make_agent(config(precision=precision), [5])
    advance(together, [3, 5, 8], 20)
    advance(alone, [5], 20)
    for name, value in alone.run_state(0).items():
        torch.testing.assert_close(together.run_state(1)[name], value, rtol=1e-3, atol=1e-5)


def test_bf16_trains_float32_parameters_and_repeats_itself() -> None:
    first, second = make_agent(config(precision="bf16"), [0, 1]), make_agent(config(precision="bf16"), [0, 1])
    metrics = advance(first, [0, 1], 5)
    advance(second, [0, 1], 5)
    assert all(value.dtype == torch.float32 for value in metrics[-1].values())
    state = first.run_state(1)
    assert_states_equal(state, second.run_state(1))
    assert {value.dtype for name, value in state.items() if name != "active"} == {torch.float32}
    exact = make_agent(config(), [0, 1])
    advance(exact, [0, 1], 5)
    assert not torch.equal(exact.run_state(1)["critic/0/kernel"], state["critic/0/kernel"])
