"""Locks between processes, which the kernel releases however a process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TextIO

from dac.system.errors import UserError

LOG = logging.getLogger(__name__)
MOUNTS = Path("/proc/mounts")
# Options of mounted file systems, by kind, with which flock holds for the processes of one machine alone.
ALONE = {"lustre": {"localflock"}, "nfs": {"local_lock=flock", "local_lock=all", "nolock"}}

POLL_SECONDS = 0.3  # between two looks at a lock that another process holds
REMIND_SECONDS = 600.0  # between two sentences of a process that waits
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # of flock, where there is none


@contextlib.contextmanager
def lock(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold an exclusive lock (flock) on a file; the kernel releases it however the process ends.

    The file says who holds it, and is gone afterwards: one that is there and free is of a process that was killed.

    Args:
        path: the lock file, made if missing.
        waiting: called with a sentence if another process holds the lock: at first, and every ten minutes.

    Raises:
        UserError: the file system has no such locks.
    """
    warn_if_alone(path.parent)
    started, reminded = time.monotonic(), -REMIND_SECONDS
    while (stream := attempt(path)) is None:
        waited = time.monotonic() - started
        if waited - reminded >= REMIND_SECONDS:
            so_far = f", for {waited / 60:.0f} minutes now" if waited >= REMIND_SECONDS else ""
            waiting(f"waiting for {holder(path)}, which holds {path}{so_far}")
            reminded = waited
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        release(stream, path)


def attempt(path: Path) -> TextIO | None:
    """Take a lock if it is free; returns what `release` wants, None if another process holds it.

    Raises:
        UserError: the file system has no such locks.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            stream = path.open("a+")
        except FileNotFoundError:  # its holder has removed it, or the folder, this moment
            continue
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            return None
        except OSError as error:
            stream.close()
            raise _refused(path, error) from error
        if _is_at(stream, path):
            with contextlib.suppress(OSError):  # a full disk takes no words, but the lock is held
                os.ftruncate(stream.fileno(), 0)
                os.pwrite(stream.fileno(), _self_description().encode(), 0)
            return stream
        stream.close()  # the file that its last holder has removed


def release(stream: TextIO, path: Path) -> None:
    """Give a lock back that `attempt` took. Its file goes while it is still held, so that nobody else's does."""
    if _is_at(stream, path):
        path.unlink()
    stream.close()


def holder(path: Path) -> str:
    """Who holds a lock, in words: `process 4711 on host since 2026-11-29 20:15:00 (dac train ...)`."""
    try:
        with path.open(errors="replace") as stream:
            text = stream.read(500)
    except OSError:
        text = ""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split()) or "another process"


def _self_description() -> str:
    program = Path(sys.argv[0])
    command = " ".join([program.parent.name if program.name == "__main__.py" else program.name, *sys.argv[1:]])
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()} since {now} ({command[:200]})"


def _is_at(stream: TextIO, path: Path) -> bool:
    """Whether an open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _refused(path: Path, error: OSError) -> OSError | UserError:
    if error.errno not in NO_LOCKS:
        return error
    return UserError(
        f"{path}: this file system has no locks (flock: {error.strerror}), so two processes might write the same run. "
        "Mount it with them (Lustre: `-o flock`; NFS: version 4, or 3 with lockd), or, where one machine alone works "
        "on this project, have work/ on a disk of that machine: `ln -s /disk/folder work`. docs/cluster.md has how to "
        "try it."
    )


@cache
def warn_if_alone(folder: Path) -> None:
    """Say, once in a process, that locks in a folder do not hold for other machines, where its mount says so."""
    try:
        mounted = _mounted_at(folder.resolve(), MOUNTS.read_text(errors="replace"))
    except OSError:  # no such list, as on macOS
        return
    if mounted is None:
        return
    place, kind, options = mounted
    if found := sorted(ALONE.get(kind.rstrip("34"), set()) & set(options.split(","))):
        LOG.warning(
            "%s: %s is mounted with %s, so locks hold on this machine alone: do not work on this project on another at "
            "the same time, or mount it with locks (docs/cluster.md)",
            folder, place, found[0],
        )  # fmt: skip


def _mounted_at(path: Path, mounts: str) -> tuple[str, str, str] | None:
    """Place, kind and options of the file system that a path is on, of a list as /proc/mounts is."""
    found = None
    for line in mounts.splitlines():
        fields = [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field) for field in line.split(" ")]
        if len(fields) < 4 or not path.is_relative_to(fields[1]):
            continue
        if found is None or len(fields[1]) >= len(found[0]):  # a later one is mounted over an earlier one
            found = fields[1], fields[2], fields[3]
    return found


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
