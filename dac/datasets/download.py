"""Downloads that survive cut connections: resumed, checked, and put in place in one step."""

from __future__ import annotations

import errno
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dac.rows import hdf5
from dac.system import locks, paths
from dac.system.errors import UserError
from dac.system.hashing import sha256_of
from dac.system.progress import Bar

LOG = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
# Attempts in a row that bring nothing; an attempt that brings something starts the count anew.
ATTEMPTS = 3
PAUSE_SECONDS = 2.0
_BLOCK = 1 << 20

# What is wrong with the contents of a file, None if nothing is.
Check = Callable[[Path], str | None]


class _Unusable(Exception):  # noqa: N818 - it ends one address, not the program
    """An address gave no usable file; the message says why."""


@dataclass(frozen=True)
class _Wanted:
    """What a file must be: size in bytes, sha256 in hex, and what a look at its contents finds; None where unknown."""

    size: int | None
    sha256: str | None
    check: Check | None


def download(
    name: str,
    addresses: Sequence[str],
    destination: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    check: Check | None = None,
) -> str:
    """Download a file from the first of several addresses that gives the right one.

    What has arrived lies in `.<name>.part` beside the destination and is resumed (HTTP range), also by a later call; a
    second process that wants the same file waits for the first. A file that fails the check is kept as `<name>.bad`, so
    that `destination` never holds a wrong or partial file. One that is there already is only checked.

    Args:
        name: for messages. addresses: http, https or file, tried in this order.
        size: in bytes, sha256: in hex; None where no one has published it.
        check: looks at the contents before the file is put in place.

    Returns:
        The sha256 of the file, in hex.

    Raises:
        UserError: no address gave the right file, or it cannot be written; the message has every address's problem.
    """
    wanted = _Wanted(size, sha256, check)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with locks.lock(paths.LOCKS / f"download-{destination.name}", LOG.info):
        if destination.is_file():
            try:
                digest, problem = _check(destination, wanted)
            except OSError as error:
                raise UserError(f"{destination}: it cannot be read: {error}. Correct the permissions.") from None
            if problem:
                aside = _set_aside(destination, destination)
                raise UserError(f"{name}: {destination}: {problem}. It is kept as {aside}; fetch it again.")
            return digest
        problems = []
        for address in addresses:
            try:
                return _from_address(address, destination, name, wanted)
            except _Unusable as error:
                LOG.info("%s: %s: %s", name, address, error)
                problems.append(f"  {address}: {error}")
        raise UserError(
            f"{name}: no address gave the file.\n" + "\n".join(problems) + "\nCheck the network and run it again, name "
            "a mirror (compute.d4rl_mirrors in params.yaml, or DAC_D4RL_MIRROR), or put the file there by hand as "
            f"{destination}: it is checked before use."
        )


def _from_address(address: str, destination: Path, name: str, wanted: _Wanted) -> str:
    """Download from one address; returns the sha256.

    Raises:
        _Unusable: it does not answer, or gives a wrong file.
        UserError: the disk does not take it.
    """
    partial = destination.with_name(f".{destination.name}.part")
    resumed = partial.is_file() and partial.stat().st_size > 0
    _receive_all(address, partial, name, wanted.size)
    digest, problem = _check(partial, wanted)
    if problem and resumed:
        LOG.info("%s: the resumed download is wrong (%s); it starts from the beginning", name, problem)
        partial.unlink()
        _receive_all(address, partial, name, wanted.size)
        digest, problem = _check(partial, wanted)
    if problem:
        raise _Unusable(f"{problem}. It is kept as {_set_aside(partial, destination)}")
    partial.replace(destination)
    return digest


def _receive_all(address: str, partial: Path, name: str, size: int | None) -> None:
    """Receive the file into `partial`, going on where a cut connection left it."""
    failures = 0
    while True:
        before = partial.stat().st_size if partial.is_file() else 0
        try:
            return _receive(address, partial, before, name, size)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                partial.unlink()  # longer than the file at this address
                continue
            problem = f"HTTP {error.code} {error.reason}"
            if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _Unusable(problem) from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                partial.unlink(missing_ok=True)
                raise UserError(
                    f"{name}: {partial.parent} cannot take the file: {error}. Nothing was kept. Make room (the file "
                    f"has {size or 'an unknown number of'} bytes) or correct the permissions, and run it again."
                ) from None
            problem = str(getattr(error, "reason", error)) or type(error).__name__
            if address.startswith("file:"):
                raise _Unusable(problem) from None
        failures = 1 if partial.is_file() and partial.stat().st_size > before else failures + 1
        if failures >= ATTEMPTS:
            raise _Unusable(f"{problem} ({failures} attempts)")
        LOG.info("%s: %s; going on in %g s", name, problem, PAUSE_SECONDS)
        time.sleep(PAUSE_SECONDS)


def _receive(address: str, partial: Path, have: int, name: str, size: int | None) -> None:
    """One connection.

    Raises:
        ConnectionError: it ended before the file did.
    """
    headers = {"User-Agent": "dac", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        start = have if have and _continues(response, have) else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else size
        bar = Bar(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None)
        with partial.open("ab" if start else "wb") as stream, bar:
            while block := response.read(_BLOCK):
                stream.write(block)
                bar.update(len(block))
            stream.flush()
            os.fsync(stream.fileno())
    received = partial.stat().st_size
    if total is not None and received < total:
        raise ConnectionError(f"the connection ended after {received} of {total} bytes")


def _continues(response: Any, have: int) -> bool:
    """Whether the answer is the rest of the file from byte `have` on, and not the whole file."""
    given = str(response.headers.get("Content-Range", ""))
    return bool(response.status == http.HTTPStatus.PARTIAL_CONTENT) and given.startswith(f"bytes {have}-")


def _check(path: Path, wanted: _Wanted) -> tuple[str, str | None]:
    """The file's sha256, and what is wrong with it, if anything."""
    digest, found = sha256_of(path), path.stat().st_size
    if wanted.sha256 != digest and (kind := hdf5.foreign(path)):
        return digest, f"it is {kind}"
    if wanted.size is not None and found != wanted.size:
        return digest, f"it has {found} bytes, expected are {wanted.size}"
    if wanted.sha256 not in (None, digest):
        return digest, f"its sha256 is {digest}, expected is {wanted.sha256}"
    return digest, wanted.check(path) if wanted.check else None


def _set_aside(path: Path, destination: Path) -> Path:
    aside = destination.with_name(f"{destination.name}.bad")
    path.replace(aside)
    return aside
