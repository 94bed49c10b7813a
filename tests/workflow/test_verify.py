"""What `dac verify` prints at its end makes again what it found damaged, equal to what was there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import damage
import pytest
from own_study import project_with
from project import TIMEOUT, Project, environment
from tiny import write_rows

pytestmark = pytest.mark.workflow

TASK = {"dataset": "file:rows.hdf5", "env": "InvertedPendulum-v5", "reference_returns": [5.0, 105.0]}


@pytest.fixture(scope="module")
def project(quick_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a finished study."""
    folder = tmp_path_factory.mktemp("verify") / "a project"
    write_rows(folder / "rows.hdf5")
    project = project_with(folder, TASK, quick_python)
    project.succeed("snakemake", "own", "--cores", "1")
    assert "0 damaged, 0 missing, 0 left over" in project.succeed("dac", "verify")
    return project


def test_the_commands_make_it_again(project: Project) -> None:
    kinds = ("results/runs/*/*/*/policy-*", "results/runs/*/*/*/evaluation-*", "data/datasets/*/data/*.hdf5")
    files = [next(project.path.glob(kind)) for kind in (*kinds, "results/own/tables/main-scores.csv")]
    before = [path.read_bytes() for path in files]
    for path in files:
        damage.flip(path)
    status, output = project.run("dac", "verify", "own")
    assert status == 1
    assert all(f"{path.relative_to(project.path)}: damaged" in output for path in files), output
    commands = output.partition("Else this makes them again:\n")[2]
    assert commands.splitlines()[-2:] == ["  dac fetch own", "  snakemake own --cores all"]
    run(commands, project)
    assert "0 damaged, 0 missing, 0 left over" in project.succeed("dac", "verify", "own")
    assert [path.read_bytes() for path in files] == before


def run(commands: str, project: Project) -> None:
    """In a shell, as a user pastes them."""
    subprocess.run(
        ["bash", "-e", "-c", commands], cwd=project.path, env=environment(project.python), check=True, timeout=TIMEOUT
    )
