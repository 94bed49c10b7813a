"""Projects on which the tests run the real Snakefile and DVC."""

from __future__ import annotations

import pytest
from project import Project, build_base

from dac.system import locks


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The finished project that tests copy or clone; built once, also when several processes run the tests."""
    if worker_id == "master":
        return build_base(tmp_path_factory.mktemp("base"))
    folder = tmp_path_factory.getbasetemp().parent / "workflow-base"
    finished = folder / "finished"
    with locks.lock(folder.with_suffix(".lock"), waiting=print):
        if not finished.exists():
            build_base(folder)
            finished.touch()
    return Project(folder / "project")
