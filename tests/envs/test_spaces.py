"""Actions in [-1, 1] and flat float32 observations."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from dac import envs


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
