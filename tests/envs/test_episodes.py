"""Episodes in a vector of environments."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from linear import linear_policy

from dac import envs


def plain_episode(env: gym.Env, seed: int) -> tuple[float, int]:  # type: ignore[type-arg]
    observation, _ = env.reset(seed=seed)
    total, length, over = 0.0, 0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(linear_policy(observation))
        total, length, over = total + float(reward), length + 1, terminated or truncated
    return total, length


def test_a_vector_rollout_equals_a_plain_loop() -> None:
    seeds = [5, 6, 7, 8, 9]
    vector = envs.episode_vector("Hopper-v5", len(seeds))
    done = envs.rollout(vector, linear_policy, seeds)
    returns, lengths = done.returns, done.lengths
    plain = [plain_episode(envs.make("Hopper-v5"), seed) for seed in seeds]
    assert returns.tolist() == [total for total, _ in plain]
    assert lengths.tolist() == [length for _, length in plain]
    assert len(set(lengths.tolist())) > 1, "the episodes must be ragged for this test to say anything"


def test_a_vector_is_reusable_and_follows_its_seeds() -> None:
    vector = envs.episode_vector("Hopper-v5", 2)
    first = envs.rollout(vector, linear_policy, [1, 2]).returns
    other = envs.rollout(vector, linear_policy, [3, 4]).returns
    again = envs.rollout(vector, linear_policy, [2, 1]).returns
    assert again.tolist() == first[::-1].tolist()
    assert not (other == first).any()


class Counting(gym.Wrapper):  # type: ignore[type-arg]
    """Counts the calls that reach the simulation."""

    def __init__(self, env: gym.Env) -> None:  # type: ignore[type-arg]
        super().__init__(env)
        self.calls = 0

    def reset(self, **arguments):  # type: ignore[no-untyped-def]
        self.calls += 1
        return self.env.reset(**arguments)

    def step(self, action):  # type: ignore[no-untyped-def]
        self.calls += 1
        return self.env.step(action)


def test_no_simulation_after_the_end_of_an_episode() -> None:
    counters = [Counting(envs.make("Hopper-v5")) for _ in range(3)]
    vector = gym.vector.SyncVectorEnv([lambda c=c: envs.OneEpisode(c) for c in counters])  # type: ignore[misc]
    lengths = envs.rollout(vector, linear_policy, [5, 6, 7]).lengths
    assert [counter.calls for counter in counters] == (lengths + 1).tolist()


def test_after_its_episode_the_last_observation_is_repeated() -> None:
    env = envs.OneEpisode(envs.make("Hopper-v5"))
    env.reset(seed=0)
    over = False
    while not over:
        last, _, terminated, truncated, _ = env.step(np.ones(3, dtype=np.float32))
        over = terminated or truncated
    observation, reward, terminated, truncated, _ = env.step(np.ones(3, dtype=np.float32))
    assert (observation == last).all()
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert (env.reset()[0] == last).all()
    assert (env.reset(seed=1)[0] != last).any()


def test_time_limits_end_episodes() -> None:
    vector = envs.episode_vector("Pusher-v5", 2)
    lengths = envs.rollout(vector, lambda observations: np.zeros((len(observations), 7), np.float32), [0, 1]).lengths
    assert lengths.tolist() == [100, 100]


def test_normalised_score() -> None:
    scores = envs.normalised_score([-20.272305, 3234.3, 1607.0138475], -20.272305, 3234.3)
    assert scores == pytest.approx([0.0, 100.0, 50.0])
    assert envs.normalised_score(np.zeros((2, 3)), -1.0, 1.0).shape == (2, 3)
