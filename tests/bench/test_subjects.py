"""Networks that precisions are measured on."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from tiny import COMPUTE, Project

from dac.agent.networks import q_values
from dac.bench import subjects
from dac.rows.raw import RawDataset
from dac.study import store
from dac.study.identity import Run
from dac.system.errors import UserError
from dac.training.data import training_data
from dac.training.policies import load_policy
from dac.training.trainer import train

SHORT = dataclasses.replace(subjects.PENDULUM, transitions=600, steps=3)


def test_discounted_returns_of_scaled_rewards() -> None:
    """Two episodes, one of which terminates, with returns -1 and 3: rewards are scaled by 1000 / 4."""
    rewards = np.array([1, -2, 4, -1, 0, 0], np.float32)
    raw = RawDataset(
        observations=np.zeros((6, 1), np.float32),
        actions=np.zeros((6, 1), np.float32),
        rewards=rewards,
        terminals=np.array([0, 1, 0, 0, 0, 0], bool),
        timeouts=np.array([0, 0, 0, 0, 1, 0], bool),
    )
    returns, whole = subjects.discounted_returns(raw, 0.5)
    # The row that ends by time-out is no transition, and the last one has no successor.
    assert returns.tolist() == pytest.approx([250 * value for value in (0.0, -2.0, 3.5, -1.0)])
    assert not whole.any(), "no row has its episode's end so far away"


def test_rows_near_an_episodes_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "UNFINISHED", 150)
    raw = subjects.collected(SHORT)
    returns, whole = subjects.discounted_returns(raw, 0.9)
    assert len(returns) == len(whole) == len(subjects.batch_of(raw).rewards) == 600 - 3
    assert whole.sum() == 3 * (200 - 150), "three episodes of 200 steps"


def test_a_training_leaves_targets_that_learnt() -> None:
    subject = subjects.trained(SHORT)
    assert subject.samples == (1, 10)
    assert subject.observations.shape == (597, 3)
    assert subject.name == "Pendulum-v1, trained, 64×64×64, H = 2"
    assert not torch.equal(subject.state["critic/1/kernel"], subject.state["target_critic/1/kernel"])


def test_a_regression_fits_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "UNFINISHED", 20)
    training = dataclasses.replace(SHORT, regression=True, steps=60)
    raw = subjects.collected(training)
    returns, whole = subjects.discounted_returns(raw, training.config.discount)
    subject = subjects.trained(training)
    assert len(subject.observations) == whole.sum()
    bias = subject.state["target_critic/3/bias"]
    assert torch.equal(bias, subject.state["critic/3/bias"])
    assert (bias.sign() == returns[whole].mean().sign()).all()


def test_a_run_of_the_store(project: Project) -> None:
    group = project.group()
    train(group, [0], COMPUTE, 1)
    run = Run(group, 0)
    subject = subjects.of_run(f"results/runs/{run}")
    assert subject.name == str(run)
    assert subject.samples == (group.settings.next_action_samples,)
    policy = load_policy(store.run_directory(run))
    assert subject.observations.shape[1] == policy.observation_dim
    critic = {name: value for name, value in subject.state.items() if name.startswith("target_critic/")}
    states, actions = np.zeros((1, policy.observation_dim)), np.zeros((1, policy.action_dim))
    q = policy.values(states, actions)
    params = {name.removeprefix("target_critic/"): value.unsqueeze(0) for name, value in critic.items()}
    zeros = torch.zeros(1, 1, policy.observation_dim), torch.zeros(1, 1, policy.action_dim)
    assert q_values(params, *zeros).mean().item() == pytest.approx(float(q[0]), rel=1e-6)
    for name, value in subject.state.items():
        if name.startswith("target_actor/"):
            assert torch.equal(value, subject.state[name.removeprefix("target_")])


def test_a_run_whose_targets_are_rewards_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    train(project.group(), [0], COMPUTE, 1)
    data = training_data(project.group())
    ends = dataclasses.replace(data.transitions, dones=np.ones_like(data.transitions.dones))
    monkeypatch.setattr(subjects, "training_data", lambda _: dataclasses.replace(data, transitions=ends))
    with pytest.raises(UserError, match="seed-0: every transition of its data ends its episode"):
        subjects.of_run(str(Run(project.group(), 0)))


def test_a_run_that_is_not_there(project: Project) -> None:
    project.group()
    with pytest.raises(UserError, match=re.escape("no study or run 'nowhere/0'")):
        subjects.of_run("nowhere/0")
    with pytest.raises(UserError, match=r"run\.json|not complete|missing"):
        subjects.of_run(str(Run(project.group(), 0)))
