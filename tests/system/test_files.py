"""Files that appear whole, and JSON."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Project
from unprivileged import somebody_else

from dac.system.errors import UserError
from dac.system.files import atomic_path, check_writable, expanded, read_json, unchanged, write_json, write_text


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


def append() -> None:
    with Path("folder/file").open("a") as stream:
        stream.write("more")


def in_place() -> None:
    """Of the same size, and with the time of change set back."""
    path = Path("folder/file")
    status = path.stat()
    with path.open("r+") as stream:
        stream.write("xyz")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace() -> None:
    Path("other").write_text("abc")
    status = Path("folder/file").stat()
    os.utime("other", ns=(status.st_atime_ns, status.st_mtime_ns))
    Path("other").replace("folder/file")


CHANGES = [append, in_place, replace, lambda: Path("folder/file").unlink()]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("place", ["folder", "folder/file"])
@pytest.mark.parametrize("failing", [False, True])
def test_what_changes_while_it_is_read_is_refused(
    project: Project, change: Callable[[], None], place: str, failing: bool
) -> None:
    Path("folder").mkdir()
    Path("folder/file").write_text("abc")
    with (
        pytest.raises(UserError, match=r"^folder/file: it changed while it was read. Run it again when nothing writes"),
        unchanged(Path(place)),
    ):
        change()
        if failing:
            raise UserError("not readable")


def test_a_file_that_a_folder_grew_by_is_a_change(project: Project) -> None:
    Path("folder/1").mkdir(parents=True)
    with pytest.raises(UserError, match=r"^folder/1/more: it changed"), unchanged(Path("folder")):
        Path("folder/1/more").write_text("more")


def test_what_does_not_change_passes(project: Project) -> None:
    with unchanged(Path("data")), unchanged(Path("nothing there")):
        assert Path("data/pendulum.hdf5").read_bytes()
    with pytest.raises(UserError, match=r"^something else$"), unchanged(Path("data")):
        raise UserError("something else")


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


def test_a_folder_that_takes_no_files_is_named_before_anything_is_written(project: Project) -> None:
    check_writable(Path("results/runs/a"))
    assert not Path("results").exists()
    Path("results").mkdir()
    Path("results").chmod(0o555)
    message = r"^results/runs/a: nothing can be written there \(Permission denied\), .*nothing was begun\.$"
    with somebody_else(), pytest.raises(UserError, match=message):
        check_writable(Path("results/runs/a"))
    Path("results").chmod(0o777)
    check_writable(Path("results/runs/a"))
    assert list(Path("results").iterdir()) == []
