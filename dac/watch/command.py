"""A live display of a project's jobs on a terminal: of those that a command starts, or of whatever runs.

The command writes to a log instead of the terminal; what it says of jobs is read there, how far they are from the files
of `dac.system.progress`. It stays in the terminal's process group, so that Ctrl-C reaches it and its jobs as it always
does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from dac.system import durations, progress, signals
from dac.system.errors import UserError
from dac.system.paths import WATCH_LOGS
from dac.watch.snakemake_log import SnakemakeLog

LOOK_SECONDS = 0.5
PATIENCE = 3.0  # seconds without a display: a command may have nothing to do, or find an error, or plan for long


def watch(command: Sequence[str]) -> int:
    """Show the jobs of a command while it runs; without a command, those that run in this folder, until Ctrl-C.

    Without a terminal the command takes this process's place, and prints as if it were called alone.

    Returns:
        the command's exit status, 128 + n where signal n ended it.

    Raises:
        UserError: there is no such command.
    """
    if not command:
        return _watch_folder()
    if shutil.which(command[0]) is None:
        raise UserError(
            f"dac watch: found {command[0]!r}, which is no program here; allowed is a command with its arguments, for "
            "example `dac watch snakemake quick --cores all`."
        )
    if not on_terminal():
        os.execvp(command[0], list(command))
    folder = project_of(command)
    log = folder / WATCH_LOGS / f"{time.strftime('%Y-%m-%dT%H%M%S')}-{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    with _outlived(child) as stopping, contextlib.closing(SnakemakeLog(log, folder)) as said:
        return _follow(child, said, folder, stopping)


def project_of(command: Sequence[str]) -> Path:
    """The folder that a command works in: Snakemake's `--directory`, else this one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--directory", "-d", type=Path, default=Path())
    folder: Path = parser.parse_known_args(list(command))[0].directory
    return folder


def on_terminal() -> bool:
    """Whether lines can be drawn over."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextlib.contextmanager
def _outlived(child: subprocess.Popen[bytes]) -> Iterator[Callable[[], bool]]:
    """Within the block signals end the command, and the display with it; yields whether one came.

    SIGTERM is passed on. A terminal sends SIGINT and SIGQUIT to the command by itself.
    """
    came = []

    def handle(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        if signum == signal.SIGTERM:
            child.send_signal(signum)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(child: subprocess.Popen[bytes], said: SnakemakeLog, folder: Path, stopping: Callable[[], bool]) -> int:
    """Display until the command ends; what has no jobs is printed as it is.

    Returns: the exit status.
    """
    started = time.time()
    while not _ends(child) and not said.read().total and time.time() - started < PATIENCE:
        pass
    if child.returncode is None:
        _display(child, said, folder, started, stopping)
    status = child.returncode if child.returncode >= 0 else 128 - child.returncode
    if not said.read().total:
        sys.stdout.write(said.path.read_text(errors="replace"))
    else:
        print(*_news(said, stopping()), _conclusion(said, time.time() - started, status, stopping()), sep="\n")
    return status


def _ends(child: subprocess.Popen[bytes]) -> bool:
    """Whether the command ends within the time between two looks."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(LOOK_SECONDS)
    return child.returncode is not None


def _display(
    child: subprocess.Popen[bytes], said: SnakemakeLog, folder: Path, started: float, stopping: Callable[[], bool]
) -> None:
    from dac.watch.screen import Display

    with Display() as display:
        while not _ends(child):
            for line in _news(said, stopping()):
                display.say(line)
            jobs = f"{said.done} of {said.total} jobs" if said.total else "planning"
            state = ", stopping, states are saved" if stopping() else ""
            heading = f"{jobs}, {durations.clock(time.time() - started)}{state}"
            display.draw(progress.running(folder, since=started), heading, said.done / max(1, said.total))


def _news(said: SnakemakeLog, stopping: bool) -> list[str]:
    """What Snakemake said since the last time; of jobs that end because the user wants it, not that they failed."""
    failed, remarks = said.read().take_news()
    return remarks if stopping else [*failed, *remarks]


def _conclusion(said: SnakemakeLog, seconds: float, status: int, stopped: bool) -> str:
    did = f"{said.done} of {said.total} jobs in {durations.clock(seconds)}"
    if status:
        how = "Stopped" if stopped else f"Ended with status {status}"
        did = f"{how} after {did}. The same command goes on from there"
    return f"{did}. All lines: {said.path}"


def _watch_folder() -> int:
    """Show what runs here until Ctrl-C; without a terminal, once."""
    from dac.watch.screen import Display, cells

    nothing = "Nothing runs in this project."
    if not on_terminal():
        lines = ["  ".join(filter(None, cells(job))) for job in progress.running(Path())]
        print("\n".join(lines) or nothing)
        return 0
    with signals.until_ctrl_c(), Display() as display:
        while True:
            jobs = progress.running(Path())
            display.draw(jobs, f"{len(jobs)} running, Ctrl-C ends this display alone" if jobs else nothing)
            time.sleep(LOOK_SECONDS)
    return 0
