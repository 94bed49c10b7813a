"""Gymnasium tasks as the agent sees them, and rollouts in them.

Every environment made here takes actions in [-1, 1] and gives flat float32 observations. The same
environments collect data and evaluate policies, so a policy acts in the space that it was trained in.
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import ArrayLike, NDArray

from dac.system.errors import UserError

Environment = gym.Env[Any, Any]
Act = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]


class FlatObservation(gym.ObservationWrapper[NDArray[np.float32], Any, Any], gym.utils.RecordConstructorArgs):
    """Observations as a float32 vector.

    A goal-conditioned dictionary becomes [achieved_goal, observation], the order of D4RL's AntMaze files
    (position first); the desired goal is left out, as it is there. Where the goals are dictionaries themselves
    (FrankaKitchen), what is achieved is part of the observation, which is taken alone.
    """

    __module__ = "dac.envs"  # as the metadata of recorded data name it, wherever it is defined

    def __init__(self, env: Environment) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        keys = vector_keys(env.observation_space)
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


def vector_keys(space: gym.Space[Any]) -> tuple[str, ...] | None:
    """The keys to concatenate for a dictionary space, none for a vector space; None where neither is one."""
    if _is_vector(space):
        return ()
    if not isinstance(space, gym.spaces.Dict) or not _is_vector(space.spaces.get("observation")):
        return None
    return ("achieved_goal", "observation") if _is_vector(space.spaces.get("achieved_goal")) else ("observation",)


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


def make(env_id: str) -> Environment:
    """Make an environment with actions in [-1, 1] and flat float32 observations.

    Packages that register environments only when imported are imported only for an id that needs it.

    Args:
        env_id: Gymnasium's, `<module>:<id>` for one that importing a module registers (a user's own word: no data may
            say so, see `registered`), or `minari:<dataset>` for the one that a dataset of Minari's is to be evaluated
            in.

    Raises:
        UserError: unknown id, a missing package, or spaces that are not vectors with finite action bounds.
    """
    if env_id.startswith("minari:"):
        return FlatObservation(_rescale_actions(_recovered(env_id)))
    if env_id not in gym.registry:
        _register_others()
    try:
        env = _make(env_id)
    except gym.error.UnregisteredEnv as error:
        raise UserError(f"Environment {env_id!r} is unknown. {_suggestions(env_id)}") from error
    except (gym.error.Error, ImportError, ValueError) as error:
        raise UserError(f"Environment {env_id!r} cannot be made: {error}. {_suggestions(env_id)}") from error
    return FlatObservation(_rescale_actions(env))


def _make(what: str | EnvSpec) -> Environment:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)  # v4 is meant
        return gym.make(what, disable_env_checker=True)


def _recovered(env_id: str) -> Environment:
    """The environment that a Minari dataset names, from what this machine's packages register under that name."""
    from dac.envs import minari_spec  # they need this module
    from dac.study import datasets_lock
    from dac.study.plan import minari_dataset

    data = minari_dataset(env_id.removeprefix("minari:")).path / "data"
    spec = minari_spec.evaluation_spec(data)
    known = datasets_lock.entry(env_id).get("evaluation_env")
    if known is not None and known != minari_spec.evaluation_digest(data):
        raise UserError(
            f"{data}/metadata.json: the environment that it names is {spec.id} with {spec.kwargs}, which is not what "
            f"it was when {datasets_lock.LOCK_FILE} recorded it and runs were evaluated in it. Put the metadata back; "
            "or give the task's env in params.yaml, which makes other runs."
        )
    try:
        return _make(spec)
    except Exception as error:  # whatever an environment raises on arguments that were recorded with another version
        raise UserError(
            f"Environment {env_id!r} cannot be made: {spec.id} with the recorded arguments {spec.kwargs}: "
            f"{type(error).__name__}: {error}. Give the task's env in params.yaml."
        ) from error


def registered(env_id: str) -> str:
    """An id that data give, as it is.

    Making an environment runs code, so data may name one that installed packages register, and say nothing of where
    its code is: no module to import, no entry point.

    Raises:
        UserError: no installed package registers it.
    """
    if env_id not in gym.registry:
        _register_others()
    if env_id in gym.registry:
        return env_id
    raise UserError(
        f"the data name the environment {env_id!r}, which no installed package registers. Give the task's env in "
        "params.yaml; `env: module:Id` there imports the module that registers it."
    )


def _rescale_actions(env: Environment) -> Environment:
    space = env.action_space
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1 or not space.is_bounded():
        raise UserError(
            f"Environment {_name(env)}: its actions are {space}; only vectors with finite bounds (Box with one "
            f"axis) can be used. Use another environment."
        )
    if (space.low == -1.0).all() and (space.high == 1.0).all():
        return env
    return UnitAction(env)


def _register_others() -> None:
    # These register themselves, the latter gymnasium-robotics too.
    for module in ("dac.envs.bandit", "dac.envs.d4rl_tasks"):
        importlib.import_module(module)


def _suggestions(env_id: str) -> str:
    close = difflib.get_close_matches(env_id, list(gym.registry), n=5, cutoff=0.6)
    if close:
        return f"Close matches: {', '.join(close)}."
    return "`python -c 'import gymnasium; gymnasium.pprint_registry()'` lists what is installed."


class OneEpisode(gym.Wrapper[NDArray[np.float32], Any, NDArray[np.float32], Any]):
    """An environment that simulates exactly one episode for each reset with a seed.

    After the end of the episode, `step` and a `reset` without a seed (which is what a vector environment's
    autoreset calls) answer with the last observation and reward 0, neither terminated nor truncated, and
    simulate nothing. So a vector of ragged episodes costs no more simulation than its episodes have steps.
    Infos are dropped: a vector environment merges them key by key at every step, which can cost more than the
    simulation.
    """

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._over = False
        self._last: NDArray[np.float32] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        if seed is None and self._over and self._last is not None:
            return self._last, {}
        self._last, _ = self.env.reset(seed=seed, options=options)
        self._over = False
        return self._last, {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self._over and self._last is not None:
            return self._last, 0.0, False, False, {}
        self._last, reward, terminated, truncated, _ = self.env.step(action)
        self._over = terminated or truncated
        return self._last, float(reward), terminated, truncated, {}


def episode_vector(env_id: str, n: int) -> gym.vector.SyncVectorEnv:
    """A vector of `n` environments that each run one episode per seeded reset, see `OneEpisode`.

    Raises:
        UserError: as `make`.
    """
    return gym.vector.SyncVectorEnv([lambda: OneEpisode(make(env_id))] * n)


class EpisodeVector(Protocol):
    """What `rollout` needs of n environments that each run one episode per seeded reset.

    Attributes:
        num_envs: n.
        single_action_space: of one environment.
    """

    num_envs: int
    single_action_space: gym.Space[Any]

    def reset(self, *, seed: list[int | None]) -> tuple[Any, dict[str, Any]]:
        """Begin the episodes; returns observations (n, O) and infos."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take actions (n, A); returns observations (n, O), rewards, terminated and truncated (n,), and infos."""

    def close(self) -> None:
        """Close the environments."""


@dataclass(frozen=True)
class Episodes:
    """What n episodes came to.

    Attributes:
        returns: (n,) undiscounted.
        lengths: (n,) in steps.
        last_actions: (n, A), the action of every episode's last step.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    last_actions: NDArray[np.float32]


def rollout(envs: EpisodeVector, act: Act, seeds: Sequence[int]) -> Episodes:
    """Run one episode in each environment.

    Args:
        envs: n environments, from `episode_vector` or `env_workers.WorkerVector`.
        act: observations (n, O) float32 -> actions (n, A). It is asked for all n until the longest episode
            ends; rows of episodes that have ended are ignored.
        seeds: n seeds; environment i is reset with `seeds[i]`.
    """
    observations, _ = envs.reset(seed=list(seeds))
    running = np.ones(envs.num_envs, dtype=np.bool_)
    returns = np.zeros(envs.num_envs)
    lengths = np.zeros(envs.num_envs, dtype=np.int64)
    last_actions = np.zeros((envs.num_envs, *envs.single_action_space.shape), np.float32)  # type: ignore[misc]
    while running.any():
        actions = act(observations)
        last_actions[running] = actions[running]
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        returns += rewards
        lengths += running
        running &= ~(terminated | truncated)
    return Episodes(returns, lengths, last_actions)


def normalised_score(returns: ArrayLike, reference_min: float, reference_max: float) -> NDArray[np.float64]:
    """D4RL's normalised score, 100 (R - min) / (max - min), of the same shape as `returns`."""
    return 100.0 * (np.asarray(returns, dtype=np.float64) - reference_min) / (reference_max - reference_min)
