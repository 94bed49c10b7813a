from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dac.datasets.lock import entry, locked_file, record
from dac.errors import UserError
from dac.hashing import sha256_of

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, of "abc"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("data.hdf5").write_bytes(b"abc")
    return tmp_path


def lock() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(Path("datasets.lock").read_text())
    return found


def test_sha256() -> None:
    assert sha256_of(Path("data.hdf5")) == ABC


def test_the_first_sight_is_recorded() -> None:
    assert locked_file("file:data.hdf5", Path("data.hdf5")) == {"sha256": ABC}
    assert lock() == {"file:data.hdf5": {"sha256": ABC}}


def test_from_then_on_the_lock_counts() -> None:
    locked_file("file:data.hdf5", Path("data.hdf5"))
    Path("data.hdf5").write_bytes(b"changed")
    assert locked_file("file:data.hdf5", Path("data.hdf5")) == {"sha256": ABC}
    Path("data.hdf5").unlink()
    assert locked_file("file:data.hdf5", Path("data.hdf5")) == {"sha256": ABC}
    assert entry("file:data.hdf5") == locked_file("file:data.hdf5") == {"sha256": ABC}


def test_entries_are_sorted_and_kept() -> None:
    record("file:b", {"sha256": "2"})
    record("file:a", {"sha256": "1"})
    assert record("file:b", {"sha256": "3"}) == {"sha256": "3"}
    assert list(lock().items()) == [("file:a", {"sha256": "1"}), ("file:b", {"sha256": "3"})]
    assert [path.name for path in Path().iterdir() if "lock" in path.name] == ["datasets.lock"]


def test_what_has_no_entry_and_no_file() -> None:
    with pytest.raises(
        UserError, match=r"dataset file:gone: datasets.lock has no entry for it and there is no file gone"
    ):
        locked_file("file:gone", Path("gone"))
    with pytest.raises(UserError, match=r"no checksum is published for it\. `dac fetch door-v9` gets it"):
        locked_file("d4rl:door-v9")
    assert not Path("datasets.lock").exists()


@pytest.mark.parametrize("text", ['{"file:a": {},}', '{"file:a": 1}', "[]", ""])
def test_a_lock_that_is_not_readable(text: str) -> None:
    Path("datasets.lock").write_text(text)
    with pytest.raises(UserError, match=r"datasets.lock: not .* restore it from git"):
        locked_file("file:data.hdf5", Path("data.hdf5"))
    assert Path("datasets.lock").read_text() == text


def test_an_entry_of_old_is_the_sha256_alone() -> None:
    Path("datasets.lock").write_text('{"file:data.hdf5": "1"}')
    assert locked_file("file:data.hdf5", Path("data.hdf5")) == {"sha256": "1"}


def test_processes_beside_each_other_lose_no_entry() -> None:
    code = "import sys; from dac.datasets.lock import record; [record(f'{sys.argv[1]}{i}', {}) for i in range(20)]"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    three = [subprocess.Popen([sys.executable, "-c", code, name], env=environment) for name in "abc"]
    assert [process.wait(timeout=60) for process in three] == [0, 0, 0]
    assert len(lock()) == 60
