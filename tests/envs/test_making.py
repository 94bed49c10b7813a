from __future__ import annotations

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
