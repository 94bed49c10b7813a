"""A source of data of one's own: a record and a module, and nothing else of the program is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from own_study import project_with, run_of

pytestmark = pytest.mark.workflow

RECORD = """
    "noise": Source(
        made="fetched",
        identity=lambda name, recipes: {"rows": int(name)},
        environment=lambda name: "InvertedPendulum-v5",
        references=lambda name: (0.0, 100.0),
        rows=lambda name, recipes: int(name),
    ),
"""
MODULE = '''"""`noise:<rows>`: random numbers in episodes of twelve rows."""

from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np
from minari.data_collector import EpisodeBuffer

from dac.datasets import folder, minari
from dac.rows.raw import RawDataset
from dac.study.identity import Dataset


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    return folder.load(dataset.path), str(folder.describe(dataset.path)["sha256"])


def fetch(dataset: Dataset, mirrors: Sequence[str] | None) -> None:
    spaces = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32), gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    random, last = np.random.default_rng(0), np.arange(12) == 11

    def fill(directory: Path) -> None:
        episodes = [
            EpisodeBuffer(
                id=number,
                observations=random.normal(size=(13, 4)).astype(np.float32),
                actions=random.uniform(-1, 1, (12, 1)).astype(np.float32),
                rewards=random.uniform(0, 2, 12),
                terminations=last if number % 2 else ~last & False,
                truncations=~last & False if number % 2 else last,
                infos={},
            )
            for number in range(int(dataset.name) // 12)
        ]
        facts = {"algorithm_name": "noise", "description": dataset.id}
        minari.write(directory, dataset.minari_id, episodes, spaces, facts)

    folder.publish(dataset.path, fill, {"dataset": dataset.id, "env_id": "InvertedPendulum-v5", "source": {}})
'''


def test_a_new_source_is_a_record_and_a_module(quick_python: Path, tmp_path: Path) -> None:
    project = project_with(tmp_path / "project", {"dataset": "noise:240"}, quick_python)
    status, output = project.run("dac", "plan", "own")
    assert status == 1
    assert "tasks.own.dataset: no source 'noise'; " in output
    project.edit("dac/study/sources.py", "SOURCES: dict[str, Source] = {\n", "SOURCES: dict[str, Source] = {" + RECORD)
    (project.path / "dac/datasets/sources/noise.py").write_text(MODULE)
    assert "noise:240  own      to be fetched" in project.succeed("dac", "datasets")
    project.succeed("snakemake", "own", "--cores", "2", "--show-failed-logs")
    run = run_of(project)
    assert (run["status"], run["data"]["steps"], run["data"]["episodes"]) == ("complete", 240, 20)  # type: ignore[index]
    identity = run["identity"]
    assert identity["dataset"] == {"source": "noise", "version": 1, "rows": 240}  # type: ignore[index]
    assert identity["env"] == "InvertedPendulum-v5"  # type: ignore[index]
    (entry,) = run["evaluations"].values()  # type: ignore[attr-defined]
    assert entry["settings"]["reference_returns"] == [0.0, 100.0]
    (folder,) = (project.path / "data/datasets").iterdir()
    assert folder.name.startswith("noise-240-v0-")
    assert json.loads((folder / "dataset.json").read_text())["dataset"] == "noise:240"
    assert "verified" in project.succeed("dac", "datasets")
    described = project.succeed("dac", "datasets", "describe", "own")
    assert ["episodes", "20"] in [line.split() for line in described.splitlines()]
    assert "own,soft" in (project.path / "results/own/tables/main-scores.csv").read_text()
    assert "Nothing to be done" in project.succeed("snakemake", "own", "--dry-run")
