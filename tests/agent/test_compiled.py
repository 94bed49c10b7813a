"""A C source is compiled once, and what cannot be compiled is said and done without."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from dac.agent import compiled

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source, and a cache that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "twice.c"
    path.write_text("int twice(int x) { return 2 * x; }\n")
    return path


@needs_compiler
def test_it_is_compiled_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = compiled.library(source)
    assert library is not None and library.twice(21) == 42
    (kept,) = (tmp_path / "cache/dac").iterdir()
    made = kept.stat().st_mtime_ns
    monkeypatch.setattr(compiled, "COMPILE_SECONDS", 0.0)  # too few for another compilation
    assert compiled.library(source) is not None
    assert [path.stat().st_mtime_ns for path in (tmp_path / "cache/dac").iterdir()] == [made]


@needs_compiler
def test_another_source_is_compiled_anew(source: Path, tmp_path: Path) -> None:
    assert compiled.library(source) is not None
    source.write_text("int twice(int x) { return x + x + 1; }\n")
    library = compiled.library(source)
    assert library is not None and library.twice(21) == 43
    assert len(list((tmp_path / "cache/dac").iterdir())) == 2


@needs_compiler
@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_damaged_library_is_compiled_anew(source: Path, tmp_path: Path, length: int) -> None:
    """A file that a power cut shortened, say, whose loading would end the process."""
    assert compiled.library(source) is not None
    (kept,) = (tmp_path / "cache/dac").iterdir()
    whole = kept.read_bytes()
    assert len(whole) > 5000
    kept.unlink()  # this process has it mapped
    kept.write_bytes(whole[:length])
    library = compiled.library(source)
    assert library is not None and library.twice(21) == 42
    assert kept.read_bytes() == whole


@needs_compiler
def test_a_compiler_may_say_anything(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    compiler = tmp_path / "bin/cc"
    compiler.write_text(f"#!/bin/sh\nprintf '\\377 warning' >&2\nexec {shutil.which('cc')} \"$@\"\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    assert compiled.library(source) is not None


def test_without_a_compiler(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level(logging.INFO):
        assert compiled.library(source) is None
    assert "There is no C compiler (cc) here: PyTorch computes the same" in caplog.text


@needs_compiler
def test_what_does_not_compile(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source.write_text("int twice(")
    with caplog.at_level(logging.INFO):
        assert compiled.library(source) is None
    assert "is not compiled; PyTorch computes the same" in caplog.text and "twice.c:1" in caplog.text
    assert not list((tmp_path / "cache/dac").iterdir()), "nothing half-done is left"


@needs_compiler
def test_nobody_has_a_home(source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """In a container, say, whose user is a number without a name."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with caplog.at_level(logging.INFO):
        assert compiled.library(source) is None
    assert "Could not determine home directory." in caplog.text
