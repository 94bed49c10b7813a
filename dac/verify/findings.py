"""What is compared, what is found wrong, and how it is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dac.system.files import absence
from dac.system.hashing import sha256_of

State = Literal["damaged", "missing", "left over"]

_SHOWN = 12  # digits of a sha256


@dataclass(frozen=True)
class Cure:
    """How a file is made again.

    Attributes:
        command: does it; None where none can.
        delete: whether the file has to go first: a look at sizes alone does not see that it is damaged.
        advice: a sentence, where a command is not all.
        by_dvc: whether DVC may have it.
    """

    command: str | None = None
    delete: bool = False
    advice: str | None = None
    by_dvc: bool = False


@dataclass(frozen=True)
class Finding:
    """A file that is not as recorded, or that no record has."""

    path: Path
    state: State
    said: str
    cure: Cure = Cure()

    def __str__(self) -> str:
        return f"{self.path}: {self.state}: {self.said}"


@dataclass(frozen=True)
class Recorded:
    """A file of which something is recorded; `problem` looks at it, and says what is wrong with its contents."""

    path: Path
    problem: Callable[[], str | None]
    cure: Cure

    @property
    def size(self) -> int:
        """Bytes on the disk, for the progress bar; 0 where there is no such file."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def compare(self) -> Finding | None:
        """What is wrong with it, None if nothing is."""
        try:
            if missing := absence(self.path):
                state: State = "missing" if missing == "no such file" else "damaged"
                return Finding(self.path, state, missing, self.cure)
            problem = self.problem()
        except OSError as error:
            problem = f"not readable ({error.strerror or error})"
        return Finding(self.path, "damaged", problem, self.cure) if problem else None


def recorded(path: Path, entry: dict[str, Any], cure: Cure) -> Recorded:
    """A file with its size, if that is known, and its sha256, or the first digits of it."""
    return Recorded(path, partial(_differs, path, entry.get("size"), str(entry["sha256"])), cure)


def _differs(path: Path, size: int | None, sha256: str) -> str | None:
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found} bytes, recorded are {size}"
    digest = sha256_of(path)
    if digest.startswith(sha256):
        return None
    return f"its sha256 is {digest[:_SHOWN]}…, recorded is {sha256[:_SHOWN]}…"


Looked = Recorded | Finding
