"""Episodes in a vector of environments, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dac.envs.making import make
from dac.envs.spaces import Environment

Act = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]


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
