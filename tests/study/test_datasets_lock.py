from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest
from tiny import write_rows
from unprivileged import somebody_else
from writing import writer

from dac.rows import checks, layout
from dac.study.datasets_lock import entry, locked_file, record
from dac.system.errors import UserError
from dac.system.hashing import sha256_of

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
    code = (
        "import sys; from dac.study.datasets_lock import record; [record(f'{sys.argv[1]}{i}', {}) for i in range(20)]"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    three = [subprocess.Popen([sys.executable, "-c", code, name], env=environment) for name in "abc"]
    assert [process.wait(timeout=60) for process in three] == [0, 0, 0]
    assert len(lock()) == 60


@pytest.mark.parametrize("moment", ["checks.read", "layout.env_id"])
def test_a_file_that_is_replaced_while_it_is_read_leaves_no_entry(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    write_rows(Path("other.hdf5"), seed=1)
    module = {"checks": checks, "layout": layout}[moment.partition(".")[0]]
    name = moment.partition(".")[2]
    wrapped = getattr(module, name)

    def replaced(*arguments: Any, **more: Any) -> Any:
        found = wrapped(*arguments, **more)
        Path("other.hdf5").replace(DATA)
        return found

    monkeypatch.setattr(module, name, replaced)
    with pytest.raises(UserError, match=r"^data.hdf5: it changed while it was read"):
        locked_file("file:data.hdf5", DATA)
    assert not Path("datasets.lock").exists()


def test_a_writer_that_cannot_be_waited_for_leaves_no_entry() -> None:
    """Also not one without the environment, which could not be read."""
    with h5py.File(DATA, "r+") as file:
        file["metadata/env_id"] = "InvertedPendulum-v5"
    with (
        writer("file = h5py.File('data.hdf5', 'a')"),
        pytest.raises(UserError, match=r"data.hdf5: another program holds it open for writing"),
    ):
        locked_file("file:data.hdf5", DATA)
    assert not Path("datasets.lock").exists()
    assert locked_file("file:data.hdf5", DATA) == {"sha256": sha256_of(DATA), "env": "InvertedPendulum-v5"}


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\n", b"\x1f\x8b\x08", b"", b"abc"])
def test_what_is_no_data_leaves_no_entry(content: bytes) -> None:
    whole = DATA.read_bytes()
    for broken in (content, whole[:-100]):
        DATA.write_bytes(broken)
        with pytest.raises(UserError, match=r"data.hdf5: "):
            locked_file("file:data.hdf5", DATA)
        assert not Path("datasets.lock").exists()


def test_a_file_without_permission_is_a_sentence() -> None:
    recorded = locked_file("file:data.hdf5", DATA)
    Path("work").chmod(0o777)
    Path("work/sha256.json").unlink(missing_ok=True)
    DATA.chmod(0)
    with somebody_else(), pytest.raises(UserError, match=r"data.hdf5: it may not be read .*Correct the permissions"):
        locked_file("file:data.hdf5", DATA)
    assert lock() == {"file:data.hdf5": recorded}


def test_a_folder_without_permission_is_a_sentence() -> None:
    Path("closed").mkdir()
    write_rows(Path("closed/data.hdf5"))
    Path("closed").chmod(0)
    with somebody_else(), pytest.raises(UserError, match=r"closed/data.hdf5: it may not be read"):
        locked_file("file:closed/data.hdf5", Path("closed/data.hdf5"))
    Path("closed").chmod(0o700)


def test_a_lock_that_cannot_be_written_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    record("file:a", {"sha256": "1"})
    before = Path("datasets.lock").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"datasets.lock: not written: .*No space left on device. It is as it was"):
        record("file:b", {"sha256": "2"})
    assert Path("datasets.lock").read_bytes() == before
    assert [path.name for path in Path().iterdir() if "lock" in path.name] == ["datasets.lock"]


def test_an_entry_without_a_sha256_is_named() -> None:
    Path("datasets.lock").write_text('{"file:data.hdf5": {"env": "Hopper-v4"}}')
    with pytest.raises(UserError, match=r"datasets.lock: the entry of file:data.hdf5 has no sha256; restore"):
        locked_file("file:data.hdf5", DATA)


def test_a_pointer_in_the_place_of_the_recorded_file_is_named() -> None:
    """A clone whose data git-LFS has not brought yet."""
    locked_file("file:data.hdf5", DATA)
    DATA.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")
    with pytest.raises(UserError, match=r"it is a git-LFS pointer .* `git lfs pull` gets that; its sha256 is"):
        locked_file("file:data.hdf5", DATA)


def test_a_project_in_which_nothing_can_be_written_plans() -> None:
    recorded = locked_file("file:data.hdf5", DATA)
    Path("work").chmod(0o555)
    with somebody_else():
        assert locked_file("file:data.hdf5", DATA) == recorded
    Path("work").chmod(0o755)
