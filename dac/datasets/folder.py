"""A dataset's folder: `data/`, a Minari dataset, or `rows.hdf5` of very many episodes (`flat`), and `dataset.json`,
what it is and the hash of its contents.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dac.datasets import flat, minari
from dac.rows.raw import RawDataset, content_hash, episode_returns, statistics
from dac.system import locks, paths
from dac.system.errors import UserError
from dac.system.files import file_entry

LOG = logging.getLogger(__name__)

DESCRIPTION_FILE = "dataset.json"
_EPISODE_BYTES = 16_000  # what an episode of Minari's takes on the disk besides its arrays, measured on recordings


def lock(directory: Path) -> AbstractContextManager[None]:
    """Held while the folder is made: by one process at a time."""
    return locks.lock(paths.LOCKS / f"dataset-{directory.name}", LOG.info)


def publish(
    directory: Path,
    fill: Callable[[Path], None],
    description: Mapping[str, Any],
    size: float = 0.0,
    expected: str | None = None,
) -> dict[str, Any]:
    """Make the folder, complete or not at all; one that is there is moved to work/replaced.

    Args:
        fill: puts `data/` or `rows.hdf5` into the folder that it is given.
        description: what `dataset.json` says besides the contents' hash, statistics, files and, of at most
            `flat.MOST_GROUPS` episodes, their returns.
        size: bytes on the disk, as `size_on_disk` has it. The HDF5 library ends the process when a disk is full, so
            that is looked at before.
        expected: `content_hash` of the rows that were read, checked and are to be trained on.

    Returns:
        what `dataset.json` holds.

    Raises:
        UserError: `fill` made no dataset of vectors, or of other rows than expected, or the disk does not take it.
    """
    try:
        _make_room(directory, size)
    except OSError as error:
        raise _not_written(directory, error) from error
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        fill(temporary)
        raw = _read(temporary)
        digest, counts, returns = content_hash(raw), statistics(raw), episode_returns(raw)
        if expected not in (None, digest):
            raise UserError(
                f"{directory}: the rows in it would have the content hash {digest[:12]}…, but those that were read and "
                f"checked have {str(expected)[:12]}…: they changed in between. Run it again when nothing writes there."
            )
        content = {
            **description,
            "sha256": digest,
            **counts,
            **({"episode_returns": returns.tolist()} if len(returns) <= flat.MOST_GROUPS else {}),
            "files": {name: file_entry(temporary / name) for name in _files(temporary)},
        }
        (temporary / DESCRIPTION_FILE).write_text(json.dumps(content, indent=2) + "\n")
        if directory.exists():
            _keep(directory)
        temporary.rename(directory)
    except OSError as error:
        raise _not_written(directory, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return content


def _read(directory: Path) -> RawDataset:
    return flat.read(directory) if flat.holds(directory) else minari.read(directory)


def _keep(directory: Path) -> None:
    """Move a folder that is to be replaced out of the way: what was put there by hand may be the only copy."""
    numbers = itertools.count(1)
    kept = next(path for number in numbers if not (path := paths.REPLACED / f"{directory.name}.{number}").exists())
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(directory, kept)
    LOG.warning("%s: made again; what was there is kept as %s", directory, kept)


def _make_room(directory: Path, size: float) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    for left in directory.parent.glob(f".{directory.name}.*"):  # of a process that was killed
        shutil.rmtree(left)
    free = shutil.disk_usage(directory.parent).free
    if free < size:
        raise UserError(
            f"{directory}: {size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free. Nothing was "
            "written. Make room and run it again."
        )


def _not_written(directory: Path, error: OSError) -> UserError:
    return UserError(
        f"{directory}: not written: {error}. Nothing of it was kept. Make room or correct the permissions, and run "
        "it again."
    )


def size_on_disk(arrays: int, episodes: int) -> float:
    """Bytes that a dataset takes, from those of its arrays and its number of episodes; an upper estimate."""
    return 1.1 * arrays + _EPISODE_BYTES * (episodes if episodes <= flat.MOST_GROUPS else 1)


def _files(directory: Path) -> list[str]:
    data = directory / "data"  # may be a link, which rglob would not enter
    found = sorted(f"data/{path.relative_to(data)}" for path in data.rglob("*") if path.is_file())
    return [*found, flat.FILE] if flat.holds(directory) else found


def load(directory: Path) -> RawDataset:
    """Read the folder's rows and check them against the recorded hash.

    Raises:
        UserError: the folder is not complete, or its contents have changed.
    """
    description = describe(directory)
    raw = _read(directory)
    found, noted = content_hash(raw), description.get("sha256")
    if found != noted:
        data = directory / "data"
        if data.is_symlink() and not flat.holds(directory):
            raise UserError(
                f"{data.resolve()}: its rows have the content hash {found[:12]}…, but had {str(noted)[:12]}… when it "
                "was fetched, so they were changed or damaged since. Put the earlier copy back; or move "
                f"{directory}, which is a note and a link to it, away and `dac fetch` it: that compares it with "
                "datasets.lock and says how to go on."
            )
        raise UserError(
            f"{directory}: the data have the content hash {found}, but {DESCRIPTION_FILE} records {noted}. They were "
            "changed or damaged; move the folder away and make it again (snakemake does, or `dac fetch`)."
        )
    return raw


def describe(directory: Path) -> dict[str, Any]:
    """The folder's `dataset.json`.

    Raises:
        UserError: it is missing or not readable.
    """
    path = directory / DESCRIPTION_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not readable ({error}). Move the folder away and make it again (snakemake does, or `dac fetch`)."
        ) from error
    return content
