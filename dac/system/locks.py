"""Locks between processes, which the kernel releases however a process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from dac.system.errors import UserError


@contextlib.contextmanager
def lock(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold an exclusive lock (flock) on a file; the kernel releases it however the process ends.

    Args:
        path: the lock file, made if missing.
        waiting: called with a sentence if another process holds the lock, before waiting for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            waiting(f"waiting for process {stream.read().strip() or '?'}, which holds {path}")
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def shared(path: Path) -> TextIO:
    """Wait for an exclusive lock that all users of this machine share; it is held until what is returned is closed.

    Raises:
        UserError: the file, or its folder, is another user's and cannot be opened.
    """
    stream = _shared_file(path)
    fcntl.flock(stream, fcntl.LOCK_EX)
    return stream


def try_shared(path: Path) -> TextIO | None:
    """`shared`, but None where another process holds the lock; the file then says which one does.

    Raises:
        UserError: as `shared`.
    """
    stream = _shared_file(path)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    stream.truncate(0)
    stream.write(f"process {os.getpid()} of user {os.getuid()}\n")
    stream.flush()
    return stream


def _shared_file(path: Path) -> TextIO:
    """A file that every user of this machine may write to, made if missing; so may its folder be."""
    try:
        if not path.parent.exists():
            _make_shared_folder(path.parent)
        if not path.exists():
            _make_shared_file(path)
        # Without O_CREAT: Linux refuses that for another user's file in a folder with the sticky bit.
        return os.fdopen(os.open(path, os.O_RDWR), "r+")
    except PermissionError as error:
        raise UserError(
            f"{path}: {error.strerror}. All users of this machine share this lock: its owner must allow that with "
            f"`chmod 1777 {path.parent}` and `chmod 666 {path}`, or delete {path.parent}."
        ) from None


def _make_shared_folder(folder: Path) -> None:
    """As /tmp is: anybody makes files in it, nobody removes another's. It appears with its permissions."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    made.chmod(0o1777)  # whatever the umask
    try:
        made.rename(folder)
    except OSError:  # another process was faster
        made.rmdir()


def _make_shared_file(path: Path) -> None:
    """It appears with its permissions: under a strict umask nobody else could open it before they are set."""
    descriptor, made = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(descriptor)
    try:
        Path(made).chmod(0o666)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(made, path)
    finally:
        Path(made).unlink()
