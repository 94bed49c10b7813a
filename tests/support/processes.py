"""Processes beside a test: one that holds something, and which are alive."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def holding(program: str, what: str) -> subprocess.Popen[str]:
    """A process that holds something until its input ends; it does already, since the program has printed `held`."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_gone(pids: Iterable[int], seconds: float = 60.0) -> bool:
    """Whether all of them end within some seconds."""
    pids, until = list(pids), time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(alive(pid) for pid in pids)


def process_of(pid: int) -> BaseProcess:
    """One of the processes that this one started by multiprocessing; it says how it ended when it has."""
    return next(process for process in multiprocessing.active_children() if process.pid == pid)


def children(pid: int) -> list[int]:
    """Numbers of a process's children, but for the tracker and the server of processes that multiprocessing keeps."""
    # Each is a child of the thread that started it.
    found = [one for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]
    kept = ("resource_tracker", "multiprocessing.forkserver")
    commands = {int(one): Path(f"/proc/{one}/cmdline").read_text() for one in found}
    return [one for one, command in commands.items() if not any(name in command for name in kept)]
