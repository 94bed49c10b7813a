"""Files that appear whole, and JSON."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from tiny import Project

from dac.system.files import atomic_path, expanded, read_json, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(project: Project) -> None:
    path = Path("deep/er/file.txt")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename across file systems would not be atomic
    assert path.read_text() == "new"
    assert names(path.parent) == ["file.txt"]


def test_an_exception_leaves_the_old_file(project: Project) -> None:
    path = Path("file.txt")
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="in the middle"), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("in the middle")
    assert path.read_text() == "old"
    assert names(Path()) == ["data", "file.txt"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_folders_takes_files(
    number: int, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_text(Path("file.txt"), "new")
    assert Path("file.txt").read_text() == "new"


def test_a_folder_is_synced_after_a_file_got_its_name(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an error of the disk there is one of the write."""
    path = Path("deep/file.txt")

    def fail_at_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            assert path.read_text() == "new"
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail_at_folders)
    with pytest.raises(OSError, match="Input/output error"):
        write_text(path, "new")


def test_json_files(project: Project) -> None:
    write_json(Path("a.json"), {"b": 1, "a": [2]})
    assert Path("a.json").read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'
    assert read_json(Path("a.json")) == {"a": [2], "b": 1}
    for text in ("[1]", '{"cut o', "", "\xff"):
        Path("bad.json").write_bytes(text.encode("latin-1"))
        assert read_json(Path("bad.json")) is None
    assert read_json(Path("not-there.json")) is None
    assert read_json(Path("a.json/below")) is None


def test_a_home_folder_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expanded("~/data/x.hdf5") == Path("/somewhere/data/x.hdf5")
    assert expanded("~") == Path("/somewhere")
    for path in ("data/~x", "/a/b", "~no-such-user/x"):
        assert expanded(path) == Path(path)
