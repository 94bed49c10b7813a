"""A study while somebody kills its processes at random moments: Snakemake or DVC, and every job that they start.

After each kill of the tool itself the documented command is started again at once, while jobs of the one before may
still run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import reliability
from processes import alive, all_gone, children
from project import TIMEOUT, TOOLS, Project, copy_of, environment

from dac.system import files

pytestmark = [pytest.mark.workflow, pytest.mark.soak]

COMMANDS = {
    "snakemake": ["snakemake", "mini", "--cores", "2", "--show-failed-logs"],
    "dvc": ["dvc", "repro"],
}
KILLS = 8  # at least; `make soak` goes on for some minutes
PAUSE = (0.3, 4.0)  # seconds between two kills
JOBS_SHARE = 0.7  # of the kills, where jobs run
STARTS = 40  # of the command at most after the last kill: jobs of killed ones are waited for


class Adversary:
    """Kills one process after another among those that a command has started.

    Attributes:
        kills: how many, by what the process was. sessions: of the commands that were started.
    """

    def __init__(self, project: Project, command: list[str], seed: int) -> None:
        self.kills: dict[str, int] = {}
        self.sessions: list[int] = []
        self._project = project
        self._command = command
        self._random = random.Random(seed)

    def torment(self, until: float) -> None:
        """Start the command again and again, and kill so many processes, and until a time."""
        while not self._satisfied(until):
            process = self.start()
            while process.poll() is None and not self._satisfied(until):
                try:
                    process.wait(self._random.uniform(*PAUSE))
                except subprocess.TimeoutExpired:
                    self._kill_one(process.pid)
            if process.poll() is None:
                self._kill(process.pid)
                process.wait(TIMEOUT)

    def _satisfied(self, until: float) -> bool:
        return sum(self.kills.values()) >= KILLS and time.monotonic() >= until

    def start(self) -> subprocess.Popen[bytes]:
        """The command; if DVC would refuse it, since a kill tore its note of who reads and writes, what mends that."""
        note = self._project.path / ".dvc/tmp/rwlock"
        if self._command[0] == "dvc" and note.exists() and files.read_json(note) is None:
            self._project.run("dac", "record")
        with (self._project.path / "storm.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=self._project.path, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.sessions.append(process.pid)
        return process

    def _kill_one(self, root: int) -> None:
        found = [root]
        for pid in found:
            with contextlib.suppress(OSError):  # it ended this moment
                found += children(pid)
        jobs = [pid for pid in found if name_of(pid).startswith("dac ")]
        self._kill(self._random.choice(jobs if jobs and self._random.random() < JOBS_SHARE else found))

    def _kill(self, pid: int) -> None:
        what = name_of(pid)
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
            self.kills[what] = self.kills.get(what, 0) + 1


def name_of(pid: int) -> str:
    """What a process is: `snakemake`, `dvc`, `dac train`, or a shell between them."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return "a process that had ended"
    if "-m" not in words:
        return "a shell or `tee`"
    module, *arguments = words[words.index("-m") + 1 :]
    return f"{module} {arguments[0]}" if module == "dac" else module


@pytest.mark.parametrize("tool", TOOLS)
def test_a_study_through_a_storm(base: Project, tmp_path: Path, tool: str) -> None:
    """It ends with the files of an undisturbed one, byte for byte, and nothing is left to do or to clean up."""
    project = copy_of(base, tmp_path / "project")
    for folder in (project.path / "results/runs/replay").glob("soft-H2-lcb0.25-*"):  # of another rho
        shutil.rmtree(folder)
    expected = results(project)
    for name in ("results/runs", "results/datasets", "results/mini", "work"):
        shutil.rmtree(project.path / name)
    adversary = Adversary(project, COMMANDS[tool], seed=20)
    adversary.torment(time.monotonic() + 60 * reliability.minutes(0))
    started = time.monotonic()
    log = project.path / "storm.log"
    for _ in range(STARTS):
        if adversary.start().wait(TIMEOUT) == 0:
            break
        time.sleep(0.5)
    else:
        pytest.fail(f"no end after {adversary.kills}:\n{log.read_text()[-5000:]}")
    seconds = time.monotonic() - started
    assert all_gone(processes_of(adversary.sessions))
    assert results(project) == expected
    log.unlink()
    project.assert_settled()
    left = [path for path in (project.path / "work").iterdir() if not_empty(path)]
    assert sorted(path.name for path in left) == ["journal.jsonl", "sha256.json"]
    for what, count in adversary.kills.items():
        reliability.record(
            "kill",
            f"SIGKILL at a random moment of {what}, in a study made with {tool}",
            "the same command goes on; the study ends with the same bytes, and nothing is to be cleaned up",
            recovery_s=seconds,
            count=count,
        )


def results(project: Project) -> dict[str, str]:
    """sha256 of what a study makes, but for what says when and how long."""
    files = [*project.path.glob("results/runs/**/*"), *project.path.glob("results/datasets/*/data/**/*")]
    files += project.path.glob("results/mini/tables/*.csv")
    return {
        str(path.relative_to(project.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and path.stem != "provenance"
    }


def processes_of(sessions: list[int]) -> list[int]:
    """The processes of some sessions that are there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = int(path.read_text().rpartition(")")[2].split()[3])
        except OSError:
            continue
        found += [int(path.parent.name)] if session in sessions else []
    return found


def not_empty(path: Path) -> bool:
    return path.is_file() or any(inner.is_file() for inner in path.rglob("*"))
