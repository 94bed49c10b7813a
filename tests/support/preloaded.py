"""A `python` for commands whose large libraries are imported already: it forks a process that has imported them.

For tests of what commands do, not of how processes start and end: most of a small job's time is the import of PyTorch,
or of what Snakemake, DVC and the report need. Each command is still a process with a folder, an environment and outputs
of its own, which imports the project's code from where it is told to; but all have one seed of Python's hashes, and a
command is no child of its caller: a signal to the caller's group does not reach it, and it is killed when the caller
is gone. Tests that send signals, or put another library in the place of one of these, take the real interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import marshal
import os
import runpy
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# What `dac`, Snakemake and DVC import. Not MuJoCo: it reads the name of its renderer while it is imported.
LIBRARIES = (
    *("torch", "torch.utils.tensorboard", "safetensors.torch", "gymnasium", "h5py", "minari", "imageio"),
    *("pandas", "pyarrow.parquet", "scipy.stats", "rliable.metrics", "pydantic", "ruamel.yaml", "jinja2"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "fontTools.subset"),
    *("PIL.PngImagePlugin", "fontTools.ttLib", "markdown_it", "tabulate", "pyarrow.vendored.version"),
    *("snakemake.cli", "snakemake.report", "smart_open", "requests"),
    *("dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.repo.status", "dvc.repo.plots", "dvc.scm", "dvc.rwlock"),
)
PROGRAMS = ("snakemake", "dvc")  # which tests and dvc.yaml call by their names
# What a caller is: it asks for the command with its streams, folder and environment, and ends as the command does.
CLIENT = """
import marshal, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    request = marshal.dumps((sys.argv[2:], os.getcwd(), dict(os.environ)))
    socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(request)
    status = server.recv(1)
os._exit(status[0] if status else 1)
"""


@contextlib.contextmanager
def interpreter(environment: Mapping[str, str]) -> Iterator[Path]:
    """The path of such a `python`, with a `snakemake` and a `dvc` beside it, until the block ends.

    Args:
        environment: in which the libraries are imported; a command has its caller's.
    """
    with tempfile.TemporaryDirectory(prefix="dac-") as folder:  # not the test's own: a socket's path must be short
        python = _programs(Path(folder))
        command = [sys.executable, __file__, str(_address(python)), str(python)]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin and server.stdout
            assert server.stdout.readline() == b"ready\n"
            try:
                yield python
            finally:
                server.stdin.close()  # upon which it ends


def _address(python: Path) -> Path:
    return python.with_name("socket")


def _programs(folder: Path) -> Path:
    """Scripts in the place of `python` and of the programs; what is no module is the real interpreter's."""
    client, python = folder / "client.py", folder / "python"
    client.write_text(CLIENT)
    real = shlex.quote(sys.executable)
    ask = f"exec {real} -IS {client} {_address(python)}"
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] || exec {real} "$@"\nshift\n{ask} "$@"\n')
    for name in PROGRAMS:
        (folder / name).write_text(f'#!/bin/sh\n{ask} {name} "$@"\n')
    for name in ("python", *PROGRAMS):
        (folder / name).chmod(0o755)
    return python


@dataclass
class Ending:
    """The end of a process: all is done that is to be done then, but no module is taken apart, which takes longer."""

    status: int = 0

    def end(self) -> None:
        """The last of the functions that are called at the exit."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.status)


@dataclass(frozen=True)
class Command:
    """What a caller asks for.

    Attributes:
        arguments: the module's name, then the module's own.
    """

    arguments: list[str]
    folder: str
    environment: dict[str, str]

    def run(self, python: str, ending: Ending) -> None:
        """Be `python -m <arguments>`."""
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.executable = python
        own = [] if self.environment.get("PYTHONSAFEPATH") else [self.folder]
        named = [path for path in self.environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:] = [*own, *named, *sys.path[1:]]
        sys.argv[:] = self.arguments
        try:
            runpy.run_module(self.arguments[0], run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            ending.status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            raise
        except BaseException:
            ending.status = 1
            raise


class Server:
    """Forks a process for every command that it is asked for, and tells the caller how it ended."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._ended, self._wakes = socket.socketpair()  # a byte for each process that has ended
        self._ended.setblocking(False)
        self._wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno())
        self._callers: dict[int, socket.socket] = {}  # by the process that runs their command
        self._selector = selectors.DefaultSelector()
        for source in (self._listener, self._ended, sys.stdin):
            self._selector.register(source, selectors.EVENT_READ)

    def next_command(self) -> Command | None:
        """What a caller asks for, in a process of its own; None in the server's, once its owner has let it go."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    for pid in self._callers:
                        os.kill(pid, signal.SIGKILL)
                    return None
                if key.fileobj is self._listener:
                    if command := self._begin(self._listener.accept()[0]):
                        return command
                elif key.fileobj is self._ended:
                    self._tell()
                elif key.data in self._callers:  # a caller that is gone before its command
                    self._selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)

    def _begin(self, caller: socket.socket) -> Command | None:
        length, streams, _, _ = socket.recv_fds(caller, 4, 3)
        request = caller.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
        pid = os.fork()
        if pid == 0:
            self._leave(caller, streams)
            return Command(*marshal.loads(request))
        for stream in streams:
            os.close(stream)
        self._callers[pid] = caller
        self._selector.register(caller, selectors.EVENT_READ, pid)
        return None

    def _leave(self, caller: socket.socket, streams: list[int]) -> None:
        """In a command's process: nothing of the server's is open, and the streams are the caller's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for opened in (self._listener, self._ended, self._wakes, caller, *self._callers.values()):
            opened.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)

    def _tell(self) -> None:
        """Tell the callers of the processes that have ended."""
        self._ended.recv(1 << 16)
        while self._callers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            caller = self._callers.pop(pid)
            with contextlib.suppress(KeyError):  # it is gone
                self._selector.unregister(caller)
            code = os.waitstatus_to_exitcode(status)
            with caller, contextlib.suppress(OSError):
                caller.sendall(bytes([code if code >= 0 else 128 - code]))


def main(address: str, python: str) -> None:
    """Serve; in the process of a command, be that."""
    ending = Ending()
    atexit.register(ending.end)  # the first to be registered is called last
    for name in LIBRARIES:
        importlib.import_module(name)
    assert "dac" not in sys.modules, "the project's code is each command's own"
    gc.collect()
    gc.freeze()  # a search for garbage would copy the pages that all share
    server = Server(address)
    print("ready", flush=True)
    if command := server.next_command():
        command.run(python, ending)


if __name__ == "__main__":
    main(*sys.argv[1:])
