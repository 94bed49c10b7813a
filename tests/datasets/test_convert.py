"""HDF5 to Minari: nothing that training reads may change on the way."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import h5py
import minari
import numpy as np
import pytest

from dac.datasets import convert, folder
from dac.datasets.sources import d4rl
from dac.datasets.sources.file import origin
from dac.datasets.transitions import Transitions, to_transitions
from dac.rows import checks, layout
from dac.rows.raw import RawDataset, statistics
from dac.study.identity import Dataset, canonical
from dac.system.errors import UserError
from dac.system.hashing import sha256_of


def write(path: Path, raw: RawDataset, env_id: str | None = None, **more: np.ndarray) -> Dataset:
    """A file in D4RL's layout, as a `file:` dataset."""
    with h5py.File(path, "w") as file:
        for field in fields(raw):
            file[field.name] = getattr(raw, field.name)
        for key, array in more.items():
            file[key] = array
        if env_id:
            file["metadata/env_id"] = env_id
    identity = {"source": "file", "version": 1, "sha256": sha256_of(path)}
    return Dataset("file", path.name, canonical(identity))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def assert_equal(one: Transitions, other: Transitions) -> None:
    for field in fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert first.dtype == second.dtype
        assert (first == second).all(), field.name


@pytest.mark.parametrize("scaling", ["locomotion", "antmaze-shift", "none"])
def test_transitions_are_those_of_the_file(raw: RawDataset, scaling: str) -> None:
    """Also where an episode both terminates and times out, and where the last one has no end."""
    dataset = write(Path("a.hdf5"), raw)
    convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    converted = folder.load(dataset.path)
    assert_equal(to_transitions(converted, scaling), to_transitions(raw, scaling))
    assert statistics(converted) == statistics(raw)


def test_minari_reads_episodes_and_their_ends(raw: RawDataset) -> None:
    dataset = write(Path("a.hdf5"), raw)
    convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    episodes = list(minari.MinariDataset((dataset.path / "data").resolve()).iterate_episodes())
    assert [len(episode.rewards) for episode in episodes] == [3, 2, 2, 2]
    ends = [(bool(episode.terminations[-1]), bool(episode.truncations[-1])) for episode in episodes]
    assert ends == [(False, True), (True, False), (True, True), (False, True)]
    assert not any(episode.terminations[:-1].any() or episode.truncations[:-1].any() for episode in episodes)
    assert [episode.observations.shape for episode in episodes] == [(4, 2), (3, 2), (3, 2), (3, 2)]
    # Without next_observations in the file the observation after the last step is not known.
    assert (episodes[0].observations[3] == raw.observations[2]).all()


def test_recorded_next_observations_are_kept_at_the_ends(raw: RawDataset) -> None:
    following = np.roll(raw.observations, -1, axis=0)
    ends = [2, 4, 6, 8]
    following[ends] += 100
    dataset = write(Path("a.hdf5"), raw, next_observations=following)
    convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    episodes = list(minari.MinariDataset((dataset.path / "data").resolve()).iterate_episodes())
    assert [episode.observations[-1].tolist() for episode in episodes] == following[ends].tolist()
    assert folder.describe(dataset.path)["last_observations"] == "recorded"


def test_the_metadata_say_where_the_data_are_from(raw: RawDataset) -> None:
    observations = np.zeros((9, 11), np.float32)
    actions = np.zeros((9, 3), np.float32)
    rows = RawDataset(observations, actions, raw.rewards, raw.terminals, raw.timeouts)
    dataset = write(Path("a.hdf5"), rows, "Hopper-v4")
    convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    made = minari.MinariDataset((dataset.path / "data").resolve())
    assert made.id == "file/a-v0"
    assert made.env_spec is not None
    assert made.env_spec.id == "Hopper-v4"
    env = made.recover_environment()
    assert env.observation_space.shape == (11,)
    env.close()
    facts = made.storage.metadata
    assert facts["source_sha256"] == sha256_of(Path("a.hdf5"))
    assert (facts["ref_min_score"], facts["ref_max_score"]) == (-20.272305, 3234.3)
    noted = folder.describe(dataset.path)
    assert noted["env_id"] == "Hopper-v4"
    assert noted["source"]["path"] == "a.hdf5"
    assert noted["last_observations"] == "repeated"


@pytest.mark.parametrize("env_id", ["Hopper-v4", "NoSuchTask-v0"])
def test_an_environment_that_does_not_fit_is_left_out(
    raw: RawDataset, env_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    dataset = write(Path("a.hdf5"), raw, env_id)
    convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    assert minari.MinariDataset((dataset.path / "data").resolve()).env_spec is None
    assert "recorded without an environment" in caplog.text
    assert env_id in caplog.text


def test_a_file_of_d4rls_names_its_address(raw: RawDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("a.hdf5"), raw)
    dataset = Dataset("d4rl", "door-human-v1", canonical({"sha256": sha256_of(Path("a.hdf5"))}))
    convert.convert(dataset, Path("a.hdf5"), lambda: d4rl.origin(dataset.name))
    facts = minari.MinariDataset((dataset.path / "data").resolve()).storage.metadata
    assert facts["source_url"].endswith("/hand_dapg_v1/door-human-v1.hdf5")
    assert facts["ref_max_score"] == 2880.5693087298737


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """The folder `data/datasets` on a disk of a megabyte."""
    folder = Path("data/datasets")
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("moment", ["check_source", "checks.read"])
def test_a_file_that_is_replaced_while_it_is_converted_is_not_trained_on(
    raw: RawDataset, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whether after its sha256 was compared, or after its rows were read."""
    dataset = write(Path("a.hdf5"), raw)
    write(Path("other.hdf5"), dataclasses.replace(raw, rewards=raw.rewards + 1))
    module, name = (checks, "read") if moment == "checks.read" else (convert, "check_source")
    wrapped = getattr(module, name)

    def replaced(*arguments: object, **more: object) -> object:
        found = wrapped(*arguments, **more)
        Path("other.hdf5").replace("a.hdf5")
        return found

    monkeypatch.setattr(module, name, replaced)
    with pytest.raises(UserError, match=r"^a.hdf5: it changed while it was read"):
        convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    assert not dataset.path.exists()


def test_what_a_killed_process_left_is_removed(raw: RawDataset) -> None:
    dataset = write(Path("a.hdf5"), raw)
    left = dataset.path.with_name(f".{dataset.path.name}.1234")
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    assert [path.name for path in dataset.path.parent.iterdir()] == [dataset.path.name]


def test_a_full_disk_leaves_nothing(small_disk: Path) -> None:
    rows = 100_000
    random = np.random.default_rng(0)
    raw = RawDataset(
        observations=random.normal(size=(rows, 4)).astype(np.float32),
        actions=random.uniform(-1, 1, (rows, 1)).astype(np.float32),
        rewards=np.ones(rows, np.float32),
        terminals=np.arange(rows) % 1000 == 999,
        timeouts=np.zeros(rows, np.bool_),
    )
    dataset = write(Path("a.hdf5"), raw)
    with pytest.raises(UserError, match=r"a-v0-\w+: 4 MB are needed and 1 MB are free. Nothing was written"):
        convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    assert list(small_disk.iterdir()) == []


def test_a_full_disk_leaves_nothing_of_one_file_either(small_disk: Path) -> None:
    """22,000 episodes of one row take 660 kB, and their last observations 350 kB more."""
    rows = 22_000
    raw = RawDataset(
        observations=np.ones((rows, 4), np.float32),
        actions=np.zeros((rows, 2), np.float32),
        rewards=np.ones(rows, np.float32),
        terminals=np.ones(rows, np.bool_),
        timeouts=np.zeros(rows, np.bool_),
    )
    dataset = write(Path("a.hdf5"), raw)
    with pytest.raises(UserError, match=r"a-v0-\w+: 1 MB are needed and 1 MB are free. Nothing was written"):
        convert.convert(dataset, Path("a.hdf5"), lambda: origin(Path("a.hdf5")))
    assert list(small_disk.iterdir()) == []


def test_a_truncated_file_is_named(raw: RawDataset) -> None:
    write(Path("a.hdf5"), raw)
    content = Path("a.hdf5").read_bytes()
    Path("a.hdf5").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a.hdf5: not readable as HDF5 .*truncated"):
        layout.read(Path("a.hdf5"))


def test_recorded_locomotion_data_are_unchanged(zoo: Path) -> None:
    path = zoo / "walker2d_medium_replay-zoo-v0.hdf5"
    dataset = Dataset("file", str(path), canonical({"sha256": sha256_of(path)}))
    convert.convert(dataset, path, lambda: origin(path))
    assert_equal(
        to_transitions(folder.load(dataset.path), "locomotion"), to_transitions(layout.read(path), "locomotion")
    )
