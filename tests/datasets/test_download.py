"""Downloads from a real server on this machine, with faults, and files that are on it already."""

from __future__ import annotations

import email.utils
import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty_server import Server, running

from dac.datasets import transfer
from dac.datasets.download import download
from dac.system.errors import UserError

CONTENT = np.random.default_rng(0).bytes(3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running(CONTENT) as server:
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, or would have been."""
    waited: list[float] = []
    monkeypatch.setattr(transfer, "sleep", waited.append)
    return waited


DESTINATION = Path("data/a.hdf5")


def address(server: Server) -> str:
    return f"{server.root}/data.hdf5"


def fetch(*addresses: str, size: int | None = len(CONTENT), sha256: str | None = SHA256) -> str:
    return download("a-v0", addresses, DESTINATION, size=size, sha256=sha256)


def left() -> list[str]:
    return sorted(path.name for path in DESTINATION.parent.iterdir())


def test_a_checked_file_is_put_in_place(server: Server) -> None:
    assert fetch(address(server)) == SHA256
    assert DESTINATION.read_bytes() == CONTENT
    assert left() == ["a.hdf5"]
    assert fetch("http://127.0.0.1:9/never-asked") == SHA256
    assert len(server.ranges) == 1


def test_without_a_published_checksum_the_one_found_is_returned(server: Server) -> None:
    assert fetch(address(server), size=None, sha256=None) == SHA256


def test_cut_connections_are_resumed(server: Server) -> None:
    server.faults = ["cut", 503, "cut"]
    assert fetch(address(server)) == SHA256
    quarter = HALF + (len(CONTENT) - HALF) // 2
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-", f"bytes={quarter}-"]


@pytest.mark.parametrize("received", [0, 1, transfer.BLOCK - 1, transfer.BLOCK, len(CONTENT) - 1])
def test_a_cut_at_any_byte_is_resumed_there(server: Server, received: int) -> None:
    server.faults = [f"cut {received}"]
    assert fetch(address(server)) == SHA256
    assert server.ranges == [None, f"bytes={received}-" if received else None]


@pytest.mark.parametrize("fault", ["reset", "unsized", "silent"])
def test_connections_that_end_in_other_ways_are_resumed(server: Server, fault: str) -> None:
    server.faults = [fault, fault]
    assert fetch(address(server)) == SHA256
    assert DESTINATION.read_bytes() == CONTENT
    assert len(server.ranges) == 3


def test_a_length_that_is_no_number_is_not_heeded(server: Server) -> None:
    server.faults = ["many"]
    assert fetch(address(server)) == SHA256
    assert len(server.ranges) == 1


def test_what_had_all_arrived_is_not_asked_for_again(server: Server) -> None:
    DESTINATION.parent.mkdir()
    Path("data/.a.hdf5.part").write_bytes(CONTENT)
    assert fetch(address(server)) == SHA256
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_to_wait_is_waited_for(server: Server, waits: list[float], status: int) -> None:
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    server.faults = [(status, "3"), (status, in_a_minute)]
    assert fetch(address(server)) == SHA256
    assert waits[0] == 3.0
    assert 40.0 < waits[1] <= 60.0


@pytest.mark.parametrize("asked", ["soon", "-1", ""])
def test_what_is_no_time_to_wait_is_the_usual_pause(server: Server, waits: list[float], asked: str) -> None:
    server.faults = [(429, asked)]
    assert fetch(address(server)) == SHA256
    assert waits == [0.01]


def test_a_server_that_asks_for_too_much_is_left_for_the_next(server: Server, waits: list[float]) -> None:
    server.faults = [(429, "3600")]
    assert fetch(address(server), address(server)) == SHA256
    assert waits == []
    server.faults = [(503, "301")]
    DESTINATION.unlink()
    with pytest.raises(UserError, match=r"HTTP 503 .*, and to come back in 301 s; at most 300 s are waited"):
        fetch(address(server))


def test_a_server_that_is_busy_for_ever_is_left(server: Server, waits: list[float]) -> None:
    server.faults = [(429, "2")] * 9
    with pytest.raises(UserError, match=r"HTTP 429 Too Many Requests \(3 attempts\)"):
        fetch(address(server))
    assert waits == [2.0, 2.0]


def test_redirects_are_followed_also_for_the_rest_of_a_file(server: Server) -> None:
    server.faults = ["redirect", "cut", "redirect"]
    assert fetch(address(server)) == SHA256
    assert server.ranges == [None, None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_redirects_in_a_circle_are_one_problem(server: Server) -> None:
    server.faults = ["loop"]
    with pytest.raises(UserError, match="Exceeded 30 redirects"):
        fetch(address(server))
    assert len(server.paths) == 31


def test_an_encoded_body_is_decoded(server: Server) -> None:
    server.faults = ["gzip"]
    assert fetch(address(server)) == SHA256
    assert DESTINATION.read_bytes() == CONTENT


def test_the_rest_of_an_encoded_body_cannot_be_asked_for(server: Server) -> None:
    server.faults = ["gzip cut"]
    assert fetch(address(server)) == SHA256
    assert server.ranges == [None, None]
    # The other way round: the beginning is plain, what is to be the rest comes encoded, and is the whole.
    DESTINATION.unlink()
    server.faults = ["cut", "gzip"]
    assert fetch(address(server)) == SHA256
    assert server.ranges[2:] == [None, f"bytes={HALF}-"]


def test_another_range_than_was_asked_for_is_not_trusted(server: Server) -> None:
    server.faults = ["cut", "other range"]
    assert fetch(address(server)) == SHA256
    assert server.ranges == [None, f"bytes={HALF}-", None]


def test_a_proxy_is_used_where_the_environment_names_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.root)
    assert fetch("http://data.invalid/x.hdf5") == SHA256
    assert server.paths == ["http://data.invalid/x.hdf5"]
    monkeypatch.setenv("NO_PROXY", "data.invalid")
    DESTINATION.unlink()
    with pytest.raises(UserError, match=r"data.invalid/x.hdf5: .*[Nn]ame"):
        fetch("http://data.invalid/x.hdf5")
    assert len(server.paths) == 1


def test_a_proxy_that_does_not_answer_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"x.hdf5: the proxy: \[Errno 111\] Connection refused \(3 attempts\)"):
        fetch("http://data.invalid/x.hdf5")


def test_a_shorter_file_costs_nothing_of_what_has_arrived(server: Server, waits: list[float]) -> None:
    DESTINATION.parent.mkdir()
    Path("data/.a.hdf5.part").write_bytes(CONTENT[:HALF])
    server.content = CONTENT[:1000]
    with pytest.raises(UserError, match="its file has 1000 bytes, expected are"):
        fetch(address(server))
    server.content = CONTENT
    assert fetch(address(server)) == SHA256
    assert server.ranges == [f"bytes={HALF}-"] * 2


def test_a_server_that_does_not_answer_is_asked_once(server: Server, waits: list[float]) -> None:
    with pytest.raises(UserError) as caught:
        fetch("http://127.0.0.1:9/a", "http://127.0.0.1:9/b", f"{server.root}/c", size=3)
    lines = str(caught.value).splitlines()
    assert "http://127.0.0.1:9/a: [Errno 111] Connection refused (3 attempts)" in lines[1]
    assert lines[2] == "  http://127.0.0.1:9/b: its server did not answer, see above"
    assert waits == [0.01, 0.01]


def test_a_later_call_resumes_what_an_earlier_one_left(server: Server) -> None:
    server.faults = ["cut", 503, 503, 503]
    with pytest.raises(UserError, match=r"HTTP 503 .*\(3 attempts\)"):
        fetch(address(server))
    assert left() == [".a.hdf5.part"]
    assert fetch(address(server)) == SHA256
    assert server.ranges[-1] == f"bytes={HALF}-"
    assert left() == ["a.hdf5"]


def test_a_server_that_ignores_the_range_starts_over(server: Server) -> None:
    server.faults = ["cut", "whole"]
    assert fetch(address(server)) == SHA256
    assert DESTINATION.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [1000, len(CONTENT) + 5])
def test_a_wrong_beginning_is_not_trusted(server: Server, length: int) -> None:
    """Of another version of the file, say; also one that is longer than the file."""
    DESTINATION.parent.mkdir()
    Path("data/.a.hdf5.part").write_bytes(bytes(length))
    assert fetch(address(server)) == SHA256
    assert left() == ["a.hdf5"]


@pytest.mark.parametrize(
    ("size", "sha256", "problem"),
    [(len(CONTENT), "0" * 64, "its sha256 is"), (None, "0" * 64, "its sha256 is")],
)
def test_a_wrong_file_is_set_aside(server: Server, size: int | None, sha256: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        fetch(address(server), size=size, sha256=sha256)
    assert left() == ["a.hdf5.bad"]
    assert Path("data/a.hdf5.bad").read_bytes() == CONTENT


def test_a_file_of_another_size_is_not_received(server: Server) -> None:
    with pytest.raises(UserError, match=rf"its file has {len(CONTENT)} bytes, expected are 5; it was not received"):
        fetch(address(server), size=5)
    assert left() == []


def test_a_wrong_existing_file_is_set_aside_and_the_right_one_is_fetched(server: Server) -> None:
    DESTINATION.parent.mkdir()
    for number, name in enumerate(["a.hdf5.bad", "a.hdf5.bad2", "a.hdf5.bad3"]):
        DESTINATION.write_bytes(b"half of it" * (1 + number))
        assert fetch(address(server)) == SHA256
        assert Path("data", name).read_bytes() == b"half of it" * (1 + number)
    # One that is kept already is not kept twice.
    DESTINATION.write_bytes(b"half of it")
    assert fetch(address(server)) == SHA256
    assert left() == ["a.hdf5", "a.hdf5.bad", "a.hdf5.bad2", "a.hdf5.bad3"]


def test_a_wrong_existing_file_is_named_where_no_address_helps(server: Server) -> None:
    DESTINATION.parent.mkdir()
    DESTINATION.write_bytes(b"half of it")
    with pytest.raises(UserError, match=r"data/a.hdf5: it has 10 bytes, expected are .* It is kept as data/a.hdf5.bad"):
        fetch()


def mine(content: bytes = CONTENT) -> Path:
    path = Path("mine/its name.hdf5")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("spelling", ["mine/its name.hdf5", "file://{}/mine/its%20name.hdf5", "~/mine/its name.hdf5"])
def test_a_file_on_this_machine_is_linked(server: Server, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    path = mine()
    assert fetch(spelling.format(Path.cwd())) == SHA256
    assert DESTINATION.samefile(path)
    assert left() == ["a.hdf5"]


def test_a_link_is_of_the_file_itself(server: Server) -> None:
    Path("mine.hdf5").symlink_to(mine())
    assert fetch("mine.hdf5") == SHA256
    assert not DESTINATION.is_symlink()
    assert DESTINATION.samefile(mine())


def test_a_file_that_cannot_be_linked_is_copied(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def another_file_system(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "hardlink_to", another_file_system)
    path = mine()
    assert fetch(str(path)) == SHA256
    assert not DESTINATION.samefile(path)
    assert DESTINATION.read_bytes() == path.read_bytes() == CONTENT


def test_a_disk_that_takes_no_copy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "hardlink_to", full)
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(UserError, match=rf"data cannot take the file: .*No space left.*has {len(CONTENT)} bytes"):
        fetch(str(mine()), address(server))
    assert left() == []
    assert mine().read_bytes() == CONTENT


def test_a_wrong_file_on_this_machine_stays_as_it_is(server: Server) -> None:
    path = mine(b"mine")
    before = path.stat()
    assert fetch(str(path), address(server)) == SHA256
    assert path.read_bytes() == b"mine"
    assert (path.stat().st_mtime_ns, path.stat().st_nlink) == (before.st_mtime_ns, 1)
    assert left() == ["a.hdf5"]
    DESTINATION.unlink()
    with pytest.raises(UserError, match=r"mine/its name.hdf5: it has 4 bytes, expected are \d+. It is left as it is"):
        fetch(str(path))


def test_nothing_is_written_behind_a_file_of_the_users(server: Server) -> None:
    """Also where a call was killed between linking it and putting it in place."""
    path = mine(CONTENT[:1000])
    DESTINATION.parent.mkdir()
    Path("data/.a.hdf5.copy").hardlink_to(path)
    assert fetch(str(path), address(server)) == SHA256
    assert path.read_bytes() == CONTENT[:1000]
    assert server.ranges == [None]


def test_an_html_page_is_no_dataset(server: Server) -> None:
    server.faults = ["html"]
    with pytest.raises(UserError, match="it is an HTML page and not HDF5"):
        fetch(address(server), size=None, sha256=None)
    assert left() == ["a.hdf5.bad"]


def test_the_next_address_is_asked(server: Server) -> None:
    server.faults = ["other", 404]
    assert fetch(address(server), address(server) + "?again", address(server)) == SHA256
    assert sorted(left()) == ["a.hdf5", "a.hdf5.bad"]


def test_every_address_is_named_with_its_problem(server: Server) -> None:
    server.faults = [404]
    with pytest.raises(UserError) as caught:
        fetch(
            address(server),
            "http://127.0.0.1:9/a.hdf5",
            "file:///nowhere/a.hdf5",
            "http://no-such-host.invalid/a",
        )
    lines = str(caught.value).splitlines()
    assert lines[0] == "a-v0: no address gave the file."
    assert lines[1] == f"  {address(server)}: HTTP 404 Not Found"
    assert "127.0.0.1:9" in lines[2] and "Connection refused" in lines[2]
    assert lines[3] == "  file:///nowhere/a.hdf5: no such file"
    assert "no-such-host.invalid" in lines[4]
    assert "DAC_D4RL_MIRROR" in lines[5] and "data/a.hdf5" in lines[5]
    assert left() == []


def test_a_full_disk(server: Server) -> None:
    DESTINATION.parent.mkdir()
    Path("data/.a.hdf5.part").symlink_to("/dev/full")  # every write answers "no space left on device"
    with pytest.raises(UserError, match=rf"No space left.*has {len(CONTENT)} bytes"):
        fetch(address(server))
    assert left() == []


def test_two_processes_download_once(server: Server) -> None:
    code = (
        "import sys; from pathlib import Path; from dac.datasets.download import download;"
        f"print(download('a-v0', ['{address(server)}'], Path('data/a.hdf5'), sha256='{SHA256}'))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [SHA256, SHA256]
    assert len(server.ranges) == 1


@pytest.mark.parametrize("broken", ["http://[x", "file://[x/y"])
def test_what_is_no_address_means_the_next_one(broken: str, server: Server) -> None:
    assert fetch(broken, address(server)) == SHA256
    with pytest.raises(UserError, match=r"no address gave the file"):
        download("b-v0", [broken], Path("data/b.hdf5"), size=None, sha256=SHA256)


def test_a_file_from_the_disk_leaves_nothing_of_a_download_that_was_cut(server: Server, tmp_path: Path) -> None:
    DESTINATION.parent.mkdir()
    (DESTINATION.parent / f".{DESTINATION.name}.part").write_bytes(CONTENT[:HALF])
    own = tmp_path / "own.hdf5"
    own.write_bytes(CONTENT)
    assert fetch(str(own)) == SHA256
    assert left() == [DESTINATION.name]
