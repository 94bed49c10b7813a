"""A state that no training can have left is told from one that was trained."""

from __future__ import annotations

import pytest
import torch
from small import ACTION_DIM, OBSERVATION_DIM, advance, make_agent, small_config

from dac.agent import initial_run_state
from dac.agent.trained import untrained

SEEDS = [0, 1]
PARTS = [
    "actor", "critic", "actor_adam/m", "actor_adam/v", "critic_adam/m", "critic_adam/v", "target_critic",
    "target_actor",
]  # fmt: skip


@pytest.mark.parametrize("guidance", ["soft", "none"])
@pytest.mark.parametrize("steps", [1, 3, 4, 10])
def test_trained_runs_are_trained(guidance: str, steps: int) -> None:
    """From the first step on; the target actor's average is due first in the fourth (start 2, interval 3)."""
    config = small_config(guidance=guidance)
    agent = make_agent(config, SEEDS)
    advance(agent, SEEDS, steps)
    for run, seed in enumerate(SEEDS):
        assert untrained(config, seed, steps, agent.run_state(run)) == []


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_no_step_changed_is_named(part: str) -> None:
    config = small_config()
    agent = make_agent(config, SEEDS)
    advance(agent, SEEDS, 4)
    initial = initial_run_state(config, 1, OBSERVATION_DIM, ACTION_DIM)
    state = agent.run_state(1)
    state |= {name: initial[name].float() for name in state if name.startswith(f"{part}/")}
    assert untrained(config, 1, 4, state) == [f"{part} after 4 gradient steps is what it was before the first"]
    if part == "target_actor":
        assert untrained(config, 1, 3, state) == [], "it was not due yet"


def test_a_run_before_its_first_step() -> None:
    config = small_config()
    state = make_agent(config, SEEDS).run_state(0)
    assert untrained(config, 0, 0, state) == []
    assert [problem.split()[0] for problem in untrained(config, 0, 4, state)] == PARTS


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_found(value: float) -> None:
    config = small_config()
    agent = make_agent(config, SEEDS)
    advance(agent, SEEDS, 2)
    state = agent.run_state(0)
    name = next(name for name in state if name.startswith("critic_adam/v/"))
    state[name].view(-1)[-1] = value
    assert untrained(config, 0, 2, state) == [f"values that are not finite, in {name}"]


def test_the_devices_count_is_the_hosts() -> None:
    agent = make_agent(small_config(), SEEDS)
    advance(agent, SEEDS, 3)
    assert (agent.device_step(), agent.step) == (3, 3)
    agent.count_step()
    assert (agent.device_step(), agent.step) == (3, 4)
    agent.step = 10
    assert agent.device_step() == 10
    assert torch.is_tensor(agent.count), "the step itself never reads it"
