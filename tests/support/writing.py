"""Programs that hold files open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def writer(code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has a.hdf5 open and says so."""
    command = [sys.executable, "-c", f"import h5py, sys, time\n{code}\nprint('open', flush=True)\nsys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()
