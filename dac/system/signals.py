"""SIGTERM, SIGINT and SIGHUP as a wish to save and end, for work that is resumed later."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

# A cluster's or a reboot's, Ctrl-C, and that of a terminal that goes away.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked the process to end; what it was doing is saved, and the same call goes on from there.

    As `KeyboardInterrupt` it is no `Exception`, so nothing that deals with mistakes takes it for one.

    Attributes:
        signal: its number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class Stopped(Exception):  # noqa: N818 - it is no error
    """What was being done was given up since a stop was asked for; it is to be done again."""


class StopRequest:
    """What a loop asks between its steps.

    Attributes:
        signal: number of the signal that came, None before one came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Within the block a signal is noted here, instead of ending the process."""

        def note(signum: int, frame: FrameType | None) -> None:
            # Nothing is logged here: the signal may have come in the middle of writing a line of the log.
            self.signal = signum

        with _handled_by(note):
            yield


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within the block a signal asks the loop to save and end, instead of ending it."""
    request = StopRequest()
    with request.heard():
        yield request


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Within the block, but where a loop asks for itself, a signal raises `Interrupted`: files are left as they are.

    Whatever is written is whole or not there at every moment, so nothing else needs to be waited for.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        raise Interrupted("interrupted; run again to go on", signum)

    with _handled_by(end):
        yield


@contextlib.contextmanager
def until_ctrl_c() -> Iterator[None]:
    """Within the block, inside `ending_at_once`, Ctrl-C ends the block alone: of something that is only looked at."""
    try:
        yield
    except Interrupted as end:
        if end.signal != signal.SIGINT:
            raise


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    # One that is ignored stays so: `nohup` wants it.
    numbers = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
