"""On a machine with GPUs `snakemake` alone starts as many trainings as there are GPUs, and CPU jobs beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from gpu_box import FAKE, gpu
from project import ROOT, TIMEOUT, Project, environment, new_project
from tiny import write_rows

pytestmark = pytest.mark.workflow

# In the place of `dac`: takes a while, and says when it began and ended, and what it was told.
STAND_IN = """
import json, os, sys, time
began = time.time()
time.sleep({"collect": 4.0, "train": 1.5, "evaluate": 0.5}.get(sys.argv[1], 0.0))
line = json.dumps({"command": sys.argv[1], "arguments": sys.argv[2:], "began": began, "ended": time.time()})
descriptor = os.open("jobs.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(descriptor, (line + chr(10)).encode())
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Four trainings on data that are here, one after a collection; `dac` only says what it would do."""
    project = new_project(tmp_path / "project")
    settings: Any = yaml.safe_load((ROOT / "tests/workflow/params.yaml").read_text())
    settings["compute"] = {"device": "auto", "pack_size": 1}
    settings["tasks"]["here"] = {
        "dataset": "file:data/rows.hdf5",
        "env": "InvertedPendulum-v5",
        "reference_returns": [0.0, 100.0],
    }
    settings["experiments"]["single"]["tasks"] = ["here"]
    settings["studies"]["other"]["seeds"] = [0, 1, 2, 3]
    settings["studies"]["mini"] |= {"seeds": [0], "experiments": ["main"]}
    (project.path / "params.yaml").write_text(json.dumps(settings))
    write_rows(project.path / "data/rows.hdf5")
    (project.path / "stand_in.py").write_text(STAND_IN)
    project.edit("workflow/rules/common.smk", '-m dac"', 'stand_in.py"')
    return project


def jobs(project: Project, gpus: list[dict[str, Any]] | None, *options: str) -> list[dict[str, Any]]:
    """The jobs of both studies as Snakemake ran them on six cores, with these GPUs."""
    variables = {"PYTHONPATH": str(FAKE)}
    if gpus is not None:
        (project.path / "gpus.json").write_text(json.dumps(gpus))
        variables["FAKE_NVML"] = str(project.path / "gpus.json")
    command = [sys.executable, "-m", "snakemake", "mini", "other", "--cores", "6", *options]
    done = subprocess.run(  # noqa: PLW1510 - it is asserted with what was said
        command, cwd=project.path, env=environment() | variables, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    lines = (project.path / "jobs.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def of(found: list[dict[str, Any]], command: str) -> list[dict[str, Any]]:
    return [job for job in found if job["command"] == command]


def most_at_once(found: list[dict[str, Any]]) -> int:
    return max(sum(other["began"] <= job["began"] < other["ended"] for other in found) for job in found)


def option(job: dict[str, Any], name: str) -> str:
    return str(job["arguments"][job["arguments"].index(name) + 1])


def test_as_many_trainings_as_gpus_and_cpu_jobs_beside(project: Project) -> None:
    found = jobs(project, [gpu("GPU-a"), gpu("GPU-b")])
    trainings, (collection,) = of(found, "train"), of(found, "collect")
    assert len(trainings) == 6
    assert most_at_once(trainings) == 2
    assert {(option(job, "--on"), option(job, "--threads")) for job in trainings} == {("gpu", "2")}
    beside = [job for job in trainings if job["began"] < collection["ended"] and job["ended"] > collection["began"]]
    assert len(beside) >= 2
    assert {option(job, "--on") for job in of(found, "evaluate")} == {"cpu"}, "networks this small act as fast there"


def test_shares_of_one_gpu_and_what_the_user_says(project: Project) -> None:
    project.set_param("compute.packs_per_gpu", 3)
    assert most_at_once(of(jobs(project, [gpu("GPU-a")]), "train")) == 3
    (project.path / "jobs.jsonl").unlink()
    assert most_at_once(of(jobs(project, [gpu("GPU-a")], "--resources", "gpu=1"), "train")) == 1


def test_without_a_gpu_a_job_for_each_core(project: Project) -> None:
    found = of(jobs(project, None), "train")
    assert {(option(job, "--on"), option(job, "--threads")) for job in found} == {("cpu", "1")}
    assert most_at_once(found) >= 3
