"""A command on a terminal of its own, as a user sees it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CTRL_C = b"\x03"


def on_terminal(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    typed: Callable[[str], bytes | None] = lambda _: None,
    size: tuple[int, int] = (80, 24),
) -> tuple[int, str]:
    """Run a command that a terminal controls.

    Args:
        seconds: after which it is killed, and the test fails.
        typed: told all that was shown whenever something is, says what is typed then.
        size: columns and lines.

    Returns: exit status and all that was shown, with its control sequences.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        columns, lines = map(str, size)
        os.execvpe(command[0], list(command), {**environment, "TERM": "xterm", "COLUMNS": columns, "LINES": lines})
    shown, until = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # Linux's end of a terminal
                piece = b""
            if not piece:
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()
            shown += piece
            if keys := typed(shown.decode(errors="replace")):
                os.write(terminal, keys)
    finally:
        os.close(terminal)  # ends what still runs there
    raise subprocess.TimeoutExpired(command, seconds, shown)


def once(keys: bytes, when: str) -> Callable[[str], bytes | None]:
    """For `typed`: these keys, one time, when a text is shown."""
    left = [keys]
    return lambda shown: left.pop() if left and when in shown else None
