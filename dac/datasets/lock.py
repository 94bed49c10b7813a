"""datasets.lock: the sha256 of files whose checksum no one has published, committed so that a clone can plan.

For `file:` datasets and the few D4RL files without a published checksum, the sha256 is the dataset's identity. It
is read off the file when the file is first seen, and written to datasets.lock; from then on the lock counts.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from dac.errors import UserError

LOCK_FILE = Path("datasets.lock")


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def locked_sha256(dataset: str, path: Path | None = None) -> str:
    """The recorded sha256 of `dataset`; on first sight it is taken from `path` and recorded.

    Raises:
        UserError: it is not recorded, and there is no file to take it from; or the lock is not readable.
    """
    locked = _read()
    if dataset in locked:
        return locked[dataset]
    if path is None or not path.is_file():
        where = "no checksum is published for it" if path is None else f"there is no file {path}"
        raise UserError(
            f"dataset {dataset}: {LOCK_FILE} has no entry for it and {where}. Put the file in place (for D4RL: "
            f"`dac fetch {dataset.partition(':')[2]}`), or restore {LOCK_FILE} from git."
        )
    return record_sha256(dataset, sha256_of(path))


def record_sha256(dataset: str, digest: str) -> str:
    """Write one entry into datasets.lock, atomically; returns the digest."""
    locked = {**_read(), dataset: digest}
    temporary = LOCK_FILE.with_suffix(f".lock.{os.getpid()}")
    temporary.write_text(json.dumps(locked, indent=2, sort_keys=True) + "\n")
    temporary.replace(LOCK_FILE)
    return digest


def _read() -> dict[str, str]:
    if not LOCK_FILE.is_file():
        return {}
    try:
        content = json.loads(LOCK_FILE.read_text())
    except ValueError as error:
        raise UserError(f"{LOCK_FILE}: not readable as JSON ({error}); restore it from git.") from None
    if not isinstance(content, dict):
        raise UserError(f"{LOCK_FILE}: not a JSON object of datasets and their sha256; restore it from git.")
    return {str(key): str(value) for key, value in content.items()}
