"""Files in D4RL's HDF5 layout: reading and downloading."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dac.datasets.catalog import D4RLFile
from dac.datasets.lock import sha256_of
from dac.datasets.transitions import RawDataset
from dac.errors import UserError

KEYS = ("observations", "actions", "rewards", "terminals", "timeouts")
_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 60.0


def read(path: Path) -> RawDataset:
    """Read an HDF5 file in D4RL's layout.

    The file has the datasets `observations` (n, O), `actions` (n, A), `rewards` (n,), `terminals` (n,) and
    `timeouts` (n,); whatever else it holds is ignored.

    Raises:
        UserError: no such file, not HDF5, a missing key, disagreeing shapes, or numbers that are not finite.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Get it with `dac fetch`, or correct the path in params.yaml.")
    try:
        with h5py.File(path, "r") as file:
            arrays = {key: _array(path, file, key) for key in KEYS}
    except OSError as error:
        raise UserError(f"{path}: not readable as HDF5 ({error}). Delete it and fetch it again.") from error
    _check_shapes(path, arrays)
    _check_finite(path, arrays)
    return RawDataset(
        observations=arrays["observations"].astype(np.float32, copy=False),
        actions=arrays["actions"].astype(np.float32, copy=False),
        rewards=arrays["rewards"].astype(np.float32, copy=False),
        terminals=arrays["terminals"].astype(np.bool_, copy=False),
        timeouts=arrays["timeouts"].astype(np.bool_, copy=False),
    )


def _array(path: Path, file: h5py.File, key: str) -> NDArray[np.generic]:
    dataset = file.get(key)
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(
            f"{path}: the key {key!r} is missing; found {', '.join(sorted(file)) or 'no keys'}. "
            f"D4RL's layout needs {', '.join(KEYS)}: without them the ends of episodes are unknown."
        )
    array: NDArray[np.generic] = np.asarray(dataset)
    # Some of D4RL's files hold rewards and flags as a column.
    is_column = array.ndim == 2 and array.shape[1] == 1
    return array[:, 0] if is_column and key in KEYS[2:] else array


def _check_shapes(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    for key, array in arrays.items():
        expected = 2 if key in ("observations", "actions") else 1
        if array.ndim != expected:
            raise UserError(f"{path}: {key} has shape {array.shape}; {expected} axes are expected.")
    lengths = {key: len(array) for key, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise UserError(f"{path}: the numbers of rows disagree: {found}. All must be equal; repair the file.")


def _check_finite(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    for key in ("observations", "actions", "rewards"):
        finite = np.isfinite(arrays[key])
        if not finite.all():
            bad = np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1))
            raise UserError(
                f"{path}: {key} has NaN or infinity in {len(bad)} rows, the first is row {bad[0]}. "
                f"Repair the file or leave out those episodes."
            )


def fetch(file: D4RLFile, destination: Path) -> str:
    """Download one of D4RL's files, check it, and put it in place in one step.

    A file that is already at `destination` is only checked. A file that fails the check is set aside as
    `<name>.bad`, so that `destination` never holds a wrong or partial file.

    Returns:
        the sha256 of the file, in hex.

    Raises:
        UserError: the server cannot be reached, or size or sha256 are not those of the catalog.
    """
    if destination.is_file():
        digest = sha256_of(destination)
        _verify(file, destination, destination, digest)
        return digest
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        digest = _download(file, temporary)
        _verify(file, temporary, destination, digest)
        temporary.replace(destination)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"{file.id}: downloading {file.url} to {destination} failed ({error}). Check the network and the "
            f"space on the disk and run it again, or put the file there by hand: it is checked before use."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _download(file: D4RLFile, path: Path) -> str:
    digest = hashlib.sha256()
    request = urllib.request.Request(file.url, headers={"User-Agent": "dac"})
    bar = tqdm(total=file.size, unit="B", unit_scale=True, desc=file.id, disable=None)
    answer = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    with answer as response, path.open("wb") as stream, bar:
        while block := response.read(_BLOCK):
            stream.write(block)
            digest.update(block)
            bar.update(len(block))
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _verify(file: D4RLFile, path: Path, destination: Path, digest: str) -> None:
    """Compare with the catalog; on a difference move `path` aside, beside `destination`."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        problem = f"it has {size} bytes, the catalog says {file.size}"
    elif file.sha256 is not None and digest != file.sha256:
        problem = f"its sha256 is {digest}, the catalog says {file.sha256}"
    else:
        return
    aside = destination.with_name(f"{destination.name}.bad")
    path.replace(aside)
    raise UserError(f"{file.id} from {file.url}: {problem}. It is kept as {aside}; fetch it again.")
