"""Names of files that are being written, and the removal of those that killed processes left."""

from __future__ import annotations

import glob
import os
import socket
from pathlib import Path


def beside(path: Path) -> Path:
    """A name for what this process writes before it takes the place of `path`; those left there are removed.

    Files of processes that live are left alone, and of other machines, where that is not known.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        host, _, pid = left.name.removesuffix(".tmp").removeprefix(f".{path.name}.").rpartition(".")
        if pid.isdigit() and is_gone(host, int(pid)):
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")


def is_gone(host: str, pid: int) -> bool:
    """Whether a process has ended; of other machines that is not known."""
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        return False
    return False
