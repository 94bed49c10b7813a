"""`d4rl:<id>`: one of D4RL's own files, downloaded, checked and converted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from dac.datasets import convert, d4rl, folder
from dac.rows.raw import RawDataset
from dac.study import datasets_lock, store
from dac.study.catalog import d4rl_file, environment_of, known_returns
from dac.study.identity import Dataset
from dac.study.sources import d4rl_path
from dac.system.errors import UserError


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """The rows, and the sha256 of the file; one that was not converted yet is converted first."""
    _convert(dataset)
    return folder.load(dataset.path), dataset.file_sha256


def fetch(dataset: Dataset, mirrors: Sequence[str] | None) -> None:
    """Download the file and convert it, as far as that was not done; what is there is compared with its note."""
    if store.folder_problem(dataset):
        download(dataset.name, mirrors)
    _convert(dataset)
    folder.load(dataset.path)


def identify(name: str, mirrors: Sequence[str] | None) -> None:
    """Download a file whose sha256 nobody has published, unless datasets.lock has it: its identity is its own."""
    if d4rl_file(name).sha256 is None and not datasets_lock.entry(f"d4rl:{name}"):
        download(name, mirrors)


def place(dataset: Dataset, mirrors: Sequence[str] | None) -> str:
    """The file itself if it is here, else the first folder that has it, or the first address to ask."""
    path = d4rl_path(dataset.name)
    return str(path) if path.is_file() else d4rl.nearest(d4rl_file(dataset.name), mirrors)


def download(name: str, mirrors: Sequence[str] | None) -> None:
    """Download one of D4RL's files and check it; one without a published sha256 is recorded in datasets.lock.

    Raises:
        UserError: an unknown id, or no address gives the file.
    """
    file, path = d4rl_file(name), d4rl_path(name)
    known = datasets_lock.entry(f"d4rl:{name}").get("sha256")
    if file.sha256:
        d4rl.fetch(file, path, mirrors)
        return
    try:
        d4rl.fetch(dataclasses.replace(file, sha256=known), path, mirrors)
    except UserError as error:
        if known is None:
            raise
        raise UserError(
            f"{error}\nNo sha256 is published for {name}: the expected one is that of the file that was fetched "
            f"first, from {datasets_lock.LOCK_FILE}. If that one was wrong, delete the entry d4rl:{name} in it "
            "and fetch again: the runs on it are made anew."
        ) from error
    datasets_lock.locked_file(f"d4rl:{name}", path, published=True)


def _convert(dataset: Dataset) -> None:
    convert.convert_once(dataset, d4rl_path(dataset.name), lambda: origin(dataset.name))


def origin(name: str) -> convert.Origin:
    """What is published about a file."""
    return convert.Origin(environment_of(name), known_returns(name), d4rl_file(name).url)
