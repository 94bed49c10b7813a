"""Locks between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny import Project

from dac.system import locks

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from dac.system import locks
with locks.lock(Path(sys.argv[1]), waiting=print):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that holds a lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("ending", ["orderly", "killed"])
def test_a_lock_waits_for_its_holder_however_that_ends(ending: str, project: Project) -> None:
    path = Path("work/lock")
    holder = hold(path)
    said: list[str] = []
    waiting, held = threading.Event(), threading.Event()

    def say(sentence: str) -> None:
        said.append(sentence)
        waiting.set()

    def take() -> None:
        with locks.lock(path, say):
            held.set()

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    assert waiting.wait(60)
    assert said == [f"waiting for process {holder.pid}, which holds {path}"]
    assert not held.wait(0.2)
    if ending == "killed":
        os.kill(holder.pid, signal.SIGKILL)
    holder.communicate(timeout=60)
    assert held.wait(60)
    taker.join(60)
    assert path.read_text() == str(os.getpid())


def test_a_lock_that_is_free_is_taken_at_once(project: Project) -> None:
    said: list[str] = []
    for _ in range(2):
        with locks.lock(Path("lock"), said.append):
            assert Path("lock").read_text() == str(os.getpid())
    assert said == []
