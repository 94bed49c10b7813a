from __future__ import annotations

import pytest
import torch
from small import OBSERVATION_DIM, advance, make_agent, small_config

from dac.agent import ActingNoise, Agent, AgentConfig, Policy

SEEDS, STATES, SAMPLES = [0, 1], 6, 4


def trained(config: AgentConfig) -> Agent:
    agent = make_agent(config, SEEDS)
    advance(agent, SEEDS, 5)
    return agent


def observations() -> torch.Tensor:
    return torch.randn(2, STATES, OBSERVATION_DIM, generator=torch.Generator().manual_seed(0))


def test_the_best_candidate_is_chosen() -> None:
    config = small_config()
    agent = trained(config)
    draws = ActingNoise(SEEDS, "test", 0, config, STATES, SAMPLES, 2).draws(0)
    actions, values = agent.policy.candidates(observations(), SAMPLES, draws.prior, draws.z)
    chosen = agent.policy.act(observations(), SAMPLES, draws.prior, draws.z)
    assert actions.shape == (2, STATES, SAMPLES, 2)
    assert chosen.shape == (2, STATES, 2)
    for run in range(2):
        for state in range(STATES):
            best = actions[run, state, values[run, state].argmax()]
            assert torch.equal(chosen[run, state], best)
    assert len(values.argmax(-1).unique()) > 1


def test_actions_are_clipped_where_the_chain_is_not() -> None:
    config = small_config(clip_denoised=False)
    agent = trained(config)
    draws = ActingNoise(SEEDS, "test", 0, config, STATES, SAMPLES, 2).draws(0)
    candidates, _ = agent.policy.candidates(observations(), SAMPLES, 5 * draws.prior, draws.z)
    assert candidates.abs().max() > 1
    assert agent.policy.act(observations(), SAMPLES, 5 * draws.prior, draws.z).abs().max() == 1


def test_temperature_draws_with_softmax_probabilities() -> None:
    config = small_config(temperature=0.7)
    agent = trained(config)
    repeats = 20_000
    noise = ActingNoise(SEEDS, "test", 0, config, 1, SAMPLES, 2).draws(0)
    states = observations()[:, :1]
    actions, values = agent.policy.candidates(states, SAMPLES, noise.prior, noise.z)
    # The same candidates in every state, so that only the Gumbel noise differs.
    many = ActingNoise(SEEDS, "test", 0, config, repeats, SAMPLES, 2).draws(0)
    assert noise.z is not None
    chosen = agent.policy.act(
        states.expand(-1, repeats, -1),
        SAMPLES,
        noise.prior.repeat(1, repeats, 1),
        noise.z.repeat(1, 1, repeats, 1),
        gumbel=many.gumbel,
    )
    probabilities = torch.softmax(values / (0.7 * values.abs().mean(-1, keepdim=True)), dim=-1)[:, 0]
    found = torch.cdist(chosen, actions[:, 0]).argmin(-1)
    for run in range(2):
        frequencies = found[run].bincount(minlength=SAMPLES) / repeats
        torch.testing.assert_close(frequencies, probabilities[run], atol=0.02, rtol=0)
    greedy = agent.policy.act(states, SAMPLES, noise.prior, noise.z, temperature=0.0)
    assert torch.equal(greedy[0, 0], actions[0, 0, values[0, 0].argmax()])
    with pytest.raises(ValueError, match="Gumbel"):
        agent.policy.act(states, SAMPLES, noise.prior, noise.z)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_policies_from_states_act_like_the_agent(sampler: str) -> None:
    config = small_config(sampler=sampler, sampler_steps=3 if sampler == "ddim" else None)
    agent = trained(config)
    draws = ActingNoise(SEEDS, "test", 0, config, STATES, SAMPLES, 2).draws(0)
    expected = agent.policy.act(observations(), SAMPLES, draws.prior, draws.z)
    states = [agent.policy_state(run) for run in range(2)]
    assert {name.split("/")[0] for name in states[0]} == {"actor", "target_critic"}
    pack = Policy.from_states(config, states)
    assert torch.equal(pack.act(observations(), SAMPLES, draws.prior, draws.z), expected)
    alone = Policy.from_states(config, states[1:])
    z = None if draws.z is None else draws.z[1:]
    found = alone.act(observations()[1:], SAMPLES, draws.prior[1:], z)
    torch.testing.assert_close(found[0], expected[1], rtol=1e-5, atol=1e-6)
    assert not found.requires_grad


def test_states_of_other_networks_are_refused() -> None:
    agent = trained(small_config())
    state = agent.policy_state(0)
    with pytest.raises(ValueError, match=r"actor/noise/0/kernel has shape \(39, 24\), the configured"):
        Policy.from_states(small_config(hidden_sizes=(32, 32)), [state])
    del state["target_critic/1/bias"]
    with pytest.raises(ValueError, match="lacks target_critic/1/bias"):
        Policy.from_states(small_config(), [state])
    with pytest.raises(ValueError, match="no parameters actor/time"):
        Policy.from_states(small_config(), [{}])
    with pytest.raises(ValueError, match="needs its noise z"):
        agent.policy.act(observations(), 1, torch.zeros(2, STATES, 2), None)
