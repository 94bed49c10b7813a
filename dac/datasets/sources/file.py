"""`file:<path>`: a user's own HDF5 file in D4RL's layout, converted when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dac.datasets import convert, folder
from dac.rows import layout
from dac.rows.raw import RawDataset
from dac.study.catalog import known_returns
from dac.study.identity import Dataset
from dac.study.sources import own_file


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """The rows, and the sha256 of the file; one that was not converted yet is converted first."""
    _convert(dataset)
    return folder.load(dataset.path), dataset.file_sha256


def fetch(dataset: Dataset, mirrors: Sequence[str] | None) -> None:
    """Convert the file, unless that was done; what is there already is compared with its note."""
    _convert(dataset)
    folder.load(dataset.path)


def place(dataset: Dataset, mirrors: Sequence[str] | None) -> str:
    """The file."""
    return str(own_file(dataset.name))


def _convert(dataset: Dataset) -> None:
    path = own_file(dataset.name)
    convert.convert_once(dataset, path, lambda: origin(path))


def origin(path: Path) -> convert.Origin:
    """What a file says of itself."""
    env_id = layout.env_id(path)
    return convert.Origin(env_id, known_returns(env_id))
