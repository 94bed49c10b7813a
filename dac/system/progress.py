"""How far the jobs of a project are: a small file per process, which `dac watch` reads.

A job's process announces itself, its bars write how far they are about once a second, and the file goes at its end.
Nothing depends on these files: one that cannot be written, or that a killed process left, costs nobody anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dac.system.paths import PROGRESS
from dac.system.temporaries import is_gone

SECONDS = 1.0  # between two writes; a rename a second costs no training anything, on a network disk neither


@dataclass
class Progress:
    """What a job tells of itself.

    Attributes:
        name: for people. job: its marker under work/todo/, where it has one (`dac.study.jobs`).
        reference: returns that are scores 0 and 100, where they are known.
        done, total: in units of `unit`, "step" or "B" say; a total of 0 is not known yet.
        speed: units per second, lately.
        mean_return: of the last evaluation, None before one.
    """

    name: str
    reference: tuple[float, float] | None = None
    done: int = 0
    total: int = 0
    unit: str = ""
    speed: float = 0.0
    mean_return: float | None = None
    job: str = ""

    @property
    def result(self) -> str:
        """The last evaluation in words: its score, or its return where no reference is known."""
        if self.mean_return is None:
            return ""
        if self.reference is None:
            return f"return {self.mean_return:.1f}"
        low, high = self.reference
        return f"score {100 * (self.mean_return - low) / (high - low):.1f}"


def path_of(pid: int) -> Path:
    """The file of a process of this machine; other machines may share the folder."""
    return PROGRESS / f"{socket.gethostname()}.{pid}.json"


@contextlib.contextmanager
def announced(name: str, reference: tuple[float, float] | None = None, job: str = "") -> Iterator[None]:
    """Within the block this process is a job that `dac watch` shows, see `Progress`."""
    with contextlib.suppress(OSError):  # a disk that takes nothing is told of by what the job itself writes there
        PROGRESS.mkdir(parents=True, exist_ok=True)
        _write(Progress(name, reference, job=job))
        running(Path())  # what killed jobs left goes
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path_of(os.getpid()).unlink(missing_ok=True)


def running(project: Path, since: float = 0.0) -> list[Progress]:
    """What the jobs of a project's folder last told, by name; the files of processes that are gone are removed.

    Args:
        since: files that were last written before this time, in seconds since the epoch, are left out.
    """
    found = []
    for path in (project / PROGRESS).glob("*.*"):
        try:
            if _gone(path):
                path.unlink(missing_ok=True)
            elif path.suffix == ".json" and path.stat().st_mtime >= since:
                found.append(_read(path))
        except (OSError, ValueError, TypeError):  # it ended this moment, or is no such file
            continue
    return sorted(found, key=lambda progress: progress.name)


class Bar(tqdm):  # type: ignore[type-arg] # not subscriptable when it runs
    """A progress bar on a terminal; in a job that is announced, also what `dac watch` shows of it.

    Takes tqdm's arguments.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._count = arguments.get("initial", 0)
        self._told_at, self._told = time.monotonic(), self._count
        self._progress: Progress | None = None
        with contextlib.suppress(OSError, ValueError, TypeError):  # no job
            self._progress = _read(path_of(os.getpid()))
            self._progress.total = arguments.get("total") or 0
            self._progress.unit = arguments["unit"]
            self._progress.done = self._count
            _write(self._progress)

    def update(self, n: float | None = 1) -> bool | None:
        """As tqdm's. Here and not in a thread, so it shows what was done, not that time passes."""
        self._count += n or 0
        if self._progress is not None and time.monotonic() - self._told_at >= SECONDS:
            self._tell(self._progress)
        return super().update(n)

    def evaluated(self, mean_return: float) -> None:
        """Show the mean return of an evaluation from now on."""
        self.set_postfix_str(f"return {mean_return:.1f}", refresh=False)
        if self._progress is not None:
            self._progress.mean_return = mean_return

    def _tell(self, progress: Progress) -> None:
        now = time.monotonic()
        speed = (self._count - self._told) / (now - self._told_at)
        # Half of what it was: a checkpoint or an evaluation in between is no other speed.
        progress.speed = (progress.speed + speed) / 2 if progress.speed else speed
        progress.done, self._told, self._told_at = int(self._count), self._count, now
        try:
            _write(progress)
        except OSError:
            self._progress = None  # as in `announced`


def _read(path: Path) -> Progress:
    content = json.loads(path.read_text())
    if content.get("reference") is not None:
        content["reference"] = tuple(content["reference"])
    return Progress(**content)


def _write(progress: Progress) -> None:
    """In one piece, but without waiting for the disk: after a crash nobody asks for it."""
    path = path_of(os.getpid())
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(progress)))
    new.replace(path)


def _gone(path: Path) -> bool:
    """Whether the process of a file has ended."""
    host, _, pid = path.stem.rpartition(".")
    return is_gone(host, int(pid))
