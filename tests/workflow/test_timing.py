"""Times of gradient steps are measured by the workflow, once, and belong to the store."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from project import Project, Work, clone_of, copy_of

from dac.system import provenance

pytestmark = pytest.mark.workflow

VALUES = [1, 2]
EXPERIMENT = {
    "title": "Time of a step",
    "tasks": ["replay"],
    "variants": {"soft": {}, "denoised": {"guidance": "denoised"}},
    "vary": {"diffusion_steps": VALUES},
    "timing": {"repeats": 2, "seconds": 0.02},
    "show": ["timing"],
}


def with_timing(project: Project) -> Project:
    """With a study of times alone, and these in `mini`, too."""
    project.set_param("experiments.timed", EXPERIMENT)
    settings = project.params["studies"]["mini"]["settings"]
    project.set_param("studies.times", {"experiments": ["timed"], "seeds": [0], "settings": settings})
    return project


def names(work: Work) -> list[str]:
    """The timings of some work without their fingerprints."""
    return [name.rpartition("-")[0] for name in work.timed]


def test_a_study_of_times_trains_nothing_and_measures_once(quick_base: Project, tmp_path: Path) -> None:
    project = with_timing(copy_of(quick_base, tmp_path / "project"))
    work = project.make("snakemake", "times")
    assert names(work) == [
        f"replay/timing-{guidance}-H2-T{count}" for guidance in ("denoised", "soft") for count in VALUES
    ]
    assert (work.collected, work.trained, work.evaluated, work.reported) == ([], [], [], ["times"])
    assert project.make("snakemake", "times") == Work()
    table = project.table("timed-timing", "times")
    assert table[["variant", "value", "machine", "threads", "repeats"]].to_numpy().tolist() == [
        [variant, count, provenance.machine(), 1, 2] for count in VALUES for variant in ("soft", "denoised")
    ]
    (path,) = (project.path / "results/runs/replay").glob("timing-soft-H2-T1-*/timing.json")
    repeats = json.loads(path.read_text())["repeats"]
    assert table.loc[0, "step_ms"] == pytest.approx((repeats[0]["step_ms"] + repeats[1]["step_ms"]) / 2, abs=6e-5)
    # Another value measures that value; what is there stays, and where it was deleted it is measured again.
    project.set_param("experiments.timed.vary", {"diffusion_steps": [1, 2, 3]})
    assert names(project.make("snakemake", "times")) == ["replay/timing-denoised-H2-T3", "replay/timing-soft-H2-T3"]
    path.unlink()
    assert names(project.make("snakemake", "times")) == ["replay/timing-soft-H2-T1"]


def test_steps_are_timed_while_no_other_job_runs(quick_base: Project, tmp_path: Path) -> None:
    project = with_timing(copy_of(quick_base, tmp_path / "project"))
    for name in ("replay/lcb0.5/0", "replay/min/1", "expert/lcb1/2"):
        shutil.rmtree(project.run_folder(name))
    output = project.succeed("snakemake", "times", "mini", "--cores", "2")
    running: dict[str, str] = {}
    beside = []
    for started, what, ended in re.findall(r"^Job (\d+): (.*)$|^Finished jobid: (\d+)", output, re.MULTILINE):
        if started:
            running[started] = what
            beside.append(sorted(running.values()))
        else:
            running.pop(ended, None)
    timed = [jobs for jobs in beside if any(job.startswith("Time gradient steps") for job in jobs)]
    assert len(timed) == 4
    assert all(len(jobs) == 1 for jobs in timed), timed
    assert any(job.startswith("Train") for jobs in beside for job in jobs)


def test_a_clone_has_nothing_to_measure(quick_base: Project, tmp_path: Path) -> None:
    """DVC records times with the runs; a clone has them, whatever its machine."""
    project = with_timing(copy_of(quick_base, tmp_path / "project"))
    project.set_param("studies.mini.experiments", ["main", "timed"])
    work = project.make("dvc")
    assert (len(work.timed), work.trained, work.reported) == (4, [], ["mini"])
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "times")
    project.succeed("dvc", "push")
    clone = clone_of(project, tmp_path / "clone")
    clone.succeed("dvc", "pull")
    output = clone.succeed("snakemake", "mini", "--dry-run")
    assert "Nothing to be done" in output, output
    assert "up to date" in clone.succeed("dvc", "status")
