"""Files that are there whole or not at all, and what is recorded of them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dac.system import temporaries
from dac.system.errors import UserError
from dac.system.hashing import sha256_of

# What the system says of a disk or a folder that takes nothing.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def expanded(path: str | Path) -> Path:
    """A path that a user wrote, with `~` as the home folder; as it stands where nobody has such a home."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, synced to the disk, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporaries.beside(path)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Find out whether a folder takes files before long work depends on it; it need not be there yet.

    Raises:
        UserError: it does not.
    """
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as stream:
            stream.write(b"probe")
    except OSError as error:
        raise UserError(
            f"{folder}: nothing can be written there ({error.strerror}), and what is made now would go there. Correct "
            "the permissions, make room or mount it writable, and start again; nothing was begun."
        ) from error


def absence(path: Path) -> str | None:
    """Why there is no file at a path, None if there is one.

    Raises:
        OSError: the folders above it cannot be looked at.
    """
    if path.is_file():
        return None
    if path.is_dir():
        return "a folder, where a file is expected"
    if path.is_symlink():
        return f"a link to {path.readlink()}, which is not there"
    return "neither a file nor a folder" if path.exists() else "no such file"


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse a file, or a folder with its files, that is written to or replaced while the block reads it.

    So what is hashed in the block is what is read in it.

    Raises:
        UserError: at the end of the block, also in the place of what such a file made fail in it.
    """
    before = _states(path)
    try:
        yield
    except UserError:
        _refuse_changes(before, _states(path))
        raise
    _refuse_changes(before, _states(path))


def _refuse_changes(before: dict[Path, tuple[int, ...]], now: dict[Path, tuple[int, ...]]) -> None:
    changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    if changed:
        raise UserError(f"{changed[0]}: it changed while it was read. Run it again when nothing writes to it.")


def _states(path: Path) -> dict[Path, tuple[int, ...]]:
    """What tells that a file is the same with the same contents, of all files that are there."""
    files = [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]
    states: dict[Path, tuple[int, ...]] = {}
    for found in files:
        with contextlib.suppress(OSError):  # gone, or not to be read: whoever reads it says so
            status = found.stat()
            states[found] = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return states


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk: a file that is synced may still lose its new name in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no such file or it holds something else.

    Raises:
        UserError: the permissions, or the disk, do not let it be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise UserError(f"{path}: it may not be read ({error}). Correct the permissions and run it again.") from None
    return content if isinstance(content, dict) else None


def file_entry(path: Path) -> dict[str, Any]:
    """Size in bytes and sha256 of a file."""
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def has_size(path: Path, entry: Any) -> bool:
    """Whether a file is there and as large as an entry, see `file_entry`, says."""
    try:
        return bool(path.stat().st_size == entry["size"])
    except (OSError, KeyError, TypeError):
        return False
