"""The study `minari` of params.yaml, from the hub to its page, a task of each family on recorded miniature data."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import pytest
import yaml
from hub import asking, serving
from own_study import SETTINGS
from project import ROOT, Project, new_project
from recorded_data import record

import dac.envs.d4rl_tasks  # noqa: F401 - registers the environments of gymnasium-robotics, too

pytestmark = pytest.mark.workflow

TASKS = {
    "minari-hopper-medium": "mujoco/hopper/medium-v0",
    "minari-antmaze-umaze": "D4RL/antmaze/umaze-v1",
    "minari-pen-human": "D4RL/pen/human-v2",
    "minari-kitchen-complete": "D4RL/kitchen/complete-v2",
    "minari-pointmaze-umaze": "D4RL/pointmaze/umaze-v2",
}
MAP = [[1, 1, 1, 1], [1, "r", "g", 1], [1, 1, 1, 1]]
OTHER_MAP = [[1, 1, 1, 1], [1, "g", "r", 1], [1, 1, 1, 1]]


def record_all() -> None:
    """In the environments of Minari's own, with its arguments, but for smaller mazes and fewer steps."""
    record(gym.make("Hopper-v5"), TASKS["minari-hopper-medium"])
    record(gym.make("AdroitHandPen-v1", max_episode_steps=15), TASKS["minari-pen-human"])
    kitchen = {"remove_task_when_completed": False, "terminate_on_tasks_completed": False}
    record(
        gym.make("FrankaKitchen-v1", tasks_to_complete=["microwave", "kettle"], max_episode_steps=15, **kitchen),
        TASKS["minari-kitchen-complete"],
    )
    mazes = {"minari-antmaze-umaze": "AntMaze_UMaze-v4", "minari-pointmaze-umaze": "PointMaze_UMaze-v3"}
    for name, env_id in mazes.items():
        evaluated = gym.make(env_id, maze_map=OTHER_MAP, continuing_task=True, max_episode_steps=15)
        env = gym.make(env_id, maze_map=MAP, continuing_task=True, max_episode_steps=20)
        record(env, TASKS[name], eval_env=evaluated)


def succeed_once(root: Path, task: str) -> None:
    """Let the second episode end with a reward that random actions do not get."""
    with h5py.File(root / TASKS[task] / "data/main_data.hdf5", "r+") as file:
        file["episode_1/rewards"][-1] = 1.0


def small(path: Path, python: Path) -> Project:
    """A project with the program's own params.yaml: one task of each family, one seed, a few steps."""
    project = new_project(path, python)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in params["studies"]["minari"]["experiments"]:
        params["experiments"][name]["tasks"] = [task for task in params["experiments"][name]["tasks"] if task in TASKS]
    params["studies"]["minari"] |= {"seeds": [0], "settings": SETTINGS}
    params["evaluation"] = {"action_samples": [1], "episodes": 1}
    params["report"] |= {"window": 2, "bootstrap_samples": 200}
    params["compute"]["device"] = "cpu"
    (project.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return project


def run_of(project: Project, task: str) -> dict[str, Any]:
    (path,) = (project.path / "results/runs" / task).glob("*/seed-0/run.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_a_task_of_each_family(quick_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned without a network, downloaded, trained, evaluated in what the data recover, and not compared."""
    server = tmp_path / "server"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(server))
    record_all()
    for task in ("minari-antmaze-umaze", "minari-kitchen-complete", "minari-pointmaze-umaze"):
        succeed_once(server, task)
    project = small(tmp_path / "project", quick_python)
    with serving(server, TASKS.values()) as hub:
        for key, value in asking(hub, tmp_path).items():
            monkeypatch.setenv(key, value)
        assert "minari_pointmaze" in project.succeed("dac", "plan", "minari")
        assert hub.requests == []
        project.succeed("snakemake", "minari", "--cores", "2", "--show-failed-logs")
    for task, dataset in TASKS.items():
        run = run_of(project, task)
        assert (run["status"], run["identity"]["env"]) == ("complete", f"minari:{dataset}")
        assert (tmp_path / "minari" / dataset / "data/main_data.hdf5").is_file()
    lock = json.loads((project.path / "datasets.lock").read_text())
    assert lock.keys() == {f"minari:{dataset}" for dataset in TASKS.values()}
    page = " ".join((project.path / "results/minari/README.md").read_text().split())
    assert "They are not the paper's data, so none of these scores may stand beside a published one." in page
    tables = sorted((project.path / "results/minari/tables").glob("*-scores.csv"))
    rows = [row for table in tables for row in csv.DictReader(table.open(newline=""))]
    assert {row["task"] for row in rows} >= TASKS.keys()
    assert {row["source"] for row in rows} == {"this study", "dataset"}  # and no published ones
    assert "Nothing to be done" in project.succeed("snakemake", "minari", "--dry-run")
