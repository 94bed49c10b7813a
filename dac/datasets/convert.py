"""HDF5 files in D4RL's layout, made into a dataset's folder once, when they are first needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer

from dac import envs
from dac.datasets import flat, folder, minari
from dac.rows import checks, layout
from dac.rows.raw import FloatArray, RawDataset, closed, content_hash, episode_slices
from dac.study import datasets_lock, store
from dac.study.identity import Dataset
from dac.system.errors import UserError
from dac.system.files import absence, unchanged
from dac.system.hashing import sha256_of

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """What is known of a file's data.

    Attributes:
        env_id: the environment that they were recorded in.
        reference: returns that are scores 0 and 100.
        url: where the file is from.
    """

    env_id: str | None
    reference: tuple[float, float] | None
    url: str | None = None


def convert_once(dataset: Dataset, path: Path, origin: Callable[[], Origin]) -> None:
    """Make the folder of a dataset that is a file, unless it is there; one process at a time.

    Raises:
        UserError: it is not the file of the dataset's identity, or its contents are not usable.
    """
    with folder.lock(dataset.path):
        if store.folder_problem(dataset):
            convert(dataset, path, origin)
        elif path.is_file() and source_changed(dataset, path):
            check_source(dataset, path)


def convert(dataset: Dataset, path: Path, origin: Callable[[], Origin]) -> None:
    """Write a dataset's folder from its HDF5 file.

    An episode ends at a terminal state or at a time-out; a last one without either is cut off where the file ends.
    Minari keeps the observation after the last step, too: it is the file's `next_observations` where there are such,
    else the last observation again. Training never reads it.

    Args:
        origin: asked while the file is read: some files say it of themselves.

    Raises:
        UserError: it is not the file of the dataset's identity, or changes meanwhile, or its contents are not usable.
    """
    with unchanged(path):
        check_source(dataset, path)
        raw, clipped = checks.read(path, published=dataset.kind.published)
        last, recorded = layout.last_observations(path, raw)
        known = origin()
        status = path.stat()
    spaces, spec = _environment(dataset, raw, known.env_id)
    reference, url = known.reference, known.url
    facts = {
        "description": f"{dataset.id}, converted from HDF5; {folder.DESCRIPTION_FILE} says more.",
        "source_sha256": dataset.file_sha256,
        **({"source_url": url, "code_permalink": url} if url else {}),
        **({"ref_min_score": reference[0], "ref_max_score": reference[1]} if reference else {}),
    }
    description = {
        "dataset": dataset.id,
        "env_id": known.env_id,
        "reference_returns": reference,
        "last_observations": "recorded" if recorded else "repeated",
        "rows_with_clipped_actions": clipped,
        "source": {
            "path": str(path),
            "url": url,
            "sha256": dataset.file_sha256,
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
        },
    }

    def fill(directory: Path) -> None:
        if len(last) > flat.MOST_GROUPS:
            flat.write(directory, closed(raw), last, known.env_id)
        else:
            minari.write(directory, dataset.minari_id, _episodes(raw, last), spaces, facts, spec)

    size = folder.size_on_disk(raw.nbytes + last.nbytes, len(last))
    folder.publish(dataset.path, fill, description, size, content_hash(closed(raw)))
    form = "one file" if flat.holds(dataset.path) else "Minari's format"
    LOG.info("%s: converted to %s in %s", dataset.id, form, dataset.path)


def check_source(dataset: Dataset, path: Path) -> None:
    """Compare a file with the sha256 that is the dataset's identity.

    Raises:
        UserError: it is another file, or not there.
    """
    if missing := absence(path):
        raise UserError(f"{path}: {missing}. Get it with `dac fetch`, or correct the path in params.yaml.")
    datasets_lock.compare(dataset.id, path, sha256_of(path), dataset.file_sha256)


def source_changed(dataset: Dataset, path: Path) -> bool:
    """Whether the file is not the one that was converted, by size and time of change."""
    converted, status = folder.describe(dataset.path).get("source"), path.stat()
    noted = (converted.get("size"), converted.get("mtime_ns")) if isinstance(converted, dict) else None
    return (status.st_size, status.st_mtime_ns) != noted


def _episodes(raw: RawDataset, last: FloatArray) -> Iterator[EpisodeBuffer]:
    for number, rows in enumerate(episode_slices(raw)):
        ended = bool(raw.terminals[rows.stop - 1])
        flags = np.zeros(rows.stop - rows.start, np.bool_)
        flags[-1] = True
        yield EpisodeBuffer(
            id=number,
            observations=np.concatenate([raw.observations[rows], last[number, None]]),
            actions=raw.actions[rows],
            rewards=raw.rewards[rows],
            terminations=flags & ended,
            truncations=flags & (raw.timeouts[rows] | (not ended)),
            infos={},
        )


def _environment(
    dataset: Dataset, raw: RawDataset, env_id: str | None
) -> tuple[tuple[gym.Space[Any], gym.Space[Any]], EnvSpec | None]:
    """Spaces and specification for Minari's metadata: the environment's where it is known and fits, else bare ones."""
    bare = (
        gym.spaces.Box(-np.inf, np.inf, raw.observations.shape[1:], np.float32),
        gym.spaces.Box(-1.0, 1.0, raw.actions.shape[1:], np.float32),
    )
    if env_id is None:
        return bare, None
    try:
        env = envs.make(envs.registered(env_id))
    except UserError as error:
        LOG.info("%s: recorded without an environment: %s", dataset.id, error)
        return bare, None
    spaces, spec = (env.observation_space, env.action_space), env.spec
    env.close()
    if [space.shape for space in spaces] != [space.shape for space in bare]:
        LOG.info("%s: recorded without an environment: %s has other dimensions", dataset.id, env_id)
        return bare, None
    return spaces, spec
