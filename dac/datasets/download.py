"""Files from the first of several addresses that gives the right one: checked, and put in place in one step."""

from __future__ import annotations

import logging
import shutil
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dac.datasets import transfer
from dac.datasets.transfer import Unusable
from dac.rows import hdf5
from dac.system import locks, paths
from dac.system.errors import UserError
from dac.system.files import DISK_ERRORS, expanded
from dac.system.hashing import sha256_of

LOG = logging.getLogger(__name__)

# What is wrong with the contents of a file, None if nothing is.
Check = Callable[[Path], str | None]


@dataclass(frozen=True)
class _Wanted:
    """What a file must be: size in bytes, sha256 in hex, and what a look at its contents finds; None where unknown."""

    name: str
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
    """Bring a file here from the first of several addresses that gives the right one.

    Of a file on the network what has arrived lies in `.<name>.part` beside the destination and is resumed (HTTP range),
    also by a later call; one that fails the check is kept as `<name>.bad`. A file on this machine is linked, or copied
    where it cannot be, and never changed. `destination` never holds a wrong or partial file: one that is there already
    is checked, and set aside if it is wrong. A second process that wants the same file waits for the first.

    Args:
        name: for messages. addresses: http, https or file, or paths, tried in this order.
        size: in bytes, sha256: in hex; None where no one has published it.
        check: looks at the contents before the file is put in place.

    Returns:
        The sha256 of the file, in hex.

    Raises:
        UserError: no address gave the right file, or it cannot be written; the message has every address's problem.
    """
    wanted = _Wanted(name, size, sha256, check)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with locks.lock(paths.LOCKS / f"download-{destination.name}", LOG.info):
        problems = []
        if destination.is_file():
            digest, problem = _check_in_place(destination, wanted)
            if problem is None:
                return digest
            problems.append(f"{destination}: {problem}")
        silent = set()
        for address in addresses:
            try:
                server = _server_of(address)
                if server and server in silent:
                    raise Unusable("its server did not answer, see above")
                return _from_address(address, destination, wanted)
            except Unusable as error:
                LOG.info("%s: %s: %s", name, address, error)
                problems.append(f"{address}: {error}")
                if error.silent:
                    silent.add(_server_of(address))
        listed = "".join(f"  {problem}\n" for problem in problems)
        raise UserError(
            f"{name}: no address gave the file.\n{listed}Check the network and run it again, name a mirror "
            "(compute.d4rl_mirrors in params.yaml, or DAC_D4RL_MIRROR), or put the file there by hand as "
            f"{destination}: it is checked before use."
        )


def _check_in_place(destination: Path, wanted: _Wanted) -> tuple[str, str | None]:
    """As `_check` of a file that is there already; a wrong one is set aside, to make room for the right one."""
    try:
        digest, problem = _check(destination, wanted)
    except OSError as error:
        raise UserError(f"{destination}: it cannot be read: {error}. Correct the permissions.") from None
    if problem:
        problem = f"{problem}. It is kept as {_set_aside(destination, destination, digest)}"
        LOG.warning("%s: %s: %s", wanted.name, destination, problem)
    return digest, problem


def local_path(address: str) -> Path | None:
    """The path of an address that is on this machine, `~` expanded; None for one on the network."""
    if address.startswith(("http://", "https://")):
        return None
    is_url = address.startswith("file://")
    return expanded(urllib.parse.unquote(address.removeprefix("file://")) if is_url else address)


def _from_address(address: str, destination: Path, wanted: _Wanted) -> str:
    """Bring the file from one address; returns its sha256.

    Raises:
        Unusable: it does not answer, or gives a wrong file.
        UserError: the disk does not take it.
    """
    path = local_path(address)
    if path is not None:
        return _from_disk(path, destination, wanted)
    partial = _partial(destination)
    resumed = partial.is_file() and partial.stat().st_size > 0
    transfer.receive(address, partial, wanted.name, wanted.size)
    digest, problem = _check(partial, wanted)
    if problem and resumed:
        LOG.info("%s: the resumed download is wrong (%s); it starts from the beginning", wanted.name, problem)
        partial.unlink()
        transfer.receive(address, partial, wanted.name, wanted.size)
        digest, problem = _check(partial, wanted)
    if problem:
        raise Unusable(f"{problem}. It is kept as {_set_aside(partial, destination, digest)}")
    partial.replace(destination)
    return digest


def _partial(destination: Path) -> Path:
    """What has arrived of a file from the network."""
    return destination.with_name(f".{destination.name}.part")


def _server_of(address: str) -> str:
    try:
        return urllib.parse.urlsplit(address).netloc
    except ValueError as error:
        raise Unusable(f"it is no address: {error}") from None


def _from_disk(path: Path, destination: Path, wanted: _Wanted) -> str:
    """Link or copy the user's file; as `_from_address`."""
    # Not the name of what is resumed: nothing may ever be written behind a file that is the user's own.
    copy = destination.with_name(f".{destination.name}.copy")
    try:
        if not path.is_file():
            raise Unusable("no such file")
        copy.unlink(missing_ok=True)
        _link_or_copy(path, copy, wanted)
        digest, problem = _check(copy, wanted)
        if problem:
            raise Unusable(f"{problem}. It is left as it is")
        copy.replace(destination)
        # What was left of a download that was cut off is of no use any more.
        _partial(destination).unlink(missing_ok=True)
    except OSError as error:
        raise Unusable(f"it cannot be read: {error}") from None
    finally:
        copy.unlink(missing_ok=True)
    LOG.info("%s: from %s", wanted.name, path)
    return digest


def _link_or_copy(path: Path, copy: Path, wanted: _Wanted) -> None:
    try:
        copy.hardlink_to(path.resolve())
        return
    except OSError as error:  # another file system, or one without links, or somebody else's file
        LOG.info("%s: %s is copied (%s)", wanted.name, path, error.strerror)
    with path.open("rb") as source:
        try:
            with copy.open("wb") as stream:
                shutil.copyfileobj(source, stream, 1 << 20)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            raise transfer.disk_error(wanted.name, copy, wanted.size, error) from None


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


def _set_aside(path: Path, destination: Path, digest: str) -> Path:
    """Move a wrong file beside the destination, over none that lies there but one of the same contents."""
    number, aside = 1, destination.with_name(f"{destination.name}.bad")
    while aside.exists() and sha256_of(aside) != digest:
        number += 1
        aside = destination.with_name(f"{destination.name}.bad{number}")
    path.replace(aside)
    return aside
