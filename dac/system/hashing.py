"""The sha256 of files, remembered where a file has not changed since it was last read."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from dac.system import temporaries
from dac.system.paths import HASHES

# A file that was written this shortly before it was read may change again within one tick of its time stamp, unseen.
_SETTLED_NS = 2_000_000_000


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class KnownHashes:
    """The sha256 of files by path, size, times of change and inode: read again only where one of these has changed.

    What was read is kept in work/sha256.json from `save` on. A processor's or a disk's error that changes no time stamp
    is not seen; `sha256_of` sees it.
    """

    def __init__(self) -> None:
        self._known = _read()
        self._new: dict[str, dict[str, Any]] = {}

    def sha256(self, path: Path) -> str:
        """The sha256 of a file's bytes, in hex.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        before = path.stat()
        # A program may set back the first of the times, not the second.
        stamp = [before.st_size, before.st_mtime_ns, before.st_ino, before.st_ctime_ns]
        entry = self._known.get(str(path), {})
        if entry.get("stamp") == stamp:
            return str(entry["sha256"])
        digest = sha256_of(path)
        if time.time_ns() - before.st_mtime_ns > _SETTLED_NS:
            self._known[str(path)] = self._new[str(path)] = {"stamp": stamp, "sha256": digest}
        return digest

    def save(self) -> None:
        """Keep what was read since the last call; of two processes that save at once, one is forgotten."""
        if not self._new:
            return
        HASHES.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporaries.beside(HASHES)
        temporary.write_text(json.dumps({**_read(), **self._new}, sort_keys=True) + "\n")
        temporary.replace(HASHES)
        self._new = {}


def _read() -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(HASHES.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}  # it is a memory: what it lacks is read again
    entries = content.items() if isinstance(content, dict) else ()
    return {path: entry for path, entry in entries if isinstance(entry, dict) and isinstance(entry.get("sha256"), str)}
