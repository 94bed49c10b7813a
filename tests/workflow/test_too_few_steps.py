"""Trainings too short for the dual ascent, and edits that change nothing, are told of once per study."""

from __future__ import annotations

import pytest
from project import Project, copy_of

pytestmark = pytest.mark.workflow

MINI = "params.yaml: studies.mini.settings.steps: found 6 with eta 1 and eta_lr 0.001 (dac on replay, and 2 more)"
OTHER = "params.yaml: studies.other.settings.steps: found 6 with eta 1 and eta_lr 0.001 (dac on replay)"


@pytest.fixture(scope="module")
def project(quick_base: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project, whose study mini lacks a seed now."""
    copy = copy_of(quick_base, tmp_path_factory.mktemp("ascent") / "project")
    assert "eta_lr" not in copy.succeed("snakemake", "mini", "-n")  # nothing of it is missing
    copy.set_param("studies.mini.seeds", [0, 1, 2, 9])
    return copy


def test_a_dry_run_says_it_once_for_each_study(project: Project) -> None:
    output = project.succeed("snakemake", "mini", "mini_runs", "other", "-n")
    assert (output.count(MINI), output.count(OTHER), output.count("Fix eta: ")) == (1, 1, 2), output


def test_an_edit_that_changes_nothing_is_told_of(project: Project) -> None:
    committed = (project.path / "params.yaml").read_text()
    project.set_param("training.steps", 7)
    output = project.succeed("snakemake", "mini", "-n")
    (project.path / "params.yaml").write_text(committed)
    said = "→ 7 changes nothing in study mini: studies.mini.settings.steps counts more."
    assert output.count(said) == 1, output
    assert "changes nothing" not in project.succeed("snakemake", "mini", "-n")


def test_a_job_on_its_node_says_nothing(project: Project) -> None:
    """It parses the Snakefile again, with itself as the target."""
    folder = project.run_folder("replay/lcb0.5/0").parent
    job = f"train:task=replay,group={folder.name},seeds=9"
    output = project.succeed("snakemake", "--mode", "remote", "--target-jobs", job, "--cores", "1", "-n")
    assert "seeds 9" in output, output
    assert "eta_lr" not in output


def test_dvc_says_it_in_one_of_its_stages(project: Project) -> None:
    assert project.succeed("dvc", "repro").count(MINI) == 1
    assert "eta_lr" not in project.succeed("snakemake", "mini", "-n")
