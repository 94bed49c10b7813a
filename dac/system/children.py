"""Child processes that answer requests over a pipe, and end with their parent.

A child is spawned, never forked: its parent may have threads and a CUDA context. It neither sees Ctrl-C, which reaches
the whole process group, nor the SIGTERM that a cluster sends to every process of a job: what is to be saved is saved by
the parent, and the child ends when the parent closes the pipe, or dies.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker, util
from multiprocessing.connection import Connection, wait
from typing import Any

from dac.system import imports
from dac.system.errors import UserError
from dac.system.signals import SIGNALS

CLOSE_SECONDS = 10.0  # for an idle child to end by itself

Handler = Callable[[Any], Any]


class Child:
    """A process that answers requests one at a time, in their order.

    Args:
        name: what it is, for messages.
        main: called in the child as `main(connection, *arguments)`; a function of a module, which calls `serve`.
        arguments: picklable.

    Attributes:
        pid: the process's number.
    """

    def __init__(self, name: str, main: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._name = name
        self._awaited = 0
        # No daemon, as such may have no children of their own; that it ends with this process is seen to below.
        self._process = context.Process(target=_begin, args=(theirs,), name=name)
        with _without_signals():
            self._process.start()
        theirs.close()  # else the child's death would not end what is read from it
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        # Before multiprocessing waits for its children at the end of this process.
        self._at_exit = util.Finalize(self, self._process.kill, exitpriority=10)
        with contextlib.suppress(OSError):  # it has died already: what is asked of it first says so
            self._connection.send((main, arguments))

    def send(self, request: Any) -> None:
        """Ask something.

        Raises:
            UserError: the process has died.
        """
        try:
            self._connection.send(request)
        except OSError:
            raise self._died() from None
        self._awaited += 1

    def ready(self, seconds: float = 0.0) -> bool:
        """Whether `receive` would return, or raise, at once, or does so within some seconds."""
        return self._connection.poll(seconds)

    def receive(self) -> Any:
        """Wait for the answer to the oldest request that has none yet.

        Raises:
            UserError: the process has died.
            Exception: what the request raised there, see `serve`.
        """
        try:
            failed, answer = self._connection.recv()
        except (EOFError, OSError):
            raise self._died() from None
        self._awaited -= 1
        if failed:
            raise answer
        return answer

    def _died(self) -> UserError:
        self._process.join(CLOSE_SECONDS)
        code = self._process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
        return UserError(
            f"The {self._name} process (pid {self.pid}) ended unexpectedly, {how}; memory may have run out. What was "
            "saved is kept: start again to go on from there."
        )

    def close(self) -> None:
        """End the process; what it is doing is given up."""
        self._connection.close()
        if not self._awaited:
            self._process.join(CLOSE_SECONDS)
        self._process.kill()
        self._process.join()
        self._at_exit.cancel()


def _begin(connection: Connection) -> None:
    """In the child: import what `main` and its arguments need, and be it."""
    with imports.of_what_stays():
        try:
            main, arguments = connection.recv()
        except (EOFError, ConnectionError):
            return  # the parent has died
    main(connection, *arguments)


@contextlib.contextmanager
def _without_signals() -> Iterator[None]:
    """Processes started within the block never see signals that ask for an end; this one sees them after it."""
    resource_tracker.ensure_running()  # its start, else within the block, would let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(connection: Connection, handler: Handler, passed: tuple[type[Exception], ...] = (UserError,)) -> None:
    """In the child: answer requests until the parent closes the pipe. Returns then.

    Args:
        connection: the pipe to the parent.
        handler: request -> answer.
        passed: exceptions of the handler that the parent gets as they are; of others it gets a RuntimeError with the
            traceback as its text. The child goes on after either.
    """
    while True:
        try:
            request = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            message = (False, handler(request))
        except passed as error:
            message = (True, error)
        except Exception:  # noqa: BLE001 - whatever it is, it is the parent's to raise
            message = (True, RuntimeError(f"in a child process:\n{traceback.format_exc()}"))
        try:
            connection.send(message)
        except ConnectionError:
            return


def end_with_parent() -> None:
    """In the child: end as soon as the parent is dead, also in the middle of an answer."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
