from __future__ import annotations

import os
from pathlib import Path

import pytest

from dac.system import hashing
from dac.system.hashing import KnownHashes, sha256_of
from dac.system.paths import HASHES


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settled(text: str) -> Path:
    """A file that was written a minute ago."""
    path = Path("file")
    path.write_text(text)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 60 * 10**9))
    return path


def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read from now on."""
    found: list[Path] = []
    monkeypatch.setattr(hashing, "sha256_of", lambda path: (found.append(path), sha256_of(path))[1])
    return found


def test_an_unchanged_file_is_read_once_also_by_a_later_process(monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = settled("abc"), reads(monkeypatch)
    first = KnownHashes()
    assert first.sha256(path) == first.sha256(path) == sha256_of(path)
    first.save()
    assert KnownHashes().sha256(path) == sha256_of(path)
    assert read == [path]


def test_a_changed_file_is_read_again() -> None:
    path = settled("abc")
    known = KnownHashes()
    known.sha256(path)
    known.save()
    settled("abd")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert KnownHashes().sha256(path) == sha256_of(path)


def test_a_file_whose_time_of_change_was_set_back_is_read_again() -> None:
    path = settled("abc")
    known = KnownHashes()
    known.sha256(path)
    status = path.stat()
    path.write_text("abd")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert known.sha256(path) == sha256_of(path)


def test_a_file_in_the_place_of_another_is_read_again() -> None:
    """Also one of the same size and time of change."""
    path = settled("abc")
    known = KnownHashes()
    known.sha256(path)
    status = path.stat()
    other = Path("other")
    other.write_text("xyz")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert known.sha256(path) == sha256_of(path)


def test_a_file_of_this_moment_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It might change again before its time stamp does."""
    Path("file").write_text("abc")
    read = reads(monkeypatch)
    known = KnownHashes()
    known.sha256(Path("file"))
    known.sha256(Path("file"))
    assert read == [Path("file")] * 2


def test_a_broken_memory_is_no_memory() -> None:
    HASHES.parent.mkdir()
    HASHES.write_text('{"file": ')
    path = settled("abc")
    known = KnownHashes()
    assert known.sha256(path) == sha256_of(path)
    known.save()
    assert KnownHashes().sha256(path) == sha256_of(path)


@pytest.mark.parametrize("text", ["[]", "{", '{"file": 1}', '{"file": {"stamp": []}}', "[" * 100_000])
def test_a_memory_that_is_none_is_made_anew(text: str) -> None:
    path = settled("abc")
    HASHES.parent.mkdir(parents=True)
    HASHES.write_text(text)
    assert KnownHashes().sha256(path) == sha256_of(path)
