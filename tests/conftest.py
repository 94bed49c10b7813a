from __future__ import annotations

from pathlib import Path

import pytest
from tiny import Project, write_rows


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A folder of its own, made the current one, with a dataset of 240 random rows in episodes of 12."""
    monkeypatch.chdir(tmp_path)
    write_rows(Path("data/pendulum.hdf5"))
    return Project()
