"""The workflow has the last word, below Snakemake's lines: after a dry run, an error, an interruption."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from project import TIMEOUT, Project, copy_of, new_project
from tiny import PARAMS, write_rows

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = new_project(tmp_path_factory.mktemp("words") / "project")
    write_rows(project.path / "data/pendulum.hdf5")
    content = copy.deepcopy(PARAMS)
    (project.path / "params.yaml").write_text(yaml.safe_dump(content))
    return project


def test_a_dry_run_ends_with_what_is_missing(project: Project) -> None:
    lines = project.succeed("snakemake", "tiny", "-n").splitlines()
    assert re.fullmatch(
        r"tiny: 2 of 2 runs, about \d+ (s|min) on \d+ cores?, no GPU, [\d.]+ MB of disk, "
        r"nothing to download",
        lines[-2],
    )
    assert [line for line in lines if "Train" in line] == [f"  Train pendulum {_group(project)}, seeds 0-1"]
    assert sum(line.startswith("Job stats") for line in lines) == 1
    assert "Reasons:" not in lines
    quiet = project.succeed("snakemake", "tiny", "-n", "-q").splitlines()
    assert quiet[-3:] == ["Jobs: 1 train, 1 evaluate, 1 report, 1 tiny, 4 total", *lines[-2:]]
    assert "Reason: Missing output files" in project.succeed("snakemake", "tiny", "-n", "-p")


def test_a_study_that_does_not_exist(project: Project) -> None:
    for more in ((), ("-n",)):
        status, output = project.run("snakemake", "tyni", "--cores", "1", *more)
        assert status == 1
        assert output.splitlines()[-1] == "dac: params.yaml: no study 'tyni'; allowed: tiny. Did you mean 'tiny'?"


def test_a_job_that_fails(project: Project) -> None:
    project.set_param("studies.tiny.settings.batch_size", 1000)
    status, output = project.run("snakemake", "tiny", "--cores", "1")
    project.set_param("studies.tiny.settings.batch_size", 16)
    assert status == 1
    last = output.splitlines()[-1]
    assert last.startswith("dac: A job failed: file:data/pendulum.hdf5: 230 transitions, fewer than batch_size (1000)")
    assert re.search(r"\(its log: logs/train/pendulum/soft-\S+/0-1\.log\)", last)
    assert "`snakemake tiny …`, goes on from there." in last


def test_ctrl_c(project: Project) -> None:
    project.set_param("studies.tiny.settings.steps", 1_000_000)
    process = project.start("snakemake", "tiny", "--cores", "1")
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline and not _trains(project.path):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    status, output = project.finish(process)
    project.set_param("studies.tiny.settings.steps", 40)
    assert status != 0
    assert output.splitlines()[-1] == (
        "dac: Interrupted. What is done is kept, what was in training is saved; the same command, `snakemake tiny …`, "
        "goes on from there."
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(project: Project, disk: Path) -> None:
    """Snakemake cannot write its own log either; below what it says of that stands what to do."""
    full = copy_of(project, disk / "project")
    shutil.rmtree(full.path / "work", ignore_errors=True)
    (full.path / "datasets.lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError), (disk / "filling").open("wb") as stream:
        while True:
            stream.write(bytes(2**12))
            stream.flush()
    status, output = full.run("snakemake", "tiny", "--cores", "1")
    assert status == 1
    assert "Logging error" not in output
    assert output.splitlines()[-1] == (
        f"dac: {full.path}: No space left on device. What is done is kept, no file of before is lost. Make room; the "
        "same command, `snakemake tiny …`, goes on from there."
    )


def _trains(folder: Path) -> bool:
    return any("steps/s" in log.read_text() for log in folder.glob("logs/train/pendulum/*/0-1.log"))


def _group(project: Project) -> str:
    (line,) = re.findall(r"pendulum/(soft-\S+), seeds 0-1: untrained", project.succeed("dac", "why", "tiny"))
    return str(line)
