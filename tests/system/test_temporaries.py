from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from tiny import Project

from dac.system import files, temporaries

HOST = socket.gethostname()


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_processes_left_beside_a_file_goes_when_it_is_written(project: Project) -> None:
    Path("store").mkdir()
    pid = dead_pid()
    left = Path(f"store/.run[1].json.{HOST}.{pid}.tmp")
    others = [
        Path(f"store/.run[1].json.{HOST}.{os.getppid()}.tmp"),  # of a process that lives
        Path(f"store/.run[1].json.other.box.{pid}.tmp"),  # of another machine
        Path(f"store/.run1.json.{HOST}.{pid}.tmp"),  # of another file
    ]
    for path in (left, *others):
        path.touch()
    files.write_text(Path("store/run[1].json"), "{}")
    assert set(Path("store").iterdir()) == {Path("store/run[1].json"), *others}


def test_whether_a_process_is_gone() -> None:
    assert temporaries.is_gone(HOST, dead_pid())
    assert not temporaries.is_gone(HOST, os.getpid())
    assert not temporaries.is_gone(HOST, 1)
    assert not temporaries.is_gone("other", dead_pid())
