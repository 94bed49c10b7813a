"""One file over http or https: resumed where it was cut, and asked for again when its server wants that."""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from pathlib import Path
from time import sleep

import requests
from urllib3.exceptions import HTTPError, InvalidHeader, ProtocolError
from urllib3.util import Retry

from dac.system import files
from dac.system.errors import UserError
from dac.system.progress import Bar

LOG = logging.getLogger(__name__)

CONNECT_SECONDS = 15.0  # a server that is down must not keep the next address waiting
READ_SECONDS = 60.0
# Attempts in a row that bring nothing; an attempt that brings something starts the count anew.
ATTEMPTS = 3
PAUSE_SECONDS = 2.0
LONGEST_WAIT = 300.0  # seconds that a server may ask to be waited for; for longer the next address is asked
BLOCK = 1 << 16
_PAGE = 1 << 20  # what is larger than an error page, and of another size than the file, is not worth receiving


class Unusable(Exception):  # noqa: N818 - it ends one address, not the program
    """An address gave no usable file; the message says why.

    Attributes:
        silent: whether its server did not answer at all, so that its other addresses need not be asked.
    """

    def __init__(self, message: str, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


class _Later(Exception):  # noqa: N818 - the address is asked again
    """The server is not ready, and says or does not say when it will be."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def receive(address: str, partial: Path, name: str, size: int | None) -> None:
    """Receive a file into `partial`, going on where an earlier call or a cut connection left it.

    Redirects are followed, and proxies used that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name.

    Args:
        name: for messages. size: in bytes, None where it is not known.

    Raises:
        Unusable: the address does not give the file.
        UserError: the disk does not take it.
    """
    failures = 0
    while True:
        before, wait, silent = _length(partial), PAUSE_SECONDS, False
        try:
            return _receive_once(address, partial, before, name, size)
        except _Later as later:
            problem, wait = str(later), later.seconds
        except OSError as error:  # among them all of requests'
            if error.errno in files.DISK_ERRORS:
                raise disk_error(name, partial, size, error) from None
            problem, silent = _innermost(error), isinstance(error, requests.ConnectionError)
            if isinstance(error, requests.exceptions.ProxyError):
                problem = f"the proxy: {problem}"
            if isinstance(error, ValueError | requests.TooManyRedirects | requests.exceptions.SSLError):
                raise Unusable(problem, silent) from None  # the same would come again
        failures = 1 if _length(partial) > before else failures + 1
        if failures >= ATTEMPTS:
            raise Unusable(f"{problem} ({failures} attempts)", silent)
        LOG.info("%s: %s; going on in %g s", name, problem, wait)
        sleep(wait)


def disk_error(name: str, partial: Path, size: int | None, error: OSError) -> UserError:
    """What to tell where the disk does not take a file; what there is of it is removed."""
    partial.unlink(missing_ok=True)
    return UserError(
        f"{name}: {partial.parent} cannot take the file: {error}. Nothing was kept. Make room (the file has "
        f"{size or 'an unknown number of'} bytes) or correct the permissions, and run it again."
    )


def _receive_once(address: str, partial: Path, have: int, name: str, size: int | None) -> None:
    """One connection.

    Raises:
        OSError: it ended before the file did.
        _Later, Unusable: it gives something else than the file.
    """
    headers = {"User-Agent": "dac", "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(address, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
        if have and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            length = response.headers.get("Content-Range", "").removeprefix("bytes */")
            if length == str(have):
                return  # all of it had arrived
            if size is not None and length not in ("", str(size)):
                raise Unusable(f"its file has {length} bytes, expected are {size}; it was not received")
            partial.unlink()
            raise _Later("what had arrived is longer than the file at this address", 0.0)
        _refuse_status(response)
        encoded = response.headers.get("Content-Encoding", "identity") not in ("", "identity")
        continues = have > 0 and not encoded and _continues(response, have)
        if have and not continues and response.status_code == HTTPStatus.PARTIAL_CONTENT:
            partial.unlink()
            raise _Later("it gave another part of the file than the one asked for", 0.0)
        total = _total(response, have if continues else 0, size, encoded)
        if size is not None and total is not None and total != size and total > _PAGE:
            raise Unusable(f"its file has {total} bytes, expected are {size}; it was not received")
        try:
            _store(response, partial, have if continues else 0, total, name)
        except requests.RequestException:
            if encoded:
                partial.unlink()  # a range is one of the encoded bytes, which are not kept
            raise


def _refuse_status(response: requests.Response) -> None:
    """Raise what an answer means that is no file."""
    status = response.status_code
    problem = f"HTTP {status} {response.reason}"
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        seconds = _asked_to_wait(response)
        if seconds > LONGEST_WAIT:
            raise Unusable(f"{problem}, and to come back in {seconds:.0f} s; at most {LONGEST_WAIT:.0f} s are waited")
        raise _Later(problem, seconds)
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise Unusable(problem)


def _asked_to_wait(response: requests.Response) -> float:
    """Seconds until the time that `Retry-After` names, as a number or as a date; the usual pause where it does not."""
    asked = response.headers.get("Retry-After")
    if asked is None:
        return PAUSE_SECONDS
    try:
        return Retry().parse_retry_after(asked)
    except InvalidHeader:
        return PAUSE_SECONDS


def _continues(response: requests.Response, have: int) -> bool:
    """Whether the answer is the rest of the file from byte `have` on, and not the whole file."""
    given = response.headers.get("Content-Range", "")
    return response.status_code == HTTPStatus.PARTIAL_CONTENT and given.startswith(f"bytes {have}-")


def _total(response: requests.Response, start: int, size: int | None, encoded: bool) -> int | None:
    """Bytes of the whole file as the server announces them, or else as they are expected."""
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() and not encoded else size


def _store(response: requests.Response, partial: Path, start: int, total: int | None, name: str) -> None:
    """Write the answer's body behind the first `start` bytes of `partial`."""
    bar = Bar(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None)
    received = start
    with partial.open("ab" if start else "wb") as stream, bar:
        try:
            # As it arrives: what is asked for by the block is lost where a cut leaves the block unfinished.
            while block := response.raw.read1(BLOCK, decode_content=True):
                stream.write(block)
                received += len(block)
                bar.update(len(block))
        except ProtocolError:
            raise requests.RequestException(_cut(received, total)) from None
        except HTTPError as error:  # it came too slowly, or cannot be decoded
            raise requests.RequestException(f"{_innermost(error)}, after {received} bytes") from None
        stream.flush()
        os.fsync(stream.fileno())
    delimited = {"Content-Length", "Transfer-Encoding"} & set(response.headers)  # else closing it is all that ends it
    if not delimited and total is not None and received < total:
        raise requests.RequestException(_cut(received, total))


def _cut(received: int, total: int | None) -> str:
    return f"the connection ended after {received}{'' if total is None else f' of {total}'} bytes"


def _length(partial: Path) -> int:
    return partial.stat().st_size if partial.is_file() else 0


def _innermost(error: BaseException) -> str:
    """The words of the error that caused the others, which repeat the address."""
    inner = next((part for part in (getattr(error, "reason", None), *error.args) if isinstance(part, Exception)), None)
    cause = inner or error.__cause__
    return _innermost(cause) if cause is not None else str(error) or type(error).__name__
