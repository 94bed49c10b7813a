"""SIGTERM and SIGINT as a wish to save and end, for work that is resumed later."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - it is no error
    """A signal asked the process to end; what it was doing is saved, and the same call goes on from there.

    Attributes:
        signal: its number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


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
def stop_request() -> Iterator[StopRequest]:
    """Within the block SIGTERM and SIGINT ask the loop to save and end, instead of ending it."""
    request = StopRequest()

    def handle(signum: int, frame: FrameType | None) -> None:
        # Nothing is logged here: the signal may have come in the middle of writing a line of the log.
        request.signal = signum

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
