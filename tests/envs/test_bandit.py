"""The bandit of Fig. 2: its behaviour sets, its environment, its measures, and a training on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tiny import COMPUTE, Project

from dac import envs, load_policy
from dac.envs import bandit
from dac.report.study_data import report_data
from dac.study import store
from dac.study.catalog import BANDIT_ENV, BANDIT_REFERENCE, BANDIT_SETS
from dac.study.identity import Run
from dac.training.evaluate import evaluate
from dac.training.trainer import train


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("two-gaussians", [(-0.6, 0.6), (0.4, 0.2)]),
        ("three-gaussians", [(-0.6, 0.6), (0.4, 0.4), (-0.4, -0.4)]),
    ],
)
def test_gaussian_sets(name: str, means: list[tuple[float, float]]) -> None:
    recorded = bandit.behaviour(name)
    assert recorded.mode_count == len(means)
    assert recorded.actions.shape == (400 * len(means), 2)
    for mode, mean in enumerate(means):
        points = recorded.actions[recorded.modes == mode]
        assert len(points) == 400
        # Five standard errors: of a mean 0.1 / 20, of a standard deviation 0.1 / sqrt(800).
        assert points.mean(0) == pytest.approx(np.array(mean), abs=0.025)
        assert points.std(0) == pytest.approx(np.array([0.1, 0.1]), abs=0.018)


def centres(name: str) -> np.ndarray:
    """The mean of every ten points that share a centre."""
    return bandit.behaviour(name).actions.reshape(40, 10, 2).mean(1)


def test_circles_lie_on_two_ellipses_around_one_middle() -> None:
    recorded = bandit.behaviour("two-circles")
    assert (len(recorded.actions), recorded.mode_count) == (400, 1)
    middle, radius = np.array([-0.25, 0.35]), 0.55  # [0, 1.1] shifted by (-0.8, -0.2)
    distance = np.linalg.norm(centres("two-circles") - middle, axis=1)
    assert distance[:20] == pytest.approx(np.full(20, radius), abs=0.06)
    assert distance[20:] == pytest.approx(np.full(20, 0.8 * radius), abs=0.06)


def test_moons_fill_the_square_and_interleave() -> None:
    recorded = bandit.behaviour("two-moons")
    assert (len(recorded.actions), recorded.mode_count) == (400, 2)
    found = centres("two-moons")
    assert found.min(0) == pytest.approx(np.array([-0.8, -0.2]), abs=0.06)
    assert found.max(0) == pytest.approx(np.array([0.3, 0.9]), abs=0.06)
    # The upper moon opens downwards: its middle is its highest point; the lower one's its lowest.
    assert found[:20, 1].argmax() in (9, 10) and found[20:, 1].argmin() in (9, 10)


@pytest.mark.parametrize("name", BANDIT_SETS)
def test_sets_are_the_same_at_every_call_and_lie_in_the_square(name: str) -> None:
    bandit.behaviour.cache_clear()
    first = bandit.behaviour(name).actions.copy()
    bandit.behaviour.cache_clear()
    assert (bandit.behaviour(name).actions == first).all()
    assert np.abs(first).max() <= 1.0
    assert not (bandit.behaviour(name, 1).actions == first).any()


@pytest.mark.parametrize("name", BANDIT_SETS)
def test_a_mode_that_is_not_drawn_is_not_covered(name: str) -> None:
    recorded, fresh = bandit.behaviour(name), bandit.behaviour(name, 1)
    assert bandit.quality(fresh.actions, recorded).modes == recorded.mode_count
    if recorded.mode_count > 1:
        assert bandit.quality(fresh.actions[fresh.modes > 0], recorded).modes == recorded.mode_count - 1


def test_expected_rewards_by_hand() -> None:
    actions = np.array([[0.4, -0.4], [0.4, 0.6], [-0.2, 0.4]])
    assert bandit.expected_reward(actions) == pytest.approx(np.array([0.0, -1.0, -1.0]))


def test_the_reference_is_the_reward_of_uniform_actions() -> None:
    axis = np.linspace(-1, 1, 801)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert bandit.expected_reward(grid).mean() == pytest.approx(BANDIT_REFERENCE[0], abs=1e-3)


def test_quality_by_hand() -> None:
    recorded = bandit.Behaviour(np.array([[0.0, 0.0], [0.5, 0.5], [0.52, 0.5]]), np.array([0, 1, 1]))
    radius = bandit.SUPPORT_RADIUS
    drawn = np.array([[0.0, 0.9 * radius], [0.0, 1.1 * radius], [0.5, 0.5], [0.9, -0.9]])
    found = bandit.quality(drawn, recorded)
    assert (found.inside, found.modes) == (0.5, 2)
    assert found.reward == pytest.approx(bandit.expected_reward(drawn).mean())
    # One action in two hundred does not cover a mode.
    crowd = np.concatenate([np.zeros((199, 2)), [[0.5, 0.5]]])
    assert bandit.quality(crowd, recorded).modes == 1


def test_the_environment_is_one_noisy_step() -> None:
    env = envs.make(BANDIT_ENV)
    observation, _ = env.reset(seed=3)
    assert observation.tolist() == [0.0]
    rewards = []
    for seed in range(400):
        env.reset(seed=seed)
        _, reward, terminated, truncated, _ = env.step(np.array([0.4, 0.6], np.float32))
        assert terminated and not truncated
        rewards.append(float(reward))
    assert np.mean(rewards) == pytest.approx(-1.0, abs=5 * 0.5 / 20)
    assert np.std(rewards) == pytest.approx(0.5, abs=5 * 0.5 / 800**0.5)


def test_a_run_on_the_bandit_is_evaluated_by_its_actions(project: Project) -> None:
    task = {"dataset": "bandit:two-moons", "env": BANDIT_ENV, "reward_scaling": "none"}
    project.settings["experiments"]["main"] |= {"show": ["bandit"], "evaluation": {"action_samples": [1]}}
    plan = project.set("tasks.pendulum", task).plan()
    (cell,) = plan.cells
    train(cell.group, [0, 1], COMPUTE, 1)
    evaluate(cell.group, [0, 1], list(cell.evaluations), COMPUTE, 1)
    frame = pd.read_parquet(store.verified_evaluation(Run(cell.group, 0), cell.evaluations[0]))
    actions = np.stack(frame["action"].to_list())
    assert actions.shape == (len(frame), 2) and (frame["length"] == 1).all()
    low, high = BANDIT_REFERENCE
    assert frame["score"].to_numpy() == pytest.approx(100 * (frame["return"].to_numpy() - low) / (high - low))
    # A reward is that of its action, and noise.
    noise = frame["return"].to_numpy() - bandit.expected_reward(actions.astype(np.float64))
    assert np.abs(noise).max() < 5 * 0.5
    data = report_data(plan)
    # The report shows those of the last policy.
    last = (frame["step"] == 40).to_numpy()
    drawn = data.actions.query("seed == 0")[["x", "y"]].to_numpy()
    assert drawn == pytest.approx(actions[last]) and len(drawn) == len(actions) / 2
    policy = load_policy(store.run_directory(Run(cell.group, 0)))
    shown = data.bandits["main", "pendulum"]
    corner = np.array([[shown.grid[3], shown.grid[-1]]])
    assert shown.q[cell.variant][-1, 3] == pytest.approx(policy.values(np.zeros((1, 1)), corner)[0], rel=1e-5)


def test_last_actions_of_episodes_are_those_sent() -> None:
    vector = envs.episode_vector(BANDIT_ENV, 3)
    sent = np.array([[0.1, 0.2], [-0.5, 0.5], [1.0, -1.0]], np.float32)
    done = envs.rollout(vector, lambda _: sent, [0, 1, 2])
    assert (done.last_actions == sent).all()
    assert done.lengths.tolist() == [1, 1, 1]
