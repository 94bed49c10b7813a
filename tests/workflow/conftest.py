"""Projects on which the tests run the real Snakefile and DVC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import preloaded
import pytest
from project import Project, build_base, environment

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


@pytest.fixture(scope="session")
def quick_python() -> Iterator[Path]:
    """For commands of which a test asks what they do, not how they start and end: large libraries are imported once."""
    with preloaded.interpreter(environment()) as python:
        yield python


@pytest.fixture(scope="session")
def quick_base(base: Project, quick_python: Path) -> Project:
    """The finished project, which real interpreters built; those of its copies and clones have little to import."""
    return replace(base, python=quick_python)
