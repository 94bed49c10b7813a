"""Datasets of very many episodes: one HDF5 file in D4RL's layout, where Minari has a group for each episode.

A group of Minari's takes 14 kB and 2 ms to write and to read again, whatever is in it: of a million rows in episodes of
twenty, 700 MB and, at every training's start, a minute.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import h5py

from dac.rows import layout
from dac.rows.raw import FloatArray, RawDataset

# Episodes; with more, a dataset is written flat.
MOST_GROUPS = 2000
FILE = "rows.hdf5"


def write(directory: Path, raw: RawDataset, last: FloatArray | None, env_id: str | None) -> None:
    """Write the rows into `directory`; the file can be used as a `file:` dataset, too.

    Args:
        last: (episodes, O), the observation after the last step of each; training never reads it. None where the data
            that the rows are from lie beside them.
        env_id: of the environment that the rows are from.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with h5py.File(directory / FILE, "w") as file:
        for field in fields(raw):
            file[field.name] = getattr(raw, field.name)
        if last is not None:
            file["last_observations"] = last
        if env_id is not None:
            file["metadata/env_id"] = env_id


def holds(directory: Path) -> bool:
    """Whether the dataset in `directory` is of this kind."""
    return (directory / FILE).is_file()


def read(directory: Path) -> RawDataset:
    """Read the dataset in `directory`.

    Raises:
        UserError: as `layout.read`.
    """
    return layout.read(directory / FILE)
