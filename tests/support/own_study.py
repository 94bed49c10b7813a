"""A project whose study `own` trains one seed on one task, with the real Snakefile."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from project import PYTHON, Project, new_project

SETTINGS = {
    "steps": 6, "batch_size": 16, "eval_interval": 3, "eval_episodes": 1, "eval_action_samples": 2, "kept_policies": 1,
    "hidden_sizes": [8, 8], "ensemble_size": 2, "next_action_samples": 2,
}  # fmt: skip


def project_with(folder: Path, task: dict[str, object], python: Path = PYTHON, **compute: object) -> Project:
    """A project whose study `own` trains one seed on one task."""
    project = new_project(folder, python)
    params = {
        "dvc_study": "own",
        "agent": {},
        "training": {},
        "evaluation": {"action_samples": [1], "episodes": 1},
        "report": {"window": 2, "bootstrap_samples": 200},
        "compute": {"device": "cpu", **compute},
        "collect": {},
        "presets": {},
        "tasks": {"own": task},
        "experiments": {"main": {"title": "Main", "tasks": ["own"], "variants": {"soft": {}}, "show": ["scores"]}},
        "studies": {"own": {"experiments": ["main"], "seeds": [0], "settings": SETTINGS}},
    }
    (project.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return project


def run_of(project: Project) -> dict[str, object]:
    """The run.json of the project's one run."""
    (path,) = project.path.glob("results/runs/own/*/seed-0/run.json")
    content: dict[str, object] = json.loads(path.read_text())
    return content
