"""The markers of one Snakemake: in a folder of its own, so that of two at once none takes the other's for its own.

    work/todo/<session>/<step>/...      markers, see `pending`
    work/todo/<session>/owner           locked by its Snakemake as long as that lives

Snakemake's own lock is not used: it stays after a SIGKILL until someone removes it by hand. What must not be done twice
at once has a lock of this program's: each run's training, each of its evaluations, each dataset, each page.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from dac.system import locks
from dac.system.paths import TODO

_OWNER = "owner"


def new() -> str:
    """A name for a session that no other has; nothing is written for it."""
    while (TODO / (name := secrets.token_hex(3))).exists():
        pass
    return name


@contextlib.contextmanager
def held(session: str) -> Iterator[list[str]]:
    """Hold a session while its jobs run; its markers are removed at the end, and now those of processes that are gone.

    Yields:
        who holds the other sessions of this folder, in words.
    """
    remove_dead()
    others = [locks.holder(folder / _OWNER) for folder in _folders() if folder.name != session]
    with locks.lock(TODO / session / _OWNER, waiting=lambda _: None):
        try:
            yield others
        finally:
            shutil.rmtree(TODO / session, ignore_errors=True)


def remove_dead() -> bool:
    """Remove the markers of processes that were killed; whether there were any."""
    found = False
    for folder in _folders():
        stream = locks.attempt(folder / _OWNER)
        if stream is not None:
            shutil.rmtree(folder, ignore_errors=True)
            stream.close()
            found = True
    return found


def _folders() -> list[Path]:
    return sorted(path for path in TODO.glob("*") if path.is_dir())


def folder_of(session: str) -> Path:
    """Where a session's markers are."""
    return TODO / session
