"""Minari datasets on the local disk: one folder, in Minari's own format, holds one dataset.

For reading, the folder is addressed by its path and not through Minari's root folder, so no environment variable
matters.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np

from dac.datasets.transitions import FloatArray, RawDataset
from dac.errors import UserError

# Minari keeps the data of dataset <id> in <root>/<id>/data.
_DATA_FOLDER = "data"


@dataclass(frozen=True)
class Episode:
    """One recorded episode of T steps.

    Attributes:
        observations: (T + 1, O) float32, the one after the last step included.
        actions: (T, A) float32.
        rewards: (T,) float32.
        terminated: it ended in a terminal state; otherwise it was cut off.
    """

    observations: FloatArray
    actions: FloatArray
    rewards: FloatArray
    terminated: bool

    def __len__(self) -> int:
        return len(self.rewards)


def to_raw(episodes: Sequence[Episode]) -> RawDataset:
    """Concatenate episodes in D4RL's layout, which leaves out each episode's last observation."""
    terminals = [_flag_at_end(len(episode), episode.terminated) for episode in episodes]
    timeouts = [_flag_at_end(len(episode), not episode.terminated) for episode in episodes]
    return RawDataset(
        observations=np.concatenate([episode.observations[:-1] for episode in episodes]).astype(np.float32),
        actions=np.concatenate([episode.actions for episode in episodes]).astype(np.float32),
        rewards=np.concatenate([episode.rewards for episode in episodes]).astype(np.float32),
        terminals=np.concatenate(terminals),
        timeouts=np.concatenate(timeouts),
    )


def _flag_at_end(length: int, flag: bool) -> np.ndarray[Any, np.dtype[np.bool_]]:
    flags = np.zeros(length, dtype=np.bool_)
    flags[-1] = flag
    return flags


def read(directory: Path) -> RawDataset:
    """Read the Minari dataset in `directory`, episode after episode.

    Raises:
        UserError: no Minari dataset there, no episodes, or observations or actions that are not vectors.
    """
    data = directory.resolve() / _DATA_FOLDER  # Minari joins relative paths wrongly
    if not (data / "metadata.json").is_file():
        raise UserError(
            f"{directory}: no Minari dataset here (it would have {_DATA_FOLDER}/metadata.json). Collect or "
            f"download it again, or correct the path."
        )
    try:
        dataset = minari.MinariDataset(data)
        _check_spaces(directory, dataset)
        episodes = [_episode(recorded) for recorded in dataset.iterate_episodes() if len(recorded.rewards)]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{directory}: not a readable Minari dataset ({error}); collect it again.") from error
    if not episodes:
        raise UserError(f"{directory}: the Minari dataset has no steps. Collect or download it again.")
    return to_raw(episodes)


def _check_spaces(directory: Path, dataset: minari.MinariDataset) -> None:
    for name, space in (("observation", dataset.observation_space), ("action", dataset.action_space)):
        if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
            raise UserError(
                f"{directory}: the {name} space is {space}; only vectors (Box with one axis) can be used. "
                f"Flatten them when recording the dataset."
            )


def _episode(recorded: minari.EpisodeData) -> Episode:
    return Episode(
        observations=np.asarray(recorded.observations, dtype=np.float32),
        actions=np.asarray(recorded.actions, dtype=np.float32),
        rewards=np.asarray(recorded.rewards, dtype=np.float32),
        terminated=bool(recorded.terminations[-1]),
    )


@contextmanager
def root(folder: Path) -> Iterator[None]:
    """Within the block Minari keeps its datasets in `folder`, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
