"""Files in D4RL's HDF5 layout, read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from dac.rows import hdf5
from dac.rows.raw import FloatArray, RawDataset, check_finite, episode_stops, flags
from dac.system.errors import UserError

KEYS = ("observations", "actions", "rewards", "terminals", "timeouts")


def read(path: Path) -> RawDataset:
    """Read an HDF5 file in D4RL's layout.

    The file has the datasets `observations` (n, O), `actions` (n, A), `rewards` (n,), `terminals` (n,) and
    `timeouts` (n,); whatever else it holds is ignored.

    Raises:
        UserError: no such file, not HDF5 (`hdf5.opened` has the causes), a missing key, contents in other files,
            disagreeing shapes, numbers that are not finite, or flags that are neither 0 nor 1.
    """
    with hdf5.opened(path) as file:
        arrays = {key: _array(path, file, key) for key in KEYS}
    _check_shapes(path, arrays)
    raw = RawDataset(
        observations=arrays["observations"].astype(np.float32, copy=False),
        actions=arrays["actions"].astype(np.float32, copy=False),
        rewards=arrays["rewards"].astype(np.float32, copy=False),
        terminals=flags(f"{path}: terminals", arrays["terminals"]),
        timeouts=flags(f"{path}: timeouts", arrays["timeouts"]),
    )
    check_finite(path, raw)
    return raw


def _array(path: Path, file: h5py.File, key: str) -> NDArray[np.generic]:
    dataset = hdf5.find(file, key)
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(
            f"{path}: the key {key!r} is missing; found {', '.join(hdf5.names(file)) or 'no keys'}. "
            f"D4RL's layout needs {', '.join(KEYS)}: without them the ends of episodes are unknown."
        )
    array = hdf5.numbers(dataset)
    # Some of D4RL's files hold rewards and flags as a column.
    is_column = array.ndim == 2 and array.shape[1] == 1
    return array[:, 0] if is_column and key in KEYS[2:] else array


def _check_shapes(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    for key, array in arrays.items():
        expected = 2 if key in ("observations", "actions") else 1
        if array.ndim != expected:
            raise UserError(f"{path}: {key} has shape {array.shape}; {expected} axes are expected.")
        if expected == 2 and not array.shape[1]:
            raise UserError(f"{path}: {key} has shape {array.shape}: a row of it holds no number. Write them.")
    lengths = {key: len(array) for key, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise UserError(f"{path}: the numbers of rows disagree: {found}. All must be equal; repair the file.")


def next_observations(path: Path) -> FloatArray | None:
    """The array `next_observations` of a file, (n, O) in a file that is right; None where it has none.

    Raises:
        UserError: as `read`.
    """
    with hdf5.opened(path) as file:
        found = hdf5.find(file, "next_observations")
        if not isinstance(found, h5py.Dataset):
            return None
        return hdf5.numbers(found).astype(np.float32, copy=False)


def last_observations(path: Path, raw: RawDataset) -> tuple[FloatArray, bool]:
    """The observation after the last step of every episode, (episodes, O), and whether the file has them.

    They are rows of `next_observations`, which only some of D4RL's files have; else the last observation before.
    """
    ends = episode_stops(raw) - 1
    recorded = next_observations(path)
    if recorded is not None and recorded.shape == raw.observations.shape:
        last = recorded[ends]
        if np.isfinite(last).all():
            return last, True
    return raw.observations[ends], False


def env_id(path: Path) -> str | None:
    """The text `metadata/env_id` of a file; None where it has no such entry.

    Raises:
        UserError: the file cannot be read.
    """
    with hdf5.opened(path) as file:
        found = hdf5.find(file, "metadata/env_id")
        return hdf5.text(found) if isinstance(found, h5py.Dataset) else None
