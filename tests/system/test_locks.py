"""Locks between processes."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from processes import holding
from tiny import Project

from dac.system import locks
from dac.system.errors import UserError

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from dac.system import locks
with locks.lock(Path(sys.argv[1]), waiting=print):
    print("held", flush=True)
    sys.stdin.read()
"""

ADD = """
import sys
from pathlib import Path
from dac.system import locks
locks.POLL_SECONDS = 0.001
for _ in range(25):
    with locks.lock(Path(sys.argv[1]), waiting=lambda _: None):
        Path("count").write_text(str(int(Path("count").read_text()) + 1))
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that holds a lock until its input ends."""
    return holding(HOLD, str(path))


@pytest.mark.parametrize("ending", ["orderly", "killed"])
def test_a_lock_waits_for_its_holder_however_that_ends(ending: str, project: Project) -> None:
    path = Path("work/lock")
    holder = hold(path)
    said: list[str] = []
    waiting, held = threading.Event(), threading.Event()

    def say(sentence: str) -> None:
        said.append(sentence)
        waiting.set()

    def take() -> None:
        with locks.lock(path, say):
            held.set()

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    assert waiting.wait(60)
    (sentence,) = said
    host = re.escape(socket.gethostname())
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(
        rf"waiting for process {holder.pid} on {host} since {when} \(-c .*\), which holds {path}", sentence
    )
    assert not held.wait(0.2)
    if ending == "killed":
        os.kill(holder.pid, signal.SIGKILL)
    holder.communicate(timeout=60)
    assert held.wait(60)
    taker.join(60)
    assert not path.exists()


def test_a_lock_that_is_free_is_taken_at_once(project: Project) -> None:
    said: list[str] = []
    for _ in range(2):
        with locks.lock(Path("lock"), said.append):
            assert f"process {os.getpid()} on " in Path("lock").read_text()
        assert not Path("lock").exists()
    assert said == []


def test_a_process_that_waits_for_long_says_so_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path, said = Path("work/lock"), list[str]()
    holder = hold(path)
    monkeypatch.setattr(locks, "REMIND_SECONDS", 0.7)

    def say(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 3:
            os.kill(holder.pid, signal.SIGKILL)

    with locks.lock(path, say):
        holder.communicate(timeout=60)
    assert [sentence.endswith("minutes now") for sentence in said] == [False, True, True]


def test_many_processes_that_take_and_remove_one_lock_exclude_each_other(project: Project) -> None:
    """Each adds to a number in a file; a lock whose file goes while another waits for it would lose some."""
    count = Path("count")
    count.write_text("0")
    adders = [
        subprocess.Popen([sys.executable, "-c", ADD, "lock"], env={**os.environ, "PYTHONPATH": str(ROOT)})
        for _ in range(4)
    ]
    assert [adder.wait(120) for adder in adders] == [0] * 4
    assert count.read_text() == "100"
    assert not Path("lock").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_an_error_that_says_what_to_do(
    number: int, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"work/lock: this file system has no locks \(flock: .*Lustre: `-o flock`"):
        locks.lock(Path("work/lock"), print).__enter__()


def test_whatever_a_lock_file_says_is_one_short_line(project: Project) -> None:
    path = Path("lock")
    path.write_bytes(b"\xff\x00pro\ncess 7\x1b[31m" + 1000 * b"x")
    assert re.fullmatch(r"\S+ pro cess 7 \[31mx+", locks.holder(path))
    assert len(locks.holder(path)) <= 500
    assert locks.holder(Path("none")) == "another process"


MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
box:/home /home nfs4 rw,vers=4.2,local_lock=none 0 0
box:/old /home/old nfs rw,vers=3,local_lock=flock 0 0
mgs:/fs /home/my\\040fast lustre rw,localflock,lazystatfs 0 0
mgs:/fs /home/fast lustre rw,flock,lazystatfs 0 0
"""


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/home/old/project/work", "/home/old is mounted with local_lock=flock"),
        ("/home/my fast/work", "/home/my fast is mounted with localflock"),
        ("/home/my fast/../fast/work", None),
        ("/home/older", None),
        ("/work", None),
    ],
)
def test_locks_that_hold_on_this_machine_alone_are_told_of_once(
    folder: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr(locks, "MOUNTS", mounts)
    locks.warn_if_alone.cache_clear()
    for _ in range(2):
        locks.warn_if_alone(Path(folder))
    locks.warn_if_alone.cache_clear()
    told = [record.getMessage() for record in caplog.records]
    assert [message.partition(", so")[0] for message in told] == ([f"{folder}: {said}"] if said else [])


def test_a_machine_without_a_list_of_mounts_is_not_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "MOUNTS", tmp_path / "none")
    locks.warn_if_alone.cache_clear()
    with locks.lock(tmp_path / "lock", print):
        assert (tmp_path / "lock").exists()
    locks.warn_if_alone.cache_clear()
