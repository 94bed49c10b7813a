"""Minari datasets: in a folder of the project's, or in Minari's own root folder, to which it downloads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from dac.datasets.transitions import FloatArray, RawDataset
from dac.envs import flatten, vector_keys
from dac.errors import UserError
from dac.locking import lock

# Minari keeps the data of dataset <id> in <root>/<id>/data.
_DATA_FOLDER = "data"


@dataclass(frozen=True)
class Episode:
    """One recorded episode of T steps.

    Attributes:
        observations: (T + 1, O) float32, the one after the last step included.
        actions: (T, A) float32, in [-1, 1].
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

    Dictionary observations become vectors, and actions are brought to [-1, 1], as `envs.make` does.

    Raises:
        UserError: no Minari dataset there, no episodes, or observations or actions that are not vectors.
    """
    data = directory.resolve() / _DATA_FOLDER  # Minari joins relative paths wrongly
    if not (data / "metadata.json").is_file():
        raise UserError(
            f"{directory}: no Minari dataset here (it would have {_DATA_FOLDER}/metadata.json). Make it "
            "again (`dac fetch <task>`, or snakemake), or correct the path."
        )
    try:
        dataset = minari.MinariDataset(data)
        keys, actions = _observation_keys(directory, dataset), dataset.action_space
        episodes = [
            _episode(recorded, keys, actions) for recorded in dataset.iterate_episodes() if len(recorded.rewards)
        ]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{directory}: not a readable Minari dataset ({error}); make it again (`dac fetch <task>`, or "
            "snakemake, after deleting this folder)."
        ) from error
    if not episodes:
        raise UserError(f"{directory}: the Minari dataset has no steps. Make it again, or use another.")
    return to_raw(episodes)


def _observation_keys(directory: Path, dataset: minari.MinariDataset) -> tuple[str, ...]:
    """The keys of dictionary observations that make the vector, none for vectors; see `envs.vector_keys`."""
    action, keys = dataset.action_space, vector_keys(dataset.observation_space)
    if keys is None:
        raise UserError(
            f"{directory}: the observation space is {dataset.observation_space}; only vectors (Box with one axis) and "
            "dictionaries with the vector observation can be used. Flatten them when recording the dataset."
        )
    if not isinstance(action, gym.spaces.Box) or len(action.shape) != 1:
        raise UserError(f"{directory}: the action space is {action}; only vectors (Box with one axis) can be used.")
    return keys


def _episode(recorded: minari.EpisodeData, keys: tuple[str, ...], space: gym.spaces.Box) -> Episode:
    return Episode(
        observations=flatten(recorded.observations, keys),
        actions=_to_unit(np.asarray(recorded.actions, dtype=np.float32), space),
        rewards=np.asarray(recorded.rewards, dtype=np.float32),
        terminated=bool(recorded.terminations[-1]),
    )


def _to_unit(actions: FloatArray, space: gym.spaces.Box) -> FloatArray:
    """Actions from the bounds of the recorded environment to [-1, 1], where policies act."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if not space.is_bounded() or ((low == -1.0).all() and (high == 1.0).all()):
        return actions
    return (2.0 * (actions - low) / (high - low) - 1.0).astype(np.float32)


def write(
    directory: Path,
    dataset_id: str,
    episodes: Iterable[EpisodeBuffer],
    spaces: tuple[gym.Space[Any], gym.Space[Any]],
    metadata: Mapping[str, Any],
    env: EnvSpec | None = None,
) -> None:
    """Write episodes as the Minari dataset in `directory`.

    Args:
        dataset_id: Minari's name for it, such as `group/name-v0`.
        spaces: of observations and actions.
        metadata: further entries of Minari's metadata, among them `algorithm_name` and `description`.
        env: what it was recorded in, or is evaluated in.
    """
    data = directory.resolve() / _DATA_FOLDER  # Minari joins relative paths wrongly
    data.mkdir(parents=True)
    storage = MinariStorage.new(data, *spaces, env)
    storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.__version__, **metadata})
    storage.update_episodes(episodes)


def root() -> Path:
    """The folder in which Minari keeps its datasets."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def fetch(dataset_id: str, log: Callable[[str], None]) -> Path:
    """Download a dataset of Minari's server, of just that version; one that is there is used.

    It arrives in a folder beside Minari's and is moved when it is whole. Nothing that is there is ever deleted.

    Returns:
        its `data` folder in Minari's root.

    Raises:
        UserError: no network, or the server has no such dataset for this version of Minari; or what is there is broken.
    """
    place = root() / dataset_id
    if not place.exists():  # a copy may lie in a folder in which nothing can be written
        with lock(root() / ".dac" / "lock", log):
            if not place.exists():
                _download(dataset_id, root())
    try:
        minari.MinariDataset(place / _DATA_FOLDER)
    except Exception as error:  # whatever the format's libraries raise on a broken file
        raise UserError(
            f"minari:{dataset_id}: what is in {place} cannot be opened ({type(error).__name__}: {error}). Delete that "
            "folder and fetch it again."
        ) from error
    return place / _DATA_FOLDER


def _download(dataset_id: str, target: Path) -> None:
    """Download into a folder of its own inside Minari's root, then move what came, parts of a combination included."""
    arriving = target / ".dac" / "arriving"
    shutil.rmtree(arriving, ignore_errors=True)  # of a process that was killed; the lock is held
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(arriving)
    try:
        minari.download_dataset(dataset_id)
    except Exception as error:  # it passes on whatever the network libraries raise
        raise UserError(
            f"minari:{dataset_id}: not downloaded: {type(error).__name__}: {error}. Check the network and the id "
            f"(`minari list remote`), or put the dataset into {target} (`minari download` elsewhere, then copy "
            f"{dataset_id})."
        ) from error
    else:
        _move(arriving, target)
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
        shutil.rmtree(arriving, ignore_errors=True)


def _move(arriving: Path, target: Path) -> None:
    """Move datasets (folders with `data`) and the descriptions of their groups to where there are none yet."""
    found = [path.parent for path in arriving.rglob(_DATA_FOLDER) if (path / "metadata.json").is_file()]
    found += arriving.rglob("namespace_metadata.json")
    for path in found:
        place = target / path.relative_to(arriving)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)


def metadata(data: Path) -> dict[str, Any]:
    """The metadata of the Minari dataset whose `data` folder is given.

    Raises:
        UserError: they are missing or not readable.
    """
    try:
        content: dict[str, Any] = json.loads((data / "metadata.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{data}/metadata.json: not readable ({error}). Fetch the dataset again (`dac fetch <task>`)."
        ) from None
    return content


def evaluation_spec(data: Path) -> EnvSpec:
    """The specification of the environment to evaluate in: the dataset's own for that purpose, else the recorded one.

    A maze's episodes end at the goal, as the paper counts them, also where the data were recorded without an end.

    Args:
        data: the dataset's `data` folder.

    Raises:
        UserError: the dataset is not here, or names no environment.
    """
    found = metadata(data)
    spec = _spec(found.get("eval_env_spec")) or _spec(found.get("env_spec"))
    if spec is None:
        raise UserError(f"{data}: the dataset names no environment. Give the task's env in params.yaml.")
    if "Maze" in spec.id:
        spec.kwargs["continuing_task"] = False
    return spec


def recorded_env(data: Path) -> str | None:
    """Id of the environment that a dataset was recorded in, None where it names none."""
    spec = _spec(metadata(data).get("env_spec"))
    return spec.id if spec else None


def _spec(text: str | None) -> EnvSpec | None:
    """A specification from its JSON, also from one that an older Gymnasium wrote, with fields that are gone."""
    if not text:
        return None
    content = json.loads(text)
    for gone in ("autoreset", "apply_api_compatibility"):
        content.pop(gone, None)
    return EnvSpec.from_json(json.dumps(content))
