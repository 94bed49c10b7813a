"""The pack as a whole.

A run's numbers agree in any pack to float rounding. After 100 float32 steps on the CPU the tolerance here is 1e-3 of a
network's largest parameter: Adam turns the rounding of a gradient near zero into a step of the learning rate's size.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small import (
    ACTION_DIM,
    BATCH_SIZE,
    OBSERVATION_DIM,
    advance,
    assert_states_equal,
    draws_of,
    make_agent,
    pack_batch,
    small_config,
)
from torch import Tensor

from dac.agent import Agent, AgentConfig, UpdateNoise, initial_run_state
from dac.agent import agent as agent_module
from dac.agent.components import GUIDANCES, Q_TARGETS

PACK_TOLERANCE = 1e-3


def network(state: dict[str, Tensor], name: str) -> Tensor:
    return torch.cat([value.flatten() for key, value in state.items() if key.startswith(name + "/")])


def assert_states_close(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    for name in ("actor", "target_actor", "critic", "target_critic"):
        a, b = network(first, name), network(second, name)
        assert ((a - b).abs().max() / b.abs().max()).item() < PACK_TOLERANCE, name
    torch.testing.assert_close(first["eta"], second["eta"], rtol=PACK_TOLERANCE, atol=0)


def test_initial_parameters_are_the_seeds_in_any_pack() -> None:
    config = small_config(eta=0.7)
    pack, alone = make_agent(config, [4, 2]), make_agent(config, [2])
    assert_states_equal(pack.run_state(1), alone.run_state(0))
    state = alone.run_state(0)
    assert torch.equal(state["actor/noise/0/kernel"], state["target_actor/noise/0/kernel"])
    assert torch.equal(state["critic/0/kernel"], state["target_critic/0/kernel"])
    assert state["critic/0/kernel"].shape == (3, OBSERVATION_DIM + ACTION_DIM, 24)
    assert state["eta"].item() == pytest.approx(0.7)
    assert not state["actor_adam/v/time/0/kernel"].any()
    reference = initial_run_state(config, 2, OBSERVATION_DIM, ACTION_DIM)
    assert torch.equal(state["critic/1/kernel"], reference["critic/1/kernel"].float())


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_a_pack_of_eight_computes_what_its_runs_compute_alone(guidance: str) -> None:
    config = small_config(guidance=guidance, lr_decay_steps=200)
    seeds = list(range(8))
    pack = make_agent(config, seeds)
    advance(pack, seeds, 100)
    for run, seed in ((0, 0), (3, 3), (7, 7)):
        alone = make_agent(config, [seed])
        advance(alone, [seed], 100)
        assert_states_close(pack.run_state(run), alone.run_state(0))


def test_permuted_runs_give_permuted_results() -> None:
    config = small_config()
    forward, backward = make_agent(config, [0, 1, 2]), make_agent(config, [2, 1, 0])
    metrics = advance(forward, [0, 1, 2], 20)[-1]
    reversed_metrics = advance(backward, [2, 1, 0], 20)[-1]
    for run in range(3):
        assert_states_equal(forward.run_state(run), backward.run_state(2 - run))
    assert torch.equal(metrics["critic_loss"], reversed_metrics["critic_loss"].flip(0))


def test_metrics_are_one_number_per_run() -> None:
    always = {"critic_loss", "q_mean", "q_std", "bc_loss", "guidance_loss", "actor_loss", "eta"}
    scaled = {"q_norm", "q_grad", "q_grad_abs"}
    expected = {"soft": always | scaled, "hard": always | scaled, "denoised": always | {"q_norm"}, "none": always}
    for guidance, names in expected.items():
        agent = make_agent(small_config(guidance=guidance), [0, 1])
        metrics = advance(agent, [0, 1], 1)[0]
        assert set(metrics) == names
        assert all(value.shape == (2,) and not value.requires_grad for value in metrics.values())


def test_one_step_against_torch_optim() -> None:
    """The critic's first step: the loss's gradient, clipped over the ensemble, then torch's Adam; then the target."""
    config = small_config(critic_lr=1e-2, target_rate=0.1, gradient_clip=0.1)
    agent = make_agent(config, [0], torch.float64)
    batch, draws = pack_batch([0], 0, torch.float64), draws_of(config, [0], 0, torch.float64)
    start = {n: v for n, v in agent.run_state(0).items() if n.startswith("critic/")}
    _, next_q = agent.next_action_values(batch.next_observations, draws.critic_prior, draws.critic_z)
    v = next_q[0].mean(-1)
    y = batch.rewards[0] + 0.99 * (1 - batch.dones[0]) * (v.mean(0) - v.std(0, correction=0))
    leaves = {name: value.clone().requires_grad_() for name, value in start.items()}
    x = torch.cat([batch.observations[0], batch.actions[0]], -1)
    for layer in range(3):
        x = x @ leaves[f"critic/{layer}/kernel"] + leaves[f"critic/{layer}/bias"].unsqueeze(1)
        x = torch.nn.functional.mish(x) if layer < 2 else x
    loss = ((x.squeeze(-1) - y) ** 2).mean()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(list(leaves.values()), 0.1)
    assert norm > 0.1
    torch.optim.Adam(list(leaves.values()), lr=1e-2).step()
    metrics = agent.update(batch, draws)
    assert metrics["critic_loss"].item() == pytest.approx(loss.item(), rel=1e-12)
    state = agent.run_state(0)
    for name, leaf in leaves.items():
        torch.testing.assert_close(state[name], leaf.detach(), rtol=0, atol=1e-7)
        torch.testing.assert_close(state[f"target_{name}"], 0.9 * start[name] + 0.1 * state[name])


def test_the_target_actor_moves_by_step_index() -> None:
    agent = make_agent(small_config(actor_ema_start=3, actor_ema_interval=2), [0])
    moved = []
    for step in range(9):
        before, online = (network(agent.run_state(0), name) for name in ("target_actor", "actor"))
        advance(agent, [0], 1)
        after = network(agent.run_state(0), "target_actor")
        if not torch.equal(before, after):
            moved.append(step)
            expected = before + 0.005 * (network(agent.run_state(0), "actor") - before)
            torch.testing.assert_close(after, expected)
        assert not torch.equal(online, network(agent.run_state(0), "actor"))
    assert moved == [4, 6, 8]


def test_the_learning_rate_decays_to_zero() -> None:
    agent = make_agent(small_config(lr_decay_steps=4), [0])
    advance(agent, [0], 4)
    before = agent.run_state(0)
    advance(agent, [0], 1)
    after = agent.run_state(0)
    assert torch.equal(network(before, "actor"), network(after, "actor"))
    assert torch.equal(network(before, "critic"), network(after, "critic"))
    assert not torch.equal(network(before, "critic_adam"), network(after, "critic_adam"))


def test_eta_follows_this_steps_bc_loss_and_can_be_fixed() -> None:
    agent = make_agent(small_config(eta_lr=0.1, bc_threshold=0.5), [0, 1])
    eta = agent.eta.clone()
    for metrics in advance(agent, [0, 1], 3):
        assert torch.equal(metrics["eta"], eta)
        eta = eta + 0.1 * (metrics["bc_loss"] - 0.5).clamp(-1, 1)
    torch.testing.assert_close(agent.eta, eta)
    for fixed in (small_config(eta_lr=0.0, eta=0.1), small_config(guidance="none", eta=0.1)):
        agent = make_agent(fixed, [0])
        advance(agent, [0], 3)
        assert agent.eta.item() == pytest.approx(0.1)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_a_diverged_run_is_frozen_and_leaves_its_neighbours_alone(guidance: str) -> None:
    config, seeds = small_config(guidance=guidance, actor_ema_start=0, actor_ema_interval=1), [0, 1, 2]
    healthy, sick = make_agent(config, seeds), make_agent(config, seeds)
    advance(healthy, seeds, 3)
    advance(sick, seeds, 3)
    before = sick.run_state(1)
    batch, draws = pack_batch(seeds, 3), draws_of(config, seeds, 3)
    poisoned = batch.rewards.clone()
    poisoned[1, 5] = float("nan")
    healthy.update(batch, draws)
    sick.update(dataclasses.replace(batch, rewards=poisoned), draws)
    assert sick.active.tolist() == [True, False, True]
    advance(healthy, seeds, 4)
    advance(sick, seeds, 4)
    assert sick.active.tolist() == [True, False, True]
    for run in (0, 2):
        assert_states_equal(sick.run_state(run), healthy.run_state(run))
    after = sick.run_state(1)
    assert not after.pop("active") and before.pop("active")
    assert_states_equal(after, before)
    assert all(torch.isfinite(value).all() for value in after.values())


def test_a_run_whose_actor_alone_diverges_is_frozen_too() -> None:
    config, seeds = small_config(), [0, 1]
    agent, healthy = make_agent(config, seeds), make_agent(config, seeds)
    batch, draws = pack_batch(seeds, 0), draws_of(config, seeds, 0)
    eps = draws.eps.clone()
    eps[0, 0, 0] = float("inf")
    before = network(agent.run_state(0), "actor")
    agent.update(batch, dataclasses.replace(draws, eps=eps))
    healthy.update(batch, draws)
    assert agent.active.tolist() == [False, True]
    assert torch.equal(network(agent.run_state(0), "actor"), before)
    assert torch.isfinite(network(agent.run_state(0), "critic")).all()
    assert agent.eta[0] == 1.0
    assert_states_equal(agent.run_state(1), healthy.run_state(1))


def test_a_frozen_run_stays_frozen_after_a_resumption() -> None:
    agent = make_agent(small_config(), [0, 1])
    agent.active = torch.tensor([True, False])
    states = [agent.run_state(run) for run in range(2)]
    resumed = Agent.from_run_states(agent.config, states, 0)
    advance(resumed, [0, 1], 2)
    assert_states_equal(resumed.run_state(1), states[1])
    assert not torch.equal(network(resumed.run_state(0), "actor"), network(states[0], "actor"))


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_a_resumed_pack_continues_to_the_bit(guidance: str) -> None:
    config, seeds = small_config(guidance=guidance, lr_decay_steps=30), [0, 1, 2]
    whole = make_agent(config, seeds)
    advance(whole, seeds, 20)
    first = make_agent(config, seeds)
    advance(first, seeds, 9)
    states = [first.run_state(run) for run in range(3)]
    second = Agent.from_run_states(config, states, first.step)
    for run in range(3):
        assert_states_equal(second.run_state(run), states[run])
    advance(second, seeds, 11)
    assert second.step == whole.step == 20
    for run in range(3):
        assert_states_equal(second.run_state(run), whole.run_state(run))


def test_packs_re_form_from_any_runs() -> None:
    config = small_config()
    pack, other = make_agent(config, [0, 1]), make_agent(config, [2])
    advance(pack, [0, 1], 10)
    advance(other, [2], 10)
    merged = Agent.from_run_states(config, [other.run_state(0), pack.run_state(1)], 10)
    advance(merged, [2, 1], 10)
    advance(pack, [0, 1], 10)
    advance(other, [2], 10)
    assert_states_close(merged.run_state(0), other.run_state(0))
    assert_states_close(merged.run_state(1), pack.run_state(1))


def test_a_state_is_a_copy() -> None:
    agent = make_agent(small_config(), [0])
    state = agent.run_state(0)
    kept = {name: value.clone() for name, value in state.items()}
    advance(agent, [0], 2)
    assert_states_equal(state, kept)


def test_the_deterministic_sampler_trains() -> None:
    config = small_config(sampler="ddim", sampler_steps=2)
    agent = make_agent(config, [0])
    metrics = advance(agent, [0], 3)
    assert all(torch.isfinite(value).all() for step in metrics for value in step.values())
    draws = UpdateNoise([0], config, BATCH_SIZE, ACTION_DIM).draws(0)
    actions, values = agent.next_action_values(pack_batch([0], 0).next_observations, draws.critic_prior, None)
    assert actions.shape == (1, BATCH_SIZE * 4, ACTION_DIM)
    assert values.shape == (1, 3, BATCH_SIZE, 4)


def test_terminal_transitions_need_no_next_actions() -> None:
    config = small_config()
    sampled, spared = make_agent(config, [0, 1]), make_agent(config, [0, 1])
    for step in range(5):
        batch, draws = pack_batch([0, 1], step), draws_of(config, [0, 1], step)
        batch = dataclasses.replace(batch, dones=torch.ones_like(batch.dones))
        sampled.update(batch, draws)
        spared.update(batch, dataclasses.replace(draws, critic_prior=None, critic_z=None))
    for run in (0, 1):
        assert_states_equal(sampled.run_state(run), spared.run_state(run))


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_a_nan_among_the_parameters_stays_in_its_run(guidance: str) -> None:
    config, seeds = small_config(guidance=guidance, actor_ema_start=0, actor_ema_interval=1), [0, 1, 2]
    for name in ("actor/noise/1/kernel", "critic/0/kernel", "target_critic/1/bias", "target_actor/noise/0/kernel"):
        healthy, sick = make_agent(config, seeds), make_agent(config, seeds)
        states = [sick.run_state(run) for run in range(3)]
        states[1][name].flatten()[0] = float("nan")
        sick = Agent.from_run_states(config, states, 0)
        advance(healthy, seeds, 5)
        advance(sick, seeds, 5)
        assert sick.active.tolist() == [True, False, True], name
        for run in (0, 2):
            assert_states_equal(sick.run_state(run), healthy.run_state(run))


@pytest.mark.parametrize("q_target", Q_TARGETS)
def test_permuted_members_of_an_ensemble_give_permuted_critics(q_target: str) -> None:
    config = small_config(q_target=q_target, ensemble_size=4)
    order = torch.tensor([2, 0, 3, 1])
    agent = make_agent(config, [0, 1], torch.float64)
    states = [permuted_members(agent.run_state(run), order) for run in range(2)]
    other = Agent.from_run_states(config, states, 0, dtype=torch.float64)
    noise = UpdateNoise([0, 1], config, BATCH_SIZE, ACTION_DIM, dtype=torch.float64)
    for step in range(100):
        for one in (agent, other):
            one.update(pack_batch([0, 1], step, torch.float64), noise.draws(step))
    for run in range(2):
        expected = permuted_members(agent.run_state(run), order)
        found = other.run_state(run)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-9)
        assert not torch.equal(found["critic/0/kernel"], agent.run_state(run)["critic/0/kernel"])


def permuted_members(state: dict[str, torch.Tensor], order: torch.Tensor) -> dict[str, torch.Tensor]:
    """A run's state with its critics, their targets and moments in another order."""
    return {name: value[order] if "critic" in name else value for name, value in state.items()}


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.usefixtures("by_pytorch")
def test_tiles_change_no_value(sampler: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen states at once, and five at a time with one left over."""
    agent = make_agent(small_config(sampler=sampler, precision=precision, hidden_sizes=(24, 24, 24)), [0, 1])
    draws, observations = draws_of(agent.config, [0, 1], 0), pack_batch([0, 1], 0).next_observations
    assert draws.critic_prior is not None
    whole = agent.next_action_values(observations, draws.critic_prior, draws.critic_z)
    monkeypatch.setattr(agent_module, "cpu_tile", lambda *_: 5)
    for found, expected in zip(
        agent.next_action_values(observations, draws.critic_prior, draws.critic_z), whole, strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_small_networks_value_a_batch_at_once_and_those_of_the_paper_in_tiles() -> None:
    assert agent_module.cpu_tile(AgentConfig(), 4) == 64
    small = AgentConfig(hidden_sizes=(64, 64, 64), ensemble_size=3, next_action_samples=2)
    assert agent_module.cpu_tile(small, 4) == 341
    assert agent_module.cpu_tile(small, 8) == 170
