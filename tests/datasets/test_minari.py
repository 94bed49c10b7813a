from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari as library
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from dac import envs
from dac.datasets import minari
from dac.datasets.episodes import Episode, to_raw
from dac.datasets.transitions import to_transitions
from dac.rows.raw import content_hash
from dac.system.errors import UserError


def write(directory: Path, episodes: Sequence[Episode], env: gym.Env[Any, Any], dataset_id: str) -> None:
    """Write episodes as the Minari dataset in `directory`, with the spaces and the spec of `env`."""
    data = directory.resolve() / "data"  # Minari joins relative paths wrongly
    data.mkdir(parents=True)
    storage = MinariStorage.new(data, env.observation_space, env.action_space, env.spec)
    storage.update_metadata(
        {
            "dataset_id": dataset_id,
            "minari_version": library.__version__,
        }
    )
    storage.update_episodes(_buffer(number, episode) for number, episode in enumerate(episodes))


def _buffer(number: int, episode: Episode) -> EpisodeBuffer:
    running = [False] * (len(episode) - 1)
    return EpisodeBuffer(
        id=number,
        observations=list(episode.observations),
        actions=list(episode.actions),
        rewards=list(episode.rewards),
        terminations=[*running, episode.terminated],
        truncations=[*running, not episode.terminated],
        infos={},
    )


@pytest.fixture
def env() -> Iterator[envs.Environment]:
    made = envs.make("InvertedPendulum-v5")
    yield made
    made.close()


@pytest.fixture
def episodes() -> list[Episode]:
    """Two episodes, the first cut off after 3 steps, the second terminated after 2."""
    numbers = np.random.default_rng(0)
    return [
        Episode(
            observations=numbers.standard_normal((length + 1, 4)).astype(np.float32),
            actions=numbers.uniform(-1, 1, (length, 1)).astype(np.float32),
            rewards=numbers.standard_normal(length).astype(np.float32),
            terminated=terminated,
        )
        for length, terminated in ((3, False), (2, True))
    ]


def test_what_is_written_is_read_back(tmp_path: Path, env: envs.Environment, episodes: list[Episode]) -> None:
    write(tmp_path / "a", episodes, env, "InvertedPendulum-v5/medium-v0")
    raw = minari.read(tmp_path / "a")
    assert content_hash(raw) == content_hash(to_raw(episodes))
    assert raw.timeouts.tolist() == [False, False, True, False, False]
    assert raw.terminals.tolist() == [False, False, False, False, True]
    assert (raw.observations[:3] == episodes[0].observations[:3]).all()
    assert len(to_transitions(raw, "none")) == 2 + 1


def test_minari_itself_finds_the_dataset_in_its_root_folder(
    tmp_path: Path, env: envs.Environment, episodes: list[Episode]
) -> None:
    write(tmp_path / "group" / "medium-v0", episodes, env, "group/medium-v0")
    code = (
        "import minari; d = minari.load_dataset('group/medium-v0'); e = d.recover_environment();"
        "print(d.total_episodes, d.total_steps, e.action_space, d[0].observations.shape)"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"MINARI_DATASETS_PATH": str(tmp_path), "PATH": "", "HOME": str(tmp_path)},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "2 5 Box(-1.0, 1.0, (1,), float32) (4, 4)"


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no Minari dataset here"):
        minari.read(tmp_path / "nowhere")


def test_a_damaged_dataset_is_named(tmp_path: Path, env: envs.Environment, episodes: list[Episode]) -> None:
    write(tmp_path / "a", episodes, env, "a-v0")
    (tmp_path / "a" / "data" / "main_data.hdf5").write_bytes(b"truncated")
    with pytest.raises(
        UserError, match=r"main_data.hdf5: not readable as HDF5 .*Restore it from a copy|Give another file"
    ):
        minari.read(tmp_path / "a")


def test_an_empty_dataset_is_refused(tmp_path: Path, env: envs.Environment) -> None:
    write(tmp_path / "a", [], env, "a-v0")
    with pytest.raises(UserError, match="has no steps"):
        minari.read(tmp_path / "a")


def test_other_spaces_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "a" / "data"
    data.mkdir(parents=True)
    spaces = gym.spaces.Dict({"x": gym.spaces.Box(-1, 1, (2,))})
    storage = MinariStorage.new(data, spaces, gym.spaces.Box(-1, 1, (1,)))
    storage.update_metadata({"dataset_id": "a-v0", "minari_version": library.__version__})
    storage.update_episodes(
        [
            EpisodeBuffer(
                id=0,
                observations={"x": [np.zeros(2, np.float32)] * 2},
                actions=[np.zeros(1, np.float32)],
                rewards=[0.0],
                terminations=[True],
                truncations=[False],
                infos={},
            )
        ]
    )
    with pytest.raises(UserError, match="the observation space is Dict"):
        minari.read(tmp_path / "a")
