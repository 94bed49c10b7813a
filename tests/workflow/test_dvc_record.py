"""What DVC is told: no more than the store holds of what params.yaml says at that moment, and no less."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import TIMEOUT, Project, clone_of, copy_of, runs

pytestmark = pytest.mark.workflow

SEEDS = "studies.mini.seeds"
UP_TO_DATE = "Data and pipelines are up to date"


def once_trained(project: Project, process: subprocess.Popen[str], act: Callable[[], None]) -> tuple[int, str]:
    """Do something when the next training has been published, while the rest goes on; exit status and output."""
    before = len(project.journal())
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if any(event["event"] == "train" for event in project.journal()[before:]):
            break
        time.sleep(0.05)
    act()
    return project.finish(process)


def store_of(project: Project) -> set[str]:
    return {name for name in project.store() if name.startswith("results/runs/") and name.endswith("run.json")}


def test_params_edited_while_another_study_runs(quick_base: Project, tmp_path: Path) -> None:
    """DVC's study was complete before the edit and is not after it: the runs are recorded, that it is is not."""
    project = copy_of(quick_base, tmp_path / "project")
    process = project.start("snakemake", "other", "--cores", "2", "--show-failed-logs")
    status, output = once_trained(project, process, lambda: project.set_param(SEEDS, [0, 1, 2, 3, 4]))
    assert status == 0, output
    assert "runs is not recorded as complete: study mini of dvc_study lacks train" in output
    assert UP_TO_DATE not in project.succeed("dvc", "status")
    work = project.make("dvc")
    new = [*runs("replay/lcb0.5", 4), *runs("replay/min", 3, 4), *runs("expert/lcb1", 3, 4)]
    assert work.trained == sorted(new)  # seed 3 of replay is the other study's
    project.assert_settled()


def test_params_edited_while_dvc_repro_runs(quick_base: Project, tmp_path: Path) -> None:
    """DVC would record the parameters of the end with what was made for those of the beginning."""
    project = copy_of(quick_base, tmp_path / "project")
    project.set_param(SEEDS, [0, 1, 2, 3])
    process = project.start("dvc", "repro")
    status, output = once_trained(project, process, lambda: project.set_param(SEEDS, [0, 1, 2, 3, 4]))
    assert status != 0, output
    assert "changed while DVC's stage runs ran: study mini lacks" in output
    assert "run `dvc repro` again" in output
    assert UP_TO_DATE not in project.succeed("dvc", "status")
    assert project.make("dvc").trained == sorted(
        name for group in ("replay/lcb0.5", "replay/min", "expert/lcb1") for name in runs(group, 4)
    )
    project.assert_settled()


def test_another_study_of_a_fresh_clone_survives_a_forced_pull(quick_base: Project, tmp_path: Path) -> None:
    """DVC's own study is not there and never was, and yet what was made is DVC's from its publication on."""
    clone = clone_of(quick_base, tmp_path / "clone")
    clone.make("snakemake", "other")
    made_here = store_of(clone)
    assert len(made_here) == 3
    assert "pushed" in clone.succeed("dvc", "push")
    clone.succeed("dvc", "pull", "--force")
    assert store_of(clone) == made_here | store_of(quick_base)  # what was recorded and not pulled is still recorded
    clone.git("commit", "--all", "--message", "runs of other")
    again = clone_of(clone, tmp_path / "again")
    again.succeed("dvc", "pull")
    assert store_of(again) == made_here | store_of(quick_base)
    assert again.make("snakemake", "other").trained == []


def test_what_was_published_is_recorded_also_where_another_job_failed(quick_base: Project, tmp_path: Path) -> None:
    clone = clone_of(quick_base, tmp_path / "clone")
    content = clone.params
    large = {"title": "Large", "tasks": ["expert"], "variants": {"large": {"batch_size": 100_000}}}
    clone.set_param("experiments", {**content["experiments"], "large": large})
    study = {**content["studies"]["other"], "experiments": ["single", "large"], "seeds": [0]}
    clone.set_param("studies", {**content["studies"], "both": study})
    status, output = clone.run("snakemake", "both", "--cores", "1", "--keep-going", "--show-failed-logs")
    assert status != 0
    assert "transitions, fewer than batch_size (100000)" in output
    assert "dvc.lock: recorded datasets and the files of runs." in output
    published = store_of(clone)
    assert len(published) == 1
    clone.succeed("dvc", "push")
    clone.succeed("dvc", "pull", "--force")
    assert store_of(clone) == published | store_of(quick_base)


def test_a_study_without_collected_data_is_recorded(quick_base: Project, tmp_path: Path) -> None:
    clone = clone_of(quick_base, tmp_path / "clone")
    content = clone.params
    bandit = {"dataset": "bandit:two-moons", "reward_scaling": "none", "settings": {"eval_action_samples": 1}}
    clone.set_param("tasks", {**content["tasks"], "moons": bandit})
    shown = {"title": "Bandit", "tasks": ["moons"], "variants": {"soft": {}}, "show": ["bandit"]}
    clone.set_param("experiments", {**content["experiments"], "bandit": shown})
    study = {**content["studies"]["other"], "experiments": ["bandit"], "seeds": [0, 1]}
    clone.set_param("studies", {**content["studies"], "moons": study})
    clone.set_param("dvc_study", "moons")
    clone.succeed("snakemake", "moons", "--cores", "2", "--show-failed-logs")
    assert UP_TO_DATE in clone.succeed("dvc", "status")
    clone.succeed("dvc", "push")
    shutil.rmtree(clone.path / "results/runs")
    clone.succeed("dvc", "pull")
    assert len(store_of(clone)) == 2
    assert clone.make("dvc").trained == []


def test_a_damaged_policy_is_neither_recorded_nor_pushed(quick_base: Project, tmp_path: Path) -> None:
    """And the command that the message names brings the good one back."""
    project = copy_of(quick_base, tmp_path / "project")
    (policy,) = project.run_folder("replay/lcb0.5/1").glob("policy-*.safetensors")
    name, whole = str(policy.relative_to(project.path)), policy.read_bytes()
    policy.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    project.set_param(SEEDS, [0, 1, 2, 3])
    status, output = project.run("snakemake", "mini", "--cores", "2", "--show-failed-logs")
    assert status == 0, output
    assert f"dvc.lock: not recorded: the contents of {name} are not what run.json records" in output
    status, output = project.run("dvc", "repro")
    assert status != 0
    assert f"the contents of {name} are not what run.json records" in output
    project.succeed("dvc", "push")
    assert "`dvc checkout --force <file>` brings back what was recorded before" in output
    project.succeed("dvc", "checkout", "--force", "results/runs/expert")  # what else was made is DVC's already
    project.succeed("dvc", "checkout", "--force", name)
    assert policy.read_bytes() == whole
    assert len(store_of(project)) == len(store_of(quick_base)) + 3  # what was not recorded yet is still there
    assert project.make("dvc").trained == []
    project.assert_settled()


def test_an_experiment_of_dvc_that_changes_nothing_says_so(quick_base: Project, tmp_path: Path) -> None:
    """And a number is one as DVC writes it: text to a reader of YAML 1.1."""
    project = copy_of(quick_base, tmp_path / "project")
    project.set_param("training.steps", 2_000_000)
    project.git("commit", "--all", "--message", "steps that no study uses")
    output = project.succeed("dvc", "exp", "run", "-S", "training.steps=7", "-S", "agent.actor_lr=0.00005")
    said = "training.steps: 2000000 → 7 changes nothing in study mini: studies.mini.settings.steps counts more."
    assert said in output
    assert "agent.actor_lr: 0.1" not in output
    assert "5e-05" in (project.path / "params.yaml").read_text()
    expected = [f"{name.partition('/')[0]}/seed-{seed}" for name in ("replay", "replay", "expert") for seed in range(3)]
    trained = [event["run"].split("/") for event in project.journal() if event["event"] == "train"][-9:]
    assert sorted(f"{task}/{seed}" for task, _, seed in trained) == sorted(expected)
    assert UP_TO_DATE in project.succeed("dvc", "status")


def test_anchors_are_warned_of_under_dvc(quick_base: Project, tmp_path: Path) -> None:
    project = copy_of(quick_base, tmp_path / "project")
    project.git("checkout", "params.yaml")  # as it is written by hand, not as set_param writes it
    project.edit("params.yaml", "seeds: [0, 1, 2]", "seeds: [0, 2]")
    assert "YAML anchors" not in project.succeed("snakemake", "mini", "other", "-n")
    output = project.succeed("dvc", "repro")
    assert output.count("params.yaml uses YAML anchors: *tiny (line") == 1
