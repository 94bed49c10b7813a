"""Minari datasets: in a folder of the project's, or in Minari's own root folder, to which it downloads."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset._storages import get_minari_storage
from minari.dataset.minari_storage import MinariStorage
from minari.serialization import deserialize_space

from dac.datasets.episodes import STEPS, Layout, to_raw
from dac.envs import is_point_maze, vector_keys
from dac.envs.minari_spec import AGAIN, DATA_FOLDER, metadata, recorded_env
from dac.rows import hdf5
from dac.rows.raw import RawDataset, check_finite
from dac.system.errors import UserError
from dac.system.files import expanded
from dac.system.locks import lock


def read(directory: Path) -> RawDataset:
    """Read the Minari dataset in `directory`, episode after episode.

    Dictionary observations become vectors, and actions are brought to [-1, 1], as `envs.make` does. No environment is
    made for it, and nothing that metadata.json says of one is looked at.

    Raises:
        UserError: no Minari dataset there, one that cannot be read, no episodes, observations or actions that are not
            vectors or not finite, or arrays of an episode that do not belong together.
    """
    data = directory.resolve() / DATA_FOLDER  # Minari joins relative paths wrongly
    facts = metadata(data)
    layout = _layout(directory, facts)
    count = facts.get("total_episodes")
    if not isinstance(count, int):
        raise UserError(f"{data}/metadata.json: total_episodes is {count!r}, which is not a number. {AGAIN}")
    recorded = (
        _hdf5_episodes(data, count) if facts.get("data_format", "hdf5") == "hdf5" else _other(data, facts, layout)
    )
    found = (layout.episode(f"{directory}: episode {number}", arrays) for number, arrays in recorded)
    episodes = (episode for episode in found if episode is not None)
    first = next(episodes, None)
    if first is None:
        raise UserError(f"{directory}: the Minari dataset has no steps. Make it again, or use another.")
    raw = to_raw(itertools.chain([first], episodes))
    check_finite(directory, raw)
    return raw


def _layout(directory: Path, facts: Mapping[str, Any]) -> Layout:
    """The spaces of a dataset, if they can be used."""
    version = facts.get("minari_version")
    if not isinstance(version, str) or version not in minari.supported_dataset_versions:
        raise UserError(
            f"{directory}: it was made by Minari {version}, which Minari {minari.__version__} here does not read; "
            f"allowed: {', '.join(minari.supported_dataset_versions)}. Use a dataset made by one of these."
        )
    try:
        observation, action = (deserialize_space(facts[f"{name}_space"]) for name in ("observation", "action"))
    except Exception as error:  # whatever a text that is no space raises
        raise UserError(
            f"{directory}: metadata.json has no readable observation_space and action_space ({type(error).__name__}: "
            f"{error}). {AGAIN}"
        ) from error
    env_id = recorded_env(directory / DATA_FOLDER)
    keys = vector_keys(observation, env_id)
    if keys is None:
        raise UserError(
            f"{directory}: the observation space is {observation}; only vectors (Box with one axis) and "
            "dictionaries with the vector observation can be used. Flatten them when recording the dataset."
        )
    if not isinstance(action, gym.spaces.Box) or len(action.shape) != 1:
        raise UserError(f"{directory}: the action space is {action}; only vectors (Box with one axis) can be used.")
    single = action.low == action.high
    if single.any():
        raise UserError(
            f"{directory}: the action space is {action}: number {int(np.argmax(single))} of an action has one value "
            "alone, which cannot be brought to [-1, 1]. Correct action_space in metadata.json, or record the dataset "
            "without that number."
        )
    return Layout(keys, observation, action, ends_at_goal=is_point_maze(env_id))


def _hdf5_episodes(data: Path, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers and arrays of all episodes; an array is read when it is asked for."""
    path = data / "main_data.hdf5"
    if not path.exists():
        raise UserError(f"{path}: no such file; metadata.json is all that is there. {AGAIN}")
    with hdf5.opened(path) as file:
        there = sum(name.startswith("episode_") for name in hdf5.names(file))
        if there != count:
            raise UserError(
                f"{path}: it has {there} episodes, metadata.json says {count}. If a program still records into it, let "
                f"that end and run it again. {AGAIN}"
            )
        for number in range(count):
            yield number, _arrays(path, file, f"episode_{number}")


def _arrays(path: Path, file: h5py.File, name: str) -> dict[str, Any]:
    episode = hdf5.find(file, name)
    found = {key: hdf5.find(episode, key) for key in STEPS} if isinstance(episode, h5py.Group) else {}
    observed = dict(_leaves("observations", episode)) if found else {}
    lacking = [key for key in STEPS if not isinstance(found.get(key), h5py.Dataset)]
    if lacking or not observed:
        raise UserError(f"{path}: {name} has no array {(lacking or ['observations'])[0]}. {AGAIN}")
    arrays = {**observed, **found}
    _refuse_lost_rows(f"{path}: {name}", file[name].attrs.get("total_steps"), arrays)
    return arrays


def _refuse_lost_rows(where: str, said: Any, arrays: Mapping[str, Any]) -> None:
    """Stop where all arrays of an episode agree and have fewer rows than it says; it says its last part's, if it came
    in parts.
    """
    lengths = {len(arrays[key]) for key in STEPS if arrays[key].shape}
    if isinstance(said, int | np.integer) and len(lengths) == 1 and max(lengths) < said:
        raise UserError(f"{where} has {max(lengths)} rows; expected are {said}, the steps that were recorded. {AGAIN}")


def _leaves(path: str, episode: h5py.Group) -> Iterator[tuple[str, Any]]:
    """The arrays of observations, of a dictionary's keys by `observations/<key>/...`, however deep."""
    item = hdf5.find(episode, path)
    if isinstance(item, h5py.Dataset):
        yield path, item
    elif isinstance(item, h5py.Group):
        for key in hdf5.names(item):
            yield from _leaves(f"{path}/{key}", episode)


def _other(data: Path, facts: Mapping[str, Any], layout: Layout) -> Iterator[tuple[int, dict[str, Any]]]:
    """As `_hdf5_episodes`, of Minari's other formats, by its own reader: Arrow and Parquet."""
    try:
        kind = get_minari_storage(facts["data_format"])
        storage = kind(data, layout.observations, layout.actions)
        numbers = range(facts["total_episodes"])
        for said, episode in zip(storage.get_episode_metadata(numbers), storage.get_episodes(numbers), strict=True):
            arrays = {**_flat("observations", episode["observations"]), **{key: episode[key] for key in STEPS}}
            steps = said.get("total_steps", len(episode["rewards"]))
            if steps != len(episode["rewards"]):  # these formats fill up what is short
                raise UserError(
                    f"{data.parent}: episode {episode['id']} has {len(episode['rewards'])} rows; expected are {steps}, "
                    "the steps that its metadata.json says. Use another version of the dataset, or record it again."
                )
            yield int(episode["id"]), arrays
    except (OSError, KeyError, ValueError, TypeError, AssertionError, ImportError) as error:
        raise UserError(f"{data.parent}: not a readable Minari dataset ({error}). {AGAIN}") from error


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: np.asarray(value)}
    return {path: array for key in value for path, array in _flat(f"{name}/{key}", value[key]).items()}


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
    data = directory.resolve() / DATA_FOLDER  # Minari joins relative paths wrongly
    data.mkdir(parents=True)
    storage = MinariStorage.new(data, *spaces, env)
    storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.__version__, **metadata})
    storage.update_episodes(episodes)


def root() -> Path:
    """The folder in which Minari keeps its datasets."""
    return expanded(os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets")


def fetch(dataset_id: str, log: Callable[[str], None]) -> Path:
    """Download a dataset of Minari's server, of just that version; one that is there is used.

    It arrives in a folder beside Minari's and is moved when it is whole. Nothing that is there is ever deleted.

    Returns:
        its `data` folder in Minari's root.

    Raises:
        UserError: no network, the server has no such dataset for this version of Minari, or no permission.
    """
    place = root() / dataset_id
    try:
        if not place.exists():  # a copy may lie in a folder in which nothing can be written
            with lock(root() / ".dac" / "lock", log):
                if not place.exists():
                    _download(dataset_id, root())
    except OSError as error:
        raise UserError(
            f"minari:{dataset_id}: {root()} cannot be used ({error}). Correct the permissions, or name another folder "
            "in MINARI_DATASETS_PATH."
        ) from error
    return place / DATA_FOLDER


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
    found = [path.parent for path in arriving.rglob(DATA_FOLDER) if (path / "metadata.json").is_file()]
    found += arriving.rglob("namespace_metadata.json")
    for path in found:
        place = target / path.relative_to(arriving)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
