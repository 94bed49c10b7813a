"""A guidance, a Q-target and a setting of one's own, each by the edits that it takes alone, in a copy of the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import yaml
from project import ROOT, Project, new_project

from dac.study import check, safe_yaml
from dac.study.plan import study_plan

pytestmark = pytest.mark.workflow

RECORDS = "dac/agent/components.py"
GUIDANCE = """@function_of(_GUIDANCES, "sign_2")
def sign_guidance(step: ActorStep) -> tuple[Tensor, Metrics]:
    gradient, metrics = _gradient_at_noised(step)
    return (gradient.sign() * (step.prediction + step.draws.actor_prior)).mean((1, 2)), metrics


"""
Q_TARGET = """@function_of(_COMBINATIONS, "mean_min")
def mean_and_minimum(values: Tensor, coefficient: float) -> Tensor:
    return coefficient * values.amin(1) + (1 - coefficient) * values.mean(1)


"""
FINGERPRINTS = """
import json, sys
from dac.study import check, safe_yaml
from dac.study.plan import study_plan
params = check.validated(safe_yaml.read(sys.argv[1]))
print(json.dumps({name: study_plan(params, name).identity for name in params.studies}))
"""


def test_each_is_a_record_and_a_function(quick_python: Path, tmp_path: Path) -> None:
    project = tiny_project(tmp_path / "project", quick_python)
    project.succeed("snakemake", "tiny", "--cores", "1", "--show-failed-logs")
    assert variants(project) == {"soft-H2-lcb0.5": ["complete"] * 2}

    project.edit(
        RECORDS, '    "none": Guidance(', '    "sign_2": Guidance(draws=("actor_prior",)),\n    "none": Guidance('
    )
    project.edit("dac/agent/actor.py", "check_complete(", GUIDANCE + "check_complete(")
    project.edit(RECORDS, '    "convex": ', '    "mean_min": QTarget(),\n    "convex": ')
    project.edit("dac/agent/critic.py", "check_complete(", Q_TARGET + "check_complete(")
    # Nothing that was made is made again.
    assert "Nothing to be done" in project.succeed("snakemake", "tiny", "--dry-run")
    assert committed_plans(project) == committed_plans()

    project.set_param("experiments.main.variants", {"soft": {}, "sign": {"guidance": "sign_2"}})
    project.set_param("experiments.target", {"title": "T", "tasks": ["pendulum"], "vary": {"q_target": ["mean_min"]}})
    project.set_param("studies.tiny.experiments", ["main", "target"])
    assert "sign_2-H2-lcb0.5" in project.succeed("snakemake", "tiny", "--dry-run")
    project.succeed("snakemake", "tiny", "--cores", "1", "--show-failed-logs")
    complete = ["complete"] * 2
    assert variants(project) == {
        "soft-H2-lcb0.5": complete, "sign_2-H2-lcb0.5": complete, "soft-H2-mean_min0.5": complete
    }  # fmt: skip
    trained = [event["run"] for event in project.journal() if event["event"] == "train"]
    assert len(trained) == len(set(trained)) == 6
    assert "Nothing to be done" in project.succeed("snakemake", "tiny", "--dry-run")


SETTING = "    bc_floor: Annotated[float, Limits(ge=0)] = 0.5\n"
TOLD = """
from dac.study import check, safe_yaml
from dac.study.plan import study_plan
from dac.training.policies import agent_config
group = study_plan(check.load(), "tiny").cells[0].group
print(repr(agent_config(group.settings).bc_floor), '"bc_floor":2.0' in group.identity)
"""


def test_a_setting_of_the_agent_is_one_line(quick_python: Path, tmp_path: Path) -> None:
    project = tiny_project(tmp_path / "project", quick_python)
    project.edit("dac/agent/config.py", "    bc_threshold: ", SETTING + "    bc_threshold: ")
    (project.path / "told.py").write_text(TOLD)
    assert project.succeed("told") == "0.5 False\n"
    project.set_param("tasks.pendulum.settings.bc_floor", 2)
    assert project.succeed("told") == "2.0 True\n"
    project.set_param("tasks.pendulum.settings.bc_floor", -2)
    status, output = project.run("dac", "plan", "tiny")
    assert status != 0
    assert "tasks.pendulum.settings.bc_floor: found -2; input should be greater than or equal to 0" in output


def tiny_project(folder: Path, python: Path) -> Project:
    """The tiny study in a copy of the repository's code, with data and parameters."""
    project = new_project(folder, python)
    tiny.write_rows(project.path / "data/pendulum.hdf5")
    (project.path / "params.yaml").write_text(yaml.safe_dump(tiny.PARAMS, sort_keys=False))
    return project


def variants(project: Project) -> dict[str, list[str]]:
    """Status of every run in the store, by its group's label."""
    found: dict[str, list[str]] = {}
    for path in project.path.glob("results/runs/pendulum/*/seed-*/run.json"):
        label = path.parents[1].name.rpartition("-")[0]
        found.setdefault(label, []).append(json.loads(path.read_text())["status"])
    return found


def committed_plans(project: Project | None = None) -> object:
    """What the repository's own studies are made of, by the project's code or by this."""
    text = (ROOT / "params.yaml").read_text()
    if project is not None:
        (project.path / "fingerprints.py").write_text(FINGERPRINTS)
        return json.loads(project.succeed("fingerprints", text))
    params = check.validated(safe_yaml.read(text))
    return json.loads(json.dumps({name: study_plan(params, name).identity for name in params.studies}))
