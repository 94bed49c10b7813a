"""A job's own process, as an executor starts it on another machine: it plans nothing anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import Project, copy_of, work_of

pytestmark = pytest.mark.workflow

# What Snakemake's executors give to the process that they start for one job, where it bears on the plan.
SPAWNED = ["--force", "--target-files-omit-workdir-adjustment", "--nolock", "--ignore-incomplete", "--no-hooks"]


@pytest.mark.parametrize("mode", ["remote", "subprocess"])
def test_a_job_does_not_plan_by_what_its_node_sees(
    quick_base: Project, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where run.json is not in view yet, the training's marker stays, and the evaluation starts without asking for it.

    The file comes into view before the job's own command looks, as on a shared file system within seconds.
    """
    project = copy_of(quick_base, tmp_path / "project")
    folder = project.run_folder("replay/lcb0.5/1")
    for path in folder.glob("evaluation-*.parquet"):
        path.unlink()
    efp = min(path.stem for path in folder.parent.glob("seed-0/evaluation-*.parquet")).removeprefix("evaluation-")
    task, group = folder.parts[-3], folder.parts[-2]
    trained = project.path / "work/todo/5e5510/train" / task / group / "1"
    trained.parent.mkdir(parents=True)
    trained.touch()
    hidden = folder / "run.json.late"
    (folder / "run.json").rename(hidden)
    project.edit(
        "workflow/rules/evaluate.smk", '"{params.keep_log}', f'"mv {hidden} {folder}/run.json; {{params.keep_log}}'
    )
    lines = len(project.journal())

    wildcards = f"evaluations={efp},group={group},seeds=1,task={task}"
    spawned = ["--target-jobs", f"evaluate:{wildcards}", "--allowed-rules", "evaluate", "--mode", mode, *SPAWNED]
    monkeypatch.setenv("DAC_SESSION", "5e5510")  # as the executor gives it on
    project.succeed("snakemake", *spawned, "--cores", "1")

    assert trained.exists()
    assert (project.path / f"work/todo/5e5510/evaluate/{task}/{group}/1/{efp}").exists()
    (evaluated,) = work_of(project.journal()[lines:]).evaluated
    assert evaluated.startswith("replay/lcb0.5/1 N_a ")
