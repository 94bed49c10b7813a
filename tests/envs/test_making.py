from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from dac import envs
from dac.system.errors import UserError

WEIGHTS = 0.3 * np.random.default_rng(1).standard_normal((11, 3))


def linear_policy(observations: np.ndarray) -> np.ndarray:
    return np.clip(observations @ WEIGHTS, -1, 1).astype(np.float32)


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


@pytest.mark.parametrize(("env_id", "low", "high"), [("Pusher-v5", -2, 2), ("InvertedPendulum-v5", -3, 3)])
def test_actions_are_rescaled_from_the_unit_box(env_id: str, low: float, high: float) -> None:
    """A step with ±1 and 0.25 equals a plain environment's step with its bounds and a quarter of them."""
    env, plain = envs.make(env_id), gym.make(env_id)
    size = plain.action_space.shape
    assert env.action_space == gym.spaces.Box(-1.0, 1.0, size, np.float32)
    for unit, own in ((-1.0, low), (1.0, high), (0.25, 0.25 * high), (7.0, high)):
        env.reset(seed=0)
        plain.reset(seed=0)
        found = env.step(np.full(size, unit, np.float32))
        expected = plain.step(np.full(size, own, np.float32))
        assert found[0] == pytest.approx(expected[0].astype(np.float32), abs=1e-7)
        assert found[1] == expected[1]


def test_environments_in_the_unit_box_are_not_wrapped_twice() -> None:
    env = envs.make("Hopper-v5")
    assert isinstance(env, envs.FlatObservation)
    assert not isinstance(env.env, envs.UnitAction)
    assert isinstance(envs.make("Pusher-v5").env, envs.UnitAction)  # type: ignore[attr-defined]


def test_observations_are_float32_vectors() -> None:
    env = envs.make("Hopper-v5")
    observation, _ = env.reset(seed=0)
    assert observation.dtype == env.observation_space.dtype == np.float32
    assert observation == pytest.approx(gym.make("Hopper-v5").reset(seed=0)[0], abs=1e-7)
    assert env.observation_space.contains(observation)


def test_goal_dictionaries_become_position_then_state() -> None:
    env = envs.make("AntMaze_UMaze-v4")
    assert env.observation_space.shape == (29,)
    observation, _ = env.reset(seed=0)
    parts = env.unwrapped._get_obs(env.unwrapped.ant_env._get_obs())  # type: ignore[attr-defined]
    assert observation == pytest.approx(np.concatenate([parts["achieved_goal"], parts["observation"]]), abs=1e-6)


def test_the_specification_recreates_the_environment() -> None:
    spec = gym.envs.registration.EnvSpec.from_json(envs.make("Pusher-v5").spec.to_json())  # type: ignore[union-attr]
    assert gym.make(spec).action_space == gym.spaces.Box(-1.0, 1.0, (7,), np.float32)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("Hoper-v5", r"'Hoper-v5' is unknown. Close matches: .*Hopper-v5"),
        ("Hopper-v9", r"'Hopper-v9' is unknown. Close matches: .*Hopper-v5"),
        ("Hopper-v2", r"cannot be made: .*mujoco.*Hopper-v"),
        ("no such thing", r"is unknown|cannot be made"),
        ("CartPole-v1", r"its actions are Discrete\(2\)"),
    ],
)
def test_environments_that_cannot_be_used(env_id: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        envs.make(env_id)


def test_normalised_score() -> None:
    scores = envs.normalised_score([-20.272305, 3234.3, 1607.0138475], -20.272305, 3234.3)
    assert scores == pytest.approx([0.0, 100.0, 50.0])
    assert envs.normalised_score(np.zeros((2, 3)), -1.0, 1.0).shape == (2, 3)
