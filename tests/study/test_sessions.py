"""Sessions of Snakemake: each has its own markers, and what dead ones left is removed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from processes import holding
from tiny import Project

from dac.study import sessions

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from dac.study import sessions
with sessions.held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def start(session: str) -> subprocess.Popen[str]:
    """A process that holds a session until its input ends."""
    return holding(HOLD, session)


def mark(session: str) -> Path:
    path = sessions.folder_of(session) / "train/hopper/soft/0"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_session_leaves_nothing(project: Project) -> None:
    session = sessions.new()
    assert not Path("work").exists()
    with sessions.held(session) as others:
        assert others == []
        assert mark(session).exists()
    assert list(Path("work/todo").iterdir()) == []


def test_a_living_session_is_named_and_left_alone_and_a_dead_one_removed(project: Project) -> None:
    living, dead = start("aaaaaa"), start("bbbbbb")
    marked, lost = mark("aaaaaa"), mark("bbbbbb")
    before = Path("work/todo/train")  # where markers were before there were sessions
    before.mkdir()
    os.kill(dead.pid, signal.SIGKILL)
    dead.communicate(timeout=60)
    with sessions.held("cccccc") as others:
        (other,) = others
        assert f"process {living.pid} on " in other
        assert marked.exists()
        assert not lost.exists()
        assert not before.exists()
        assert not sessions.remove_dead()
    living.communicate(timeout=60)
    assert list(Path("work/todo").iterdir()) == []
