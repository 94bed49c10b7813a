from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_rows

from dac.datasets.lock import entry, locked_file, record
from dac.errors import UserError
from dac.hashing import sha256_of

DATA = Path("data.hdf5")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(DATA)
    return tmp_path


def lock() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(Path("datasets.lock").read_text())
    return found


def test_the_first_sight_is_recorded() -> None:
    assert locked_file("file:data.hdf5", DATA) == {"sha256": sha256_of(DATA)}
    assert lock() == {"file:data.hdf5": {"sha256": sha256_of(DATA)}}


def test_from_then_on_the_lock_counts() -> None:
    recorded = locked_file("file:data.hdf5", DATA)
    write_rows(DATA, seed=1)
    with pytest.raises(UserError, match=r"data.hdf5: its sha256 is .* Put the old file back; or, .* delete its entry"):
        locked_file("file:data.hdf5", DATA)
    assert lock() == {"file:data.hdf5": recorded}
    write_rows(DATA)
    assert locked_file("file:data.hdf5", DATA) == recorded
    DATA.unlink()
    assert locked_file("file:data.hdf5", DATA) == recorded
    assert entry("file:data.hdf5") == locked_file("file:data.hdf5") == recorded


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
        locked_file("file:data.hdf5", DATA)
    assert Path("datasets.lock").read_text() == text


def test_an_entry_of_old_is_the_sha256_alone() -> None:
    Path("datasets.lock").write_text(json.dumps({"file:data.hdf5": sha256_of(DATA)}))
    assert locked_file("file:data.hdf5", DATA) == {"sha256": sha256_of(DATA)}


def test_processes_beside_each_other_lose_no_entry() -> None:
    code = "import sys; from dac.datasets.lock import record; [record(f'{sys.argv[1]}{i}', {}) for i in range(20)]"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    three = [subprocess.Popen([sys.executable, "-c", code, name], env=environment) for name in "abc"]
    assert [process.wait(timeout=60) for process in three] == [0, 0, 0]
    assert len(lock()) == 60
