from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from processes import all_gone, process_of

from dac.system.children import Child, end_with_parent, serve
from dac.system.errors import UserError


def answer(connection: Connection) -> None:
    """A child's main: doubles numbers, takes its time for what is negative, and fails on texts."""
    end_with_parent()
    serve(connection, double)


def double(number: float | str) -> float:
    if number == "wrong":
        raise UserError("it is wrong")
    if isinstance(number, str):
        raise KeyError(number)
    time.sleep(max(0.0, -number))
    return 2 * number


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child("doubling", answer)
    yield child
    child.close()


def test_answers_come_in_the_order_of_the_requests(child: Child) -> None:
    child.send(1)
    child.send(-0.1)
    assert child.receive() == 2
    assert not child.ready()
    assert child.receive() == -0.2


def test_errors_come_back_and_the_child_goes_on(child: Child) -> None:
    child.send("wrong")
    with pytest.raises(UserError, match=r"^it is wrong$"):
        child.receive()
    child.send("other")
    with pytest.raises(RuntimeError, match=r"in a child process:\n(?s:.*)KeyError: 'other'"):
        child.receive()
    child.send(4)
    assert child.receive() == 8


def test_a_death_is_an_error_for_who_waits_and_for_who_asks(child: Child) -> None:
    child.send(-60)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=rf"The doubling process \(pid {child.pid}\) ended unexpectedly, by signal 9"):
        child.receive()
    with pytest.raises(UserError, match="by signal 9"):
        child.send(1)


def test_signals_meant_for_the_parent_do_not_reach_it(child: Child) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(child.pid, number)  # while it starts
    child.send(1)
    assert child.receive() == 2
    os.kill(child.pid, signal.SIGINT)
    child.send(-0.1)
    os.kill(child.pid, signal.SIGTERM)
    assert child.receive() == -0.2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


@pytest.mark.parametrize("request_", [1, -60])
def test_close_ends_it_whatever_it_does(request_: int, child: Child) -> None:
    child.send(request_)
    process = process_of(child.pid)
    child.close()
    assert all_gone([child.pid], 0)
    assert process.exitcode == -signal.SIGKILL  # and not ended by itself, after the answer
    child.close()


PARENT = """
import sys, time
from dac.system.children import Child
from test_children import answer
if __name__ == "__main__":
    child = Child("doubling", answer)
    child.send(1)
    child.receive()
    child.send(-600)
    print(child.pid, flush=True)
    {end}
"""


@pytest.mark.parametrize(("end", "status"), [("time.sleep(600)", -9), ("sys.exit(3)", 3), ("raise KeyError", 1)])
def test_it_ends_with_its_parent(end: str, status: int, tmp_path: Path) -> None:
    """Killed, ended without closing, or failed: a child in the middle of an answer ends, too, and delays nothing."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(end=end))
    here = Path(__file__).parent
    folders = os.pathsep.join(map(str, (here.parents[1], here, here.parent / "support")))
    parent = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": folders},
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    if status == -9:
        parent.kill()
    assert parent.wait(120) == status
    assert all_gone([pid])
