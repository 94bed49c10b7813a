"""NVIDIA's Multi-Process Service (MPS): kernels of several processes at the same time on one GPU.

A process uses it if it finds the pipe of a running daemon when it first opens the GPU. Nothing here starts or ends that
daemon.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PIPES = "CUDA_MPS_PIPE_DIRECTORY"  # of the daemon's pipes, for the daemon and its clients
DEFAULT = Path("/tmp/nvidia-mps")
NOWHERE = "/dev/null"  # holds no pipe


def control() -> Path | None:
    """The pipe by which a process of this one's environment finds the daemon; None where there is none.

    A daemon that was killed leaves its pipe.
    """
    pipe = Path(os.environ.get(PIPES) or DEFAULT) / "control"
    return pipe if pipe.exists() else None


@contextlib.contextmanager
def avoided() -> Iterator[None]:
    """In the block, processes that are started find no daemon."""
    before = os.environ.get(PIPES)
    os.environ[PIPES] = NOWHERE
    try:
        yield
    finally:
        if before is None:
            del os.environ[PIPES]
        else:
            os.environ[PIPES] = before
