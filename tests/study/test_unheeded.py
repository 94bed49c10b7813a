from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import Project

from dac.study import unheeded
from dac.study.check import load

Edit = Callable[[Project], Project]


def found(project: Project, edit: Edit) -> list[str]:
    """What is said of an edit of a project's parameters."""
    before = copy.deepcopy(project.settings)
    params = edit(project).load()
    return list(unheeded.unheeded(params, "tiny", before, project.settings))


def change(place: str, value: Any) -> Edit:
    return lambda project: project.set(place, value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            change("training.steps", 100),
            "params.yaml: training.steps: not set → 100 changes nothing in study tiny: studies.tiny.settings.steps "
            "counts more.",
        ),
        (
            change("agent.lcb_coefficient", 2.0),
            "params.yaml: agent.lcb_coefficient: not set → 2.0 changes nothing in study tiny: "
            "tasks.pendulum.settings.lcb_coefficient counts more.",
        ),
        (
            change("tasks.pendulum.settings.steps", 7),
            "params.yaml: tasks.pendulum.settings.steps: not set → 7 changes nothing in study tiny: "
            "studies.tiny.settings.steps counts more.",
        ),
        (
            change("tasks.replay.settings.steps", 7),
            "params.yaml: tasks.replay.settings.steps: not set → 7 changes nothing in study tiny: nothing in it "
            "depends on that.",
        ),
        (
            change("agent.sampler_steps", 2),
            "params.yaml: agent.sampler_steps: not set → 2 changes nothing in study tiny: nothing in it depends on "
            "that.",
        ),
    ],
)
def test_an_edit_that_changes_nothing_is_told(edit: Edit, said: str, project: Project) -> None:
    assert found(project, edit) == [said]


@pytest.mark.parametrize(
    "edit",
    [
        change("studies.tiny.settings.steps", 50),
        change("agent.eta", 0.5),
        change("tasks.pendulum.settings.lcb_coefficient", 0.75),
        change("evaluation.episodes", 3),
        change("report.confidence", 0.9),
        change("compute.pack_size", 2),  # is not meant to change anything
    ],
)
def test_an_edit_that_changes_something_is_not(edit: Edit, project: Project) -> None:
    assert found(project, edit) == []


def test_two_edits_that_cover_each_other_change_something(project: Project) -> None:
    def edit(project: Project) -> Project:
        return project.set("agent.eta", 2.0).set("studies.tiny.settings.eta", 2.0)

    assert found(project, edit) == []


def test_a_section_that_becomes_a_value(project: Project) -> None:
    """`vary` is emptied, and variants take its place."""
    project.set("studies.tiny.experiments", ["guidance"])

    def edit(project: Project) -> Project:
        return project.set("experiments.guidance.vary", None).set("experiments.guidance.variants", {"soft": {}})

    assert found(project, edit) == []


def test_edits_of_other_studies_are_not_told(project: Project) -> None:
    project.set("studies.other", {**project.settings["studies"]["tiny"]})
    assert found(project, change("studies.other.seeds", [7])) == []


def test_a_preset_that_is_overridden(project: Project) -> None:
    project.set("presets", {"short": {"steps": 30, "eta": 0.5}}).set("tasks.pendulum.settings.preset", "short")
    said = "params.yaml: presets.short.steps: 30 → 20 changes nothing in study tiny: "
    (line,) = found(project, change("presets.short.steps", 20))
    assert line.startswith(said)
    assert found(project, change("presets.short.eta", 0.25)) == []


def test_an_evaluation_that_is_overridden(project: Project) -> None:
    project.set("studies.tiny.evaluation", {"episodes": 4})
    (line,) = found(project, change("evaluation.episodes", 3))
    assert line.endswith("changes nothing in study tiny: studies.tiny.evaluation.episodes counts more.")


def test_the_last_commit_counts(project: Project) -> None:
    project.load()
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "--quiet"], ["add", "params.yaml"], ["commit", "--quiet", "--message", "params"]):
        subprocess.run([*git, *command], check=True)
    assert unheeded.notices(load(), "tiny") == []
    project.set("training.steps", 100).load()
    (line,) = unheeded.notices(load(), "tiny")
    assert "training.steps: not set → 100 changes nothing" in line


def test_without_git_nothing_is_said(project: Project) -> None:
    assert unheeded.notices(project.load(), "tiny") == []


def test_anchors_are_named_with_their_lines(project: Project) -> None:
    project.load()
    text = yaml.safe_dump(project.settings, sort_keys=False)
    text = text.replace("    title: Main\n", "    title: &t Main\n").replace("title: Guidance", "title: *t")
    Path("params.yaml").write_text(text)
    line = 1 + text[: text.index("*t")].count("\n")
    (notice,) = unheeded.notices(load(), "tiny")
    assert notice.startswith(f"params.yaml uses YAML anchors: *t (line {line}). `dvc exp run -S` does not follow them")
    assert unheeded.idle_edits(load(), "tiny") == []


def test_the_shipped_file_has_none() -> None:
    text = (Path(__file__).parents[2] / "params.yaml").read_text()
    assert unheeded._anchors(text) == []
