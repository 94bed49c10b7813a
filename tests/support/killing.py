"""Processes that are killed before one of their file operations: between a file and its rename, say, or in a removal.

A fork of a process that has imported the program is ready in milliseconds, so a storm of kills costs little.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

PRELOADED = [  # by the server that processes are forked from, since it costs more than what they do
    "tests.test_storm",
    "dac.datasets.convert",
    "dac.datasets.sources.file",
    "gymnasium.envs.mujoco.inverted_pendulum_v5",
    "minari.dataset._storages.hdf5_storage",
    "dvc.repo.plots",
    "dvc.rwlock",
    "dvc.scm",
]
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")  # as Python's audit calls them
SECONDS = 900.0  # for a process that nobody kills, on a machine that has much else to do


@dataclass
class Storm:
    """Kills processes at random operations, and starts them again until one ends by itself.

    Args:
        seed: of the choice.

    Attributes:
        kills: so far. longest: seconds that the slowest process after a kill took to its end.
    """

    seed: int
    kills: int = 0
    longest: float = 0.0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def finish(self, operations: int, act: Callable[..., None], *arguments: Any) -> None:
        """Have `act` done in this folder, through kills before one of so many file operations each."""
        for attempt in range(50):
            # The chance to come through grows, so that it ends.
            at = self._random.randint(1, operations * (1 + attempt // 4))
            started = time.monotonic()
            if ended(at, act, *arguments) == 0:
                self.longest = max(self.longest, time.monotonic() - started) if attempt else self.longest
                return
            self.kills += 1
        raise AssertionError(f"killed 50 times and not at its end: {act.__name__}")


def operations_of(act: Callable[..., None], *arguments: Any) -> int:
    """File operations that `act` makes in this folder when nothing disturbs it."""
    note = Path("operations")
    assert ended(0, act, *arguments) == 0
    count = int(note.read_text())
    note.unlink()
    return count


def ended(at: int, act: Callable[..., None], *arguments: Any) -> int:
    """Have `act` done in a process that is killed before its operation number `at`, with 0 never; its exit code.

    Raises:
        AssertionError: it ended neither well nor by that kill, or did not end at all.
    """
    _start_server()
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_main, args=(Path.cwd(), at, act, arguments))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode in (0, -signal.SIGKILL), f"{act.__name__}{arguments} ended with {process.exitcode}"
    return process.exitcode


def _start_server() -> None:
    """Have a process to fork from, which has imported all that its forks need, from where this one imports it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()


def _main(folder: Path, at: int, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.chdir(folder)
    count = 0

    def audit(event: str, details: tuple[Any, ...]) -> None:
        nonlocal count
        if event in CHANGES or (event == "open" and _writes(*details)):
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    act(*arguments)
    if at == 0:
        Path("operations").write_text(str(count))


def _writes(path: Any, mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) and str(path) != os.devnull
