"""Whether NVIDIA's MPS would be used by a process that is started from here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dac.system import mps


def test_a_daemon_is_found_by_its_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that the variable names, else in the one that the daemon takes by itself."""
    own, usual = tmp_path / "own", tmp_path / "usual"
    for folder in (own, usual):
        folder.mkdir()
    monkeypatch.setattr(mps, "DEFAULT", usual)
    monkeypatch.delenv(mps.PIPES, raising=False)
    assert mps.control() is None
    os.mkfifo(usual / "control")
    assert mps.control() == usual / "control"
    monkeypatch.setenv(mps.PIPES, str(own))
    assert mps.control() is None
    os.mkfifo(own / "control")
    assert mps.control() == own / "control"


def test_it_can_be_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where something fails; the environment is then what it was."""
    os.mkfifo(tmp_path / "control")
    monkeypatch.setenv(mps.PIPES, str(tmp_path))
    with pytest.raises(ZeroDivisionError), mps.avoided():
        assert mps.control() is None
        raise ZeroDivisionError
    assert mps.control() == tmp_path / "control"
    monkeypatch.delenv(mps.PIPES)
    with mps.avoided():
        assert os.environ[mps.PIPES] == "/dev/null"
    assert mps.PIPES not in os.environ
