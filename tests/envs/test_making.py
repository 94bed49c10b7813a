from __future__ import annotations

import contextlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dac import envs
from dac.system.errors import UserError


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


def test_the_cheetah_stays_in_the_picture() -> None:
    """The camera is where it is, at the place where it starts and fifty metres from there."""
    with contextlib.closing(envs.make("HalfCheetah-v5", render_mode="rgb_array")) as env:
        env.reset(seed=0)
        simulator: Any = env.unwrapped
        camera = simulator.mujoco_renderer.camera_id
        assert camera >= 0
        for place in (0.0, 50.0):
            simulator.set_state(np.append(place, simulator.data.qpos[1:]), simulator.data.qvel)
            assert abs(simulator.data.cam_xpos[camera][0] - place) < 0.5


def test_a_view_that_follows_by_itself_stays() -> None:
    with contextlib.closing(envs.make("Hopper-v5", render_mode="rgb_array")) as env:
        simulator: Any = env.unwrapped
        assert simulator.mujoco_renderer.camera_id == -1  # that of its own settings, not the model's
