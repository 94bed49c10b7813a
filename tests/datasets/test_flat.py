"""Very many episodes in one file: the same rows as from Minari's groups, and nothing in the file for each episode."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import h5py
import numpy as np
import pytest
from recorded_data import fetched, record, task
from tiny import Project

from dac import envs
from dac.datasets import flat, folder, load, minari
from dac.datasets.sac.recorder import Recorder
from dac.datasets.transitions import to_transitions
from dac.rows import layout
from dac.rows.raw import closed, content_hash, statistics
from dac.study import store, task_data
from dac.system.errors import UserError


def write_episodes(path: Path, episodes: int, length: int) -> None:
    rows, random = episodes * length, np.random.default_rng(0)
    ends = np.arange(rows) % length == length - 1
    with h5py.File(path, "w") as file:
        file["observations"] = random.normal(size=(rows, 4)).astype(np.float32)
        file["actions"] = random.uniform(-1, 1, (rows, 1)).astype(np.float32)
        file["rewards"] = random.normal(size=rows).astype(np.float32)
        file["terminals"] = ends & (np.arange(rows) // length % 3 > 0)
        file["timeouts"] = ends & (np.arange(rows) // length % 3 < 2)  # some are both
        file["metadata/env_id"] = "InvertedPendulum-v5"


def objects(path: Path) -> int:
    found: list[str] = []
    with h5py.File(path) as file:
        file.visit(found.append)
    return len(found)


@pytest.mark.parametrize("length", [1, 3])
def test_a_file_of_very_many_episodes(project: Project, length: int) -> None:
    path = Path("data/pendulum.hdf5")
    write_episodes(path, flat.MOST_GROUPS + 1, length)
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.fetch(dataset, ())
    file = dataset.path / "rows.hdf5"
    assert sorted(path.name for path in dataset.path.iterdir()) == ["dataset.json", "rows.hdf5"]
    assert objects(file) < 10
    assert file.stat().st_size < 2 * path.stat().st_size
    raw, read = load.load(dataset)[0], layout.read(path)
    assert content_hash(raw) == content_hash(closed(read))
    assert statistics(raw) == statistics(read)
    for scaling in ("locomotion", "none"):
        ours, files = to_transitions(raw, scaling), to_transitions(read, scaling)
        assert all((getattr(ours, key) == value).all() for key, value in vars(files).items())
    note = folder.describe(dataset.path)
    assert "episode_returns" not in note, "dataset.json is read by every plan"
    assert note["episodes"] == flat.MOST_GROUPS + 1


def test_no_more_episodes_than_that_are_minaris(project: Project) -> None:
    write_episodes(Path("data/pendulum.hdf5"), flat.MOST_GROUPS, 1)
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.fetch(dataset, ())
    assert not flat.holds(dataset.path)
    assert len(load.load(dataset)[0]) == flat.MOST_GROUPS


def test_both_kinds_have_the_same_contents(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = task_data.dataset_of(project.load(), "pendulum")
    hashes = set()
    for most in (19, 20):
        monkeypatch.setattr(flat, "MOST_GROUPS", most)
        load.fetch(dataset, ())
        assert flat.holds(dataset.path) == (most == 19)
        hashes.add((folder.describe(dataset.path)["sha256"], content_hash(load.load(dataset)[0])))
        dataset.path.rename(f"aside-{most}")
    assert len(hashes) == 1


def test_the_file_is_a_dataset_of_its_own(project: Project) -> None:
    write_episodes(Path("data/pendulum.hdf5"), flat.MOST_GROUPS + 1, 2)
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.fetch(dataset, ())
    copy = Path("data/copy.hdf5")
    copy.write_bytes((dataset.path / "rows.hdf5").read_bytes())
    project.set("tasks.copy", {**project.settings["tasks"]["pendulum"], "dataset": "file:data/copy.hdf5"})
    again = task_data.dataset_of(project.load(), "copy")
    assert content_hash(load.load(again)[0]) == content_hash(load.load(dataset)[0])
    assert json.loads(Path("datasets.lock").read_text())["file:data/copy.hdf5"]["env"] == "InvertedPendulum-v5"


def test_a_changed_file_is_seen(project: Project) -> None:
    write_episodes(Path("data/pendulum.hdf5"), flat.MOST_GROUPS + 1, 2)
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.fetch(dataset, ())
    with h5py.File(dataset.path / "rows.hdf5", "r+") as file:
        file["rewards"][7] = 100.0
    assert store.folder_problem(dataset) is None
    with pytest.raises(UserError, match="the data have the content hash"):
        load.load(dataset)


def test_what_is_recorded_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an episode that was cut off in its midst at the end."""
    recorder = Recorder(envs.make("InvertedPendulum-v5"))
    recorder.action_space.seed(0)
    recorder.reset(seed=0)
    for _ in range(50):
        _, _, terminated, truncated, _ = recorder.step(recorder.action_space.sample())
        if terminated or truncated:
            recorder.reset()
    recorder.write(tmp_path / "groups", "own/a-v0", "")
    monkeypatch.setattr(flat, "MOST_GROUPS", 1)
    recorder.write(tmp_path / "flat", "own/a-v0", "")
    recorder.close()
    assert objects(tmp_path / "flat/rows.hdf5") < 10
    assert content_hash(flat.read(tmp_path / "flat")) == content_hash(minari.read(tmp_path / "groups"))
    with h5py.File(tmp_path / "flat/rows.hdf5") as file, h5py.File(tmp_path / "groups/data/main_data.hdf5") as own:
        assert len(file["last_observations"]) == len(own) > 2
        assert (file["last_observations"][1] == own["episode_1/observations"][-1]).all()


def test_a_set_of_minaris_is_read_once(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained on is what was fetched; the environment is still the one that Minari's metadata name."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    record(gym.make("InvertedPendulum-v5"), "own/pendulum-v0")
    task(project, "own/pendulum-v0")
    whole = content_hash(minari.read(tmp_path / "minari/own/pendulum-v0"))
    monkeypatch.setattr(flat, "MOST_GROUPS", 3)
    dataset = fetched(project)
    assert folder.describe(dataset.path)["files"].keys() == {
        "data/main_data.hdf5", "data/metadata.json", "rows.hdf5",
    }  # fmt: skip
    envs.make("minari:own/pendulum-v0").close()
    monkeypatch.setattr(minari, "read", None)
    raw, digest = load.load(dataset)
    assert content_hash(raw) == digest == whole
    assert project.plan().cells[0].group.dataset == dataset
    (dataset.path / "rows.hdf5").write_bytes(b"shorter")
    assert store.folder_problem(dataset) == "incomplete: rows.hdf5"
