"""Minari's download through its own client, from a server on this machine that speaks the hub's protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from hub import Hub, asking, serving
from recorded_data import record
from tiny import Project

DATASET = "D4RL/hopper/tiny-v1"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "server"))
    record(gym.make("Hopper-v5"), DATASET)
    with serving(tmp_path / "server", [DATASET]) as hub:
        yield hub


def fetch(dataset: str, hub: Hub, root: Path) -> tuple[int, str]:
    """`dac fetch` with an empty Minari folder and the server instead of the hub."""
    own = {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment = {**os.environ, **asking(hub, root), **own}
    command = [sys.executable, "-m", "dac", "fetch", f"minari:{dataset}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_version_is_downloaded_once(hub: Hub, tmp_path: Path, project: Project) -> None:
    project.load()
    status, output = fetch(DATASET, hub, tmp_path)
    assert status == 0, output
    copy = tmp_path / "minari" / DATASET / "data" / "main_data.hdf5"
    assert copy.read_bytes() == (tmp_path / "server" / DATASET / "data" / "main_data.hdf5").read_bytes()
    assert json.loads(Path("datasets.lock").read_text()).keys() == {f"minari:{DATASET}"}
    asked = len(hub.requests)
    status, output = fetch(DATASET, hub, tmp_path)
    assert status == 0, output
    assert len(hub.requests) == asked, "a copy that is here asks nobody"


def test_a_version_that_is_not_there(hub: Hub, tmp_path: Path, project: Project) -> None:
    project.load()
    status, output = fetch("D4RL/hopper/tiny-v7", hub, tmp_path)
    assert status == 1
    assert "minari:D4RL/hopper/tiny-v7: not downloaded: ValueError: The dataset version" in output
    assert DATASET in output, "the version that is there"
    assert "Traceback" not in output
    assert yaml.safe_load(Path("params.yaml").read_text())["dvc_study"] == "tiny"
    assert not Path("datasets.lock").exists()
