"""What may happen to a file on a disk."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path) -> None:
    """One bit in the middle is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    """The end is missing."""
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    """All is missing."""
    path.write_bytes(b"")


def make_unreadable(path: Path) -> None:
    """There is something else in its place that is no file."""
    path.unlink()
    path.symlink_to("/")
