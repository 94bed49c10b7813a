"""The spaces that policies act in: flat float32 observations, actions in [-1, 1]."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dac.system.errors import UserError

Environment = gym.Env[Any, Any]


class FlatObservation(gym.ObservationWrapper[NDArray[np.float32], Any, Any], gym.utils.RecordConstructorArgs):
    """Observations as a float32 vector.

    A goal-conditioned dictionary becomes [achieved_goal, observation], the order of D4RL's AntMaze files
    (position first); the desired goal is left out, as it is there. A PointMaze becomes [observation, desired_goal]: its
    observation has the position, and its data have another goal in every episode. Where the goals are dictionaries
    themselves (FrankaKitchen), what is achieved is part of the observation, which is taken alone.
    """

    __module__ = "dac.envs"  # as the metadata of recorded data name it, wherever it is defined

    def __init__(self, env: Environment) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        keys = vector_keys(env.observation_space, env.spec.id if env.spec else None)
        if keys is None:
            raise UserError(
                f"Environment {_name(env)}: its observations are {env.observation_space}; allowed are vectors (Box "
                "with one axis) and dictionaries with the vector observation. Use another environment."
            )
        self._keys = keys
        space: Any = env.observation_space
        parts: list[gym.spaces.Box] = [space[key] for key in keys] if keys else [space]
        self.observation_space = gym.spaces.Box(
            np.concatenate([part.low.astype(np.float32) for part in parts]),
            np.concatenate([part.high.astype(np.float32) for part in parts]),
            dtype=np.float32,
        )

    def observation(self, observation: Any) -> NDArray[np.float32]:
        return flatten(observation, self._keys)


def vector_keys(space: gym.Space[Any], env_id: str | None) -> tuple[str, ...] | None:
    """The keys to concatenate for a dictionary space, none for a vector space; None where neither is one.

    Args:
        env_id: of the environment whose observations they are, as far as it is known.
    """
    if _is_vector(space):
        return ()
    if not isinstance(space, gym.spaces.Dict) or not _is_vector(space.spaces.get("observation")):
        return None
    if is_point_maze(env_id) and _is_vector(space.spaces.get("desired_goal")):
        return ("observation", "desired_goal")
    return ("achieved_goal", "observation") if _is_vector(space.spaces.get("achieved_goal")) else ("observation",)


def is_point_maze(env_id: str | None) -> bool:
    """Whether an environment is one of Gymnasium-Robotics' PointMazes."""
    return (env_id or "").rpartition(":")[2].startswith("PointMaze_")


def flatten(observation: Any, keys: tuple[str, ...]) -> NDArray[np.float32]:
    """An observation, or a whole episode's with a leading axis of time, as float32 vectors; see `vector_keys`."""
    if keys:
        return np.concatenate([observation[key] for key in keys], axis=-1).astype(np.float32)
    return np.asarray(observation, dtype=np.float32)


def _is_vector(space: gym.Space[Any] | None) -> bool:
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 1


def _name(env: Environment) -> str:
    return env.spec.id if env.spec is not None else repr(env)


class UnitAction(gym.ActionWrapper[Any, NDArray[np.float32], Any], gym.utils.RecordConstructorArgs):
    """Actions in [-1, 1], mapped to the bounds of the wrapped environment's actions."""

    __module__ = "dac.envs"  # as FlatObservation's

    def __init__(self, env: Environment) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ActionWrapper.__init__(self, env)
        bounds: Any = env.action_space
        self._low = bounds.low.astype(np.float64)
        self._width = bounds.high.astype(np.float64) - self._low
        self._dtype = bounds.dtype
        self.action_space = gym.spaces.Box(-1.0, 1.0, bounds.shape, np.float32)

    def action(self, action: NDArray[np.float32]) -> Any:
        unit = (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) / 2.0
        return (self._low + unit * self._width).astype(self._dtype)


def rescale_actions(env: Environment) -> Environment:
    """An environment with actions in [-1, 1].

    Raises:
        UserError: its actions are no vectors with finite bounds.
    """
    space = env.action_space
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1 or not space.is_bounded():
        raise UserError(
            f"Environment {_name(env)}: its actions are {space}; only vectors with finite bounds (Box with one "
            f"axis) can be used. Use another environment."
        )
    if (space.low == -1.0).all() and (space.high == 1.0).all():
        return env
    return UnitAction(env)
