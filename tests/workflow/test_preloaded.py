"""The `python` of `quick_python` is one to its caller: what it runs, where, and how that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import all_gone
from project import TIMEOUT, Project

pytestmark = pytest.mark.workflow

TELLING = """
import json, os, sys
found = {"folder": os.getcwd(), "arguments": sys.argv[1:], "loaded": "torch" in sys.modules, "X": os.environ["X"]}
print(json.dumps({**found, "name": __name__, "executable": sys.executable, "input": sys.stdin.read()}))
sys.exit("said at the end")
"""
ENDS = {
    "nothing more to do": ("", 0),
    "a status": ("import sys; sys.exit(7)", 7),
    "an error": ("1 / 0", 1),
    "a signal": ("import os; os.kill(os.getpid(), 15)", 128 + 15),
}


@pytest.fixture
def project(quick_python: Path, tmp_path: Path) -> Project:
    return Project(tmp_path, quick_python)


def test_a_module_runs_as_its_caller_says(project: Project) -> None:
    (project.path / "telling.py").write_text(TELLING)
    command = [project.python, "-m", "telling", "a b", "--c"]
    variables = {**os.environ, "X": "1"}
    done = subprocess.run(
        command,
        cwd=project.path,
        env=variables,
        input="in",
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "said at the end\n")
    assert json.loads(done.stdout) == {
        "folder": str(project.path), "arguments": ["a b", "--c"], "loaded": True, "X": "1",
        "name": "__main__", "executable": str(project.python), "input": "in",
    }  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_as_the_module_does(project: Project, end: str) -> None:
    code, status = ENDS[end]
    (project.path / "ending.py").write_text(code)
    assert project.run("ending")[0] == status


def test_what_is_no_module_is_the_real_ones(project: Project) -> None:
    real = subprocess.check_output([project.python, "-c", "import sys; print(sys.executable)"], text=True)
    assert real == f"{sys.executable}\n"


def test_it_is_killed_with_its_caller(project: Project) -> None:
    (project.path / "waiting.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    caller = project.start("waiting")
    assert caller.stdout is not None
    pid = int(caller.stdout.readline())
    assert pid != caller.pid
    os.killpg(caller.pid, signal.SIGKILL)
    caller.wait(TIMEOUT)
    caller.stdout.close()
    assert all_gone([pid])
