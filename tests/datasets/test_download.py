"""Downloads from a real server on this machine, with faults."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty_server import Server, running

from dac.datasets import download as downloading
from dac.datasets.download import download
from dac.system.errors import UserError

CONTENT = np.random.default_rng(0).bytes(3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(downloading, "PAUSE_SECONDS", 0.01)
    with running(CONTENT) as server:
        yield server


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
    [(len(CONTENT), "0" * 64, "its sha256 is"), (len(CONTENT) + 1, SHA256, f"it has {len(CONTENT)} bytes")],
)
def test_a_wrong_file_is_set_aside(server: Server, size: int, sha256: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        fetch(address(server), size=size, sha256=sha256)
    assert left() == ["a.hdf5.bad"]
    assert Path("data/a.hdf5.bad").read_bytes() == CONTENT


def test_a_wrong_existing_file_is_set_aside(server: Server) -> None:
    DESTINATION.parent.mkdir()
    DESTINATION.write_bytes(b"half of it")
    with pytest.raises(UserError, match="it has 10 bytes"):
        fetch(address(server))
    assert left() == ["a.hdf5.bad"]
    assert fetch(address(server)) == SHA256


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
    assert "/nowhere/a.hdf5" in lines[3] and "no-such-host.invalid" in lines[4]
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
