"""datasets.lock: facts of data that no catalog has, committed so that a clone without the data can plan.

An entry has the `sha256`: of the file for `file:` datasets and the few D4RL files without a published checksum, where
it is the dataset's identity, and of the contents for `minari:`, which are compared with it. A file's entry also has its
`env`, from `metadata/env_id`; a Minari dataset's its `reference_returns` where no catalog has them. It is written when
the data are first seen; from then on the lock counts.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dac.errors import UserError
from dac.hashing import sha256_of
from dac.locking import lock

LOCK_FILE = Path("datasets.lock")


def entry(dataset: str) -> dict[str, Any]:
    """What is recorded of a dataset; nothing if it was not seen yet."""
    return _read().get(dataset, {})


def locked_file(dataset: str, path: Path | None = None) -> dict[str, Any]:
    """What is recorded of a dataset that is a file; on first sight it is read off `path` and recorded.

    Raises:
        UserError: it is not recorded, and there is no file to read it off; or the lock is not readable.
    """
    if found := entry(dataset):
        return found
    if path is None or not path.is_file():
        if path is None:
            where, how = "no checksum is published for it", f"`dac fetch {dataset.partition(':')[2]}` gets it"
        else:
            where, how = f"there is no file {path}", "Put the file in place or correct the path in params.yaml"
        raise UserError(
            f"dataset {dataset}: {LOCK_FILE} has no entry for it and {where}. {how}; or restore {LOCK_FILE}, if it was "
            "committed."
        )
    from dac.datasets import d4rl  # HDF5: only where a file is read

    env = d4rl.env_id(path)
    return record(dataset, {"sha256": sha256_of(path), **({"env": env} if env else {})})


def record(dataset: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Write one entry into datasets.lock, atomically and one process at a time; returns it."""
    with lock(Path("work/locks/datasets.lock"), waiting=lambda _: None):
        _write({**_read(), dataset: facts})
    return facts


def forget(dataset: str) -> None:
    """Delete the entry of a dataset whose contents turned out to be unusable: it will be repaired, and so another."""
    with lock(Path("work/locks/datasets.lock"), waiting=lambda _: None):
        locked = _read()
        if locked.pop(dataset, None) is not None:
            _write(locked)


def _write(locked: dict[str, dict[str, Any]]) -> None:
    temporary = LOCK_FILE.with_suffix(f".lock.{os.getpid()}")
    temporary.write_text(json.dumps(locked, indent=2, sort_keys=True) + "\n")
    temporary.replace(LOCK_FILE)


def _read() -> dict[str, dict[str, Any]]:
    if not LOCK_FILE.is_file():
        return {}
    try:
        content = json.loads(LOCK_FILE.read_text())
    except ValueError as error:
        raise UserError(f"{LOCK_FILE}: not readable as JSON ({error}); restore it from git.") from None
    if not isinstance(content, dict) or not all(isinstance(facts, dict | str) for facts in content.values()):
        raise UserError(f"{LOCK_FILE}: not a JSON object of datasets and their facts; restore it from git.")
    # An entry was once the sha256 alone.
    return {name: {"sha256": facts} if isinstance(facts, str) else facts for name, facts in content.items()}
