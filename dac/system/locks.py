"""Locks between processes, which the kernel releases however a process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


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
