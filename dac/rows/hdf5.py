"""HDF5 files that others made: other kinds are named, failures explained, and contents in other files refused.

A file's sha256 covers the file alone. HDF5 can take contents from other files (external links and storage, virtual
datasets), which would change unseen, and come out as zeros where they are gone.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5l, h5z
from numpy.typing import NDArray

from dac.system.errors import UserError
from dac.system.files import absence

_HEAD_BYTES = 512

# How files of other kinds begin, at which byte, and what to do about it. The order counts.
_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a git-LFS pointer and not the file that it stands for; `git lfs pull` gets that"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it first"),
    (0, b"BZh", "a bzip2 archive; unpack it first"),
    (0, b"\xfd7zXZ\x00", "an xz archive; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
    *((0, b"PK" + next_bytes, "a zip archive; unpack it first") for next_bytes in (b"\x03\x04", b"\x05\x06")),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (0, b"\x04\x22\x4d\x18", "an lz4 archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (0, b"\x93NUMPY", "a NumPy array (.npy); write its arrays as HDF5"),
    (0, b"PAR1", "a Parquet table; write its columns as HDF5"),
    (0, b"ARROW1", "an Arrow table; write its columns as HDF5"),
    (0, b"\x0e\x03\x13\x01", "an HDF4 file; `h4toh5` makes it HDF5"),
    (0, b"SQLite format 3", "an SQLite database; write its columns as HDF5"),
    (8, b'{"', "a safetensors file; write its arrays as HDF5"),
    (0, b"MATLAB 5.0", "a MATLAB file before version 7.3; write its arrays as HDF5"),
    (0, b"CDF\x01", "a NetCDF 3 file; write its arrays as HDF5"),
    (0, b"CDF\x02", "a NetCDF 3 file; write its arrays as HDF5"),
    (0, b"%PDF", "a PDF document"),
    *(
        (0, b"\x80" + bytes([protocol]), "a Python pickle, which could run any program; write its arrays as HDF5")
        for protocol in range(2, 6)
    ),
)

# The same of texts, whose beginning may be blank, in small letters.
_TEXTS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "an HTML page and not HDF5: an error page, or a proxy's"),
    (b"<html", "an HTML page and not HDF5: an error page, or a proxy's"),
    (b"<?xml", "XML and not HDF5: perhaps a server's answer about an error"),
    (b"{", "text (JSON) and not HDF5: perhaps a server's answer about an error"),
    (b"/annex/objects/", "a git-annex pointer and not the file that it stands for; `git annex get` gets that"),
    (b"outs:", "a DVC file and not the one that it stands for; `dvc pull` gets that"),
)

# What the HDF5 library and the system say of a file that cannot be opened or read, and what that means.
_CAUSES: tuple[tuple[str, str], ...] = (
    ("unable to lock file", "another program holds it open for writing. Let that end (or stop it) and run it again."),
    (
        "already open for write",
        "it is marked as open for writing. If a program still writes to it, let that end; if that was killed, "
        "`h5clear -s` on the file (of the HDF5 tools; keep a copy) clears the mark. Then run it again.",
    ),
    ("ermission denied", "it may not be read (permission denied). Correct the permissions and run it again."),
    ("truncated file", "not readable as HDF5 (it is truncated). Copy or fetch the whole file again."),
)

# A file of a few kB may declare any number of values, which are zeros until they are written. None of HDF5's usual
# filters makes more than so many bytes of one; below the least, nobody is harmed.
_EXPANSION = 1100
_LEAST_BYTES = 100_000_000

# Links within a file may point to links; one that leads back to itself would not end.
_LINK_HOPS = 16


class _Elsewhere(Exception):  # noqa: N818 - it becomes a UserError where the file is known
    """What is at a key is not in this file; the message says how."""


def foreign(path: Path) -> str | None:
    """What a file is that is not HDF5, for people, by its first bytes; None where it is HDF5 or of no known kind."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head:
        return "empty"
    if head.startswith(b"PK\x03\x04") and b".npy" in head:
        return "a NumPy archive (.npz); write its arrays as HDF5"
    if head.startswith(b"PK\x03\x04") and b"/data.pkl" in head:
        return "a PyTorch file, which could run any program; write its tensors as HDF5"
    text = head.lstrip().lower()
    found = [kind for start, magic, kind in _KINDS if head[start:].startswith(magic)]
    found += [kind for beginning, kind in _TEXTS if text.startswith(beginning)]
    # HDF5 itself may begin with a block of the user's, of any kind.
    return found[0] if found and not h5py.is_hdf5(path) else None


def _unknown(path: Path) -> str:
    """What can be said of a file that is neither HDF5 nor of a known kind."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head.strip(b"\0"):
        return "it begins with zeros: a copy or a download that did not end. Get it again."
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        line = head.decode().strip().partition("\n")[0].strip()
        return f"it is a text that begins with {line[:40]!r}. Give another file."
    return "it is something else, or was never closed. Give another file."


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; also what fails while it is read is explained by its cause.

    Raises:
        UserError: it is not HDF5, not whole, not closed, held by a writer, or may not be read; names what to do.
    """
    try:
        if missing := absence(path):
            raise UserError(f"{path}: {missing}. Get it with `dac fetch`, or correct the path in params.yaml.")
        if kind := foreign(path):
            raise UserError(f"{path}: it is {kind}. HDF5 is expected here; give another file.")
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        unknown = "signature not found" in str(error)
        said = f"not readable as HDF5: {_unknown(path)}" if unknown else _explained(error)
        raise UserError(f"{path}: {said}") from error
    except (RuntimeError, KeyError) as error:  # h5py's, of an object that is damaged
        text = " ".join(str(error).split())
        raise UserError(f"{path}: it is damaged ({text}). Restore it from a copy, or from where you got it.") from error
    except _Elsewhere as error:
        raise UserError(
            f"{path}: {error}. Its sha256 would not cover that: all contents must be in the file. Copy them into one "
            "file, for example with h5py: for each key, target[key] = source[key][()]."
        ) from None


def _explained(error: OSError) -> str:
    """The cause of an error of the HDF5 library or the system, and what to do: never to delete it."""
    text = " ".join(str(error).split())
    if "unable to lock file" in text and error.errno not in (errno.EAGAIN, errno.EACCES):
        return (
            f"its file system does not lock files ({text}). If no program writes to it, set "
            "HDF5_USE_FILE_LOCKING=FALSE and run it again."
        )
    said = (advice for sign, advice in _CAUSES if sign in text)
    return next(said, f"not readable as HDF5 ({text}). Restore the file from a copy, or from where you got it.")


def find(group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset | None:
    """What is at a key below a group (or a file), None if nothing is; no other file is opened on the way.

    Raises:
        UserError: in `opened`: it is in another file, or its values are.
    """
    found = _follow(group, key, _LINK_HOPS)
    if isinstance(found, h5py.Dataset):
        settings = found.id.get_create_plist()
        if settings.get_layout() == h5d.VIRTUAL:
            raise _Elsewhere(f"{found.name} is a virtual dataset, whose values are in other files")
        if settings.get_external_count():
            raise _Elsewhere(f"the values of {found.name} are in external storage ({found.external[0][0]})")
        if settings.get_nfilters():
            _check_filters(found, settings)
        _check_size(found)
    return found


def names(group: h5py.Group) -> list[str]:
    """What is in a group, sorted; of a damaged one a name may be none."""
    return sorted(str(name) for name in group)


def _follow(group: h5py.Group, path: str, hops: int) -> h5py.Group | h5py.Dataset | h5py.Datatype | None:
    """Walk a path link by link, so that an external link is seen before it is followed."""
    found: h5py.Group | h5py.Dataset | h5py.Datatype | None = group["/"] if path.startswith("/") else group
    for part in filter(None, path.split("/")):
        name = part.encode()
        if not isinstance(found, h5py.Group) or not found.id.links.exists(name):
            return None
        kind = found.id.links.get_info(name).type
        if kind == h5l.TYPE_EXTERNAL:
            other = found.id.links.get_val(name)[0].decode(errors="replace")
            raise _Elsewhere(f"{found.name.rstrip('/')}/{part} is an external link, into {other}")
        if kind == h5l.TYPE_SOFT:
            if hops == 0:
                return None
            found = _follow(found, found.id.links.get_val(name).decode(errors="replace"), hops - 1)
        else:
            found = found[part]
    return found


def _check_filters(dataset: h5py.Dataset, settings: h5py.h5p.PropDCID) -> None:
    for index in range(settings.get_nfilters()):
        number, _, _, name = settings.get_filter(index)
        if not h5z.filter_avail(number):
            shown = name.decode(errors="replace").split(";")[0].strip()
            raise UserError(
                f"{dataset.file.filename}: {dataset.name} is compressed by the filter {number} ({shown or 'unnamed'}), "
                "which is not installed here. Install it (HDF5_PLUGIN_PATH names its folder), or write the file again "
                "with gzip: `h5repack -f GZIP=4` where the filter is."
            )


def _check_size(dataset: h5py.Dataset) -> None:
    """Refuse values that were never written or do not fit into memory, before any memory is taken for them."""
    path = dataset.file.filename
    try:
        dtype = dataset.dtype
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{path}: {dataset.name} holds values of a type that NumPy lacks ({error}); allowed are real numbers. "
            "Convert them."
        ) from None
    # A chunk is read as a whole, and may be larger than the array that it is of.
    declared = max(dataset.size or 0, math.prod(dataset.chunks or (0,))) * dtype.itemsize
    there = Path(path).stat().st_size
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if declared > max(_LEAST_BYTES, _EXPANSION * there):
        raise UserError(
            f"{path}: {dataset.name} declares an array of shape {dataset.shape}, {declared / 1e9:.4g} GB to read, in a "
            f"file of {there:,} bytes: most of it was never written. Write the file again, with the rows there are."
        )
    if declared > memory:
        raise UserError(
            f"{path}: {dataset.name} has {declared / 1e9:.4g} GB, this machine {memory / 1e9:.4g} GB of memory, in "
            "which all rows must fit. Use a machine with more, or write fewer rows."
        )


def numbers(dataset: h5py.Dataset) -> NDArray[np.generic]:
    """The values of a dataset.

    Raises:
        UserError: they are no real numbers, or there are none.
    """
    if dataset.dtype.kind not in "biuf":
        raise UserError(
            f"{dataset.file.filename}: {dataset.name} holds {dataset.dtype}; allowed are real numbers. Convert them."
        )
    if dataset.shape is None:
        raise UserError(f"{dataset.file.filename}: {dataset.name} was made without values. Write them, a row per step.")
    return np.asarray(dataset)


def text(dataset: h5py.Dataset) -> str | None:
    """The text in a dataset of one; None where it holds something else."""
    if dataset.size != 1 or dataset.dtype.kind not in "SO" or h5py.check_ref_dtype(dataset.dtype):
        return None
    value = np.asarray(dataset).reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None
