"""datasets.lock: facts of data that no catalog has, committed so that a clone without the data can plan.

An entry has the `sha256`: of the file for `file:` datasets and the few D4RL files without a published checksum, where
it is the dataset's identity, and of the contents for `minari:`, which are compared with it. A file's entry also has its
`env`, from `metadata/env_id`; a Minari dataset's its `reference_returns` where no catalog has them, and its
`evaluation_env`, a fingerprint of the environment that it recovers: its rewards are not in the rows. It is written when
the data were first read, all of them; from then on the lock counts, and whoever plans with a file that is here and
another is told so.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from dac.system.errors import UserError
from dac.system.files import absence, unchanged
from dac.system.hashing import KnownHashes
from dac.system.locks import lock
from dac.system.paths import LOCKS

LOCK_FILE = Path("datasets.lock")


def entry(dataset: str) -> dict[str, Any]:
    """What is recorded of a dataset; nothing if it was not seen yet."""
    return _read().get(dataset, {})


def locked_file(dataset: str, path: Path | None = None, *, published: bool = False) -> dict[str, Any]:
    """What is recorded of a dataset that is a file; on first sight it is read off `path` and recorded.

    Recorded is only what was read to its end and can be trained on: whatever is wrong with a file or its reading leaves
    no entry, and no entry is ever taken back.

    Args:
        path: where the file is if it is on this machine; it is then compared with what is recorded.
        published: whether it is taken as it is (`checks.read`).

    Raises:
        UserError: it is not recorded, and there is no file to read it off or it is not usable; it is another file than
            the recorded one; or the lock is not readable.
    """
    here = path is not None and _is_file(path)
    if found := entry(dataset):
        if not isinstance(found.get("sha256"), str):
            raise UserError(f"{LOCK_FILE}: the entry of {dataset} has no sha256; restore {LOCK_FILE} from git.")
        if path is not None and here:
            compare(dataset, path, _known_sha256(path), found["sha256"])
        return found
    if path is not None and here:
        return record(dataset, _facts(path, published))
    if path is None:
        where, how = "no checksum is published for it", f"`dac fetch {dataset.partition(':')[2]}` gets it"
    else:
        instead = f" but {absence(path)}" if path.exists() or path.is_symlink() else ""
        where, how = f"there is no file {path}{instead}", "Put the file in place or correct the path in params.yaml"
    raise UserError(
        f"dataset {dataset}: {LOCK_FILE} has no entry for it and {where}. {how}; or restore {LOCK_FILE}, if it was "
        "committed."
    )


def compare_if_here(dataset: str, path: Path, expected: str) -> None:
    """`compare` for a file that need not be on this machine."""
    if _is_file(path):
        compare(dataset, path, _known_sha256(path), expected)


def compare(dataset: str, path: Path, found: str, expected: str) -> None:
    """Refuse a file with another sha256 than the one that its runs were planned with.

    Raises:
        UserError: says how to go on.
    """
    if found == expected:
        return
    from dac.rows import hdf5  # HDF5: only where a file is looked at

    kind = hdf5.foreign(path)
    start = f"{path}: {f'it is {kind}; ' if kind else ''}its sha256 is {found[:12]}…, but {dataset} is {expected[:12]}…"
    if not entry(dataset):
        raise UserError(
            f"{start} (the catalog's): it is not the published file, on which runs are trained. Move it away; "
            f"`dac fetch {dataset.partition(':')[2]}` gets the right one."
        )
    raise UserError(
        f"{start} ({LOCK_FILE}'s): it is not the file that runs on it were trained on, or planned with. Put the old "
        f"file back; or, if the data changed on purpose, delete its entry in {LOCK_FILE} and start again: the runs on "
        "it are made anew."
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: it may not be read ({error}). Correct the permissions and run it again.")


def _known_sha256(path: Path) -> str:
    known = KnownHashes()
    try:
        digest = known.sha256(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    with contextlib.suppress(OSError):  # a memory, which a full disk or a folder of somebody else's may not take
        known.save()
    return digest


def _facts(path: Path, published: bool) -> dict[str, Any]:
    """What is recorded of a file, once its contents are known to be usable."""
    from dac.rows import checks, layout  # HDF5: only where a file is read

    with unchanged(path):
        checks.read(path, published=published)
        env = layout.env_id(path)
        digest = _known_sha256(path)
    return {"sha256": digest, **({"env": env} if env else {})}


def record(dataset: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Write one entry into datasets.lock, atomically and one process at a time; returns it.

    Raises:
        UserError: the disk does not take it; the file is as it was.
    """
    with lock(LOCKS / "datasets.lock", waiting=lambda _: None):
        _write({**_read(), dataset: facts})
    return facts


def _write(locked: dict[str, dict[str, Any]]) -> None:
    temporary = LOCK_FILE.with_suffix(f".lock.{os.getpid()}")
    try:
        with temporary.open("w") as stream:
            stream.write(json.dumps(locked, indent=2, sort_keys=True) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(LOCK_FILE)
    except OSError as error:
        raise UserError(
            f"{LOCK_FILE}: not written: {error}. It is as it was. Make room or correct the permissions, and go on."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _read() -> dict[str, dict[str, Any]]:
    if not LOCK_FILE.is_file():
        return {}
    try:
        content = json.loads(LOCK_FILE.read_text())
    except OSError as error:
        raise _unreadable(LOCK_FILE, error) from None
    except ValueError as error:
        raise UserError(f"{LOCK_FILE}: not readable as JSON ({error}); restore it from git.") from None
    if not isinstance(content, dict) or not all(isinstance(facts, dict | str) for facts in content.values()):
        raise UserError(f"{LOCK_FILE}: not a JSON object of datasets and their facts; restore it from git.")
    # An entry was once the sha256 alone.
    return {name: {"sha256": facts} if isinstance(facts, str) else facts for name, facts in content.items()}
