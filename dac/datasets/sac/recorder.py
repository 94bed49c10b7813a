"""An environment that remembers what happened in it, as episodes that Minari writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from minari.data_collector import EpisodeBuffer
from numpy.typing import NDArray

from dac import envs
from dac.datasets import flat, folder, minari
from dac.datasets.episodes import Episode, to_raw
from dac.rows.raw import FloatArray

_ARRAYS = ("observations", "actions", "rewards", "terminations", "truncations")


class Recorder(gym.Wrapper[FloatArray, Any, FloatArray, Any]):
    """Records every step until told to stop.

    Attributes:
        steps: environment steps so far, also those that were not recorded.
        before_reset: state of the environment's random generator before the last reset, or as its seed made it; with it
            a fresh environment starts the same episode.
    """

    def __init__(self, env: envs.Environment, recording: bool = True) -> None:
        super().__init__(env)
        self.steps = 0
        self.before_reset: Mapping[str, Any] = {}
        self._recording = recording
        self._episodes: list[dict[str, NDArray[Any]]] = []
        self._running: dict[str, list[Any]] = {}
        self._return = 0.0
        self._returns: list[float] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        self._finish()
        generator = self.env.unwrapped.np_random if seed is None else seeding.np_random(seed)[0]
        self.before_reset = generator.bit_generator.state
        observation, info = self.env.reset(seed=seed, options=options)
        self._running = {name: [] for name in _ARRAYS} | {"observations": [np.array(observation)]}
        self._return = 0.0
        return observation, info

    def step(self, action: Any) -> tuple[FloatArray, Any, bool, bool, dict[str, Any]]:
        action = np.array(action, dtype=np.float32)  # a copy: Stable-Baselines3 passes views of its own buffer
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        row = (np.array(observation), action, float(reward), terminated, truncated)
        for name, value in zip(_ARRAYS, row, strict=True):
            self._running[name].append(value)
        self._return += float(reward)
        if terminated or truncated:
            self._returns.append(self._return)
        return observation, reward, terminated, truncated, info

    def _finish(self) -> None:
        if self._recording and self._running and self._running["rewards"]:
            self._episodes.append(_arrays(self._running))
        self._running = {name: [] for name in _ARRAYS}

    @property
    def size_on_disk(self) -> float:
        """Bytes that the episodes recorded so far take when they are written."""
        arrays = sum(array.nbytes for episode in self._episodes for array in episode.values())
        return folder.size_on_disk(arrays, len(self._episodes))

    def recent_return(self, count: int = 10) -> float:
        """Mean return of the last `count` episodes that ended, NaN before the first."""
        returns = self._returns[-count:]
        return float(np.mean(returns)) if returns else float("nan")

    def write(
        self, directory: Path, dataset_id: str, description: str, algorithm: str = "SAC (Stable-Baselines3)"
    ) -> None:
        """Write what was recorded as the dataset in `directory`; an episode still running is cut off there."""
        episodes = list(self._episodes)
        if self._running["rewards"]:
            episodes.append(_arrays(self._running))
            episodes[-1]["truncations"][-1] = not episodes[-1]["terminations"][-1]
        if len(episodes) > flat.MOST_GROUPS:
            rows = to_raw(
                Episode(each["observations"], each["actions"], each["rewards"], bool(each["terminations"][-1]))
                for each in episodes
            )
            last = np.stack([each["observations"][-1] for each in episodes])
            flat.write(directory, rows, last, self.env.spec.id if self.env.spec is not None else None)
            return
        buffers = (EpisodeBuffer(id=number, infos={}, **episode) for number, episode in enumerate(episodes))
        spaces = (self.env.observation_space, self.env.action_space)
        facts = {"algorithm_name": algorithm, "description": description}
        minari.write(directory, dataset_id, buffers, spaces, facts, self.env.spec)

    def stop(self) -> None:
        """Record no more, and forget what was recorded."""
        self._recording = False
        self._episodes = []

    def state(self) -> dict[str, Any]:
        """What is needed to come back to this step: arrays and plain values. `actions` are those of this episode."""
        lengths = [len(episode["rewards"]) for episode in self._episodes]
        joined = {
            name: np.concatenate([episode[name] for episode in self._episodes]) for name in _ARRAYS if self._episodes
        }
        facts = {"steps": self.steps, "recording": self._recording, "returns": list(self._returns)}
        episode = {"before_reset": self.before_reset, "actions": list(self._running["actions"])}
        return {**facts, **episode, "lengths": lengths, "arrays": joined}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state from `state`: a reset without a seed, and the episode's actions, then lead to its step.

        One without `actions`, of an earlier version, is of an episode's start.
        """
        self.steps = state["steps"] - len(state.get("actions", []))
        self._recording, self._returns = state["recording"], list(state["returns"])
        lengths = np.array(state["lengths"], dtype=int)
        arrays = {
            # An episode has an observation more than it has steps.
            name: np.split(array, np.cumsum(lengths + (name == "observations"))[:-1])
            for name, array in state["arrays"].items()
        }
        self._episodes = [{name: arrays[name][i] for name in arrays} for i in range(len(lengths))]
        self._running = {}
        self.env.unwrapped.np_random.bit_generator.state = state["before_reset"]


def _arrays(rows: Mapping[str, list[Any]]) -> dict[str, NDArray[Any]]:
    return {
        "observations": np.stack(rows["observations"]),
        "actions": np.stack(rows["actions"]),
        "rewards": np.array(rows["rewards"], dtype=np.float64),
        "terminations": np.array(rows["terminations"], dtype=np.bool_),
        "truncations": np.array(rows["truncations"], dtype=np.bool_),
    }
