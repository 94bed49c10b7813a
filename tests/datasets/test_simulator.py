"""One step from recorded states: the simulator that recorded them agrees, another one does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dac import envs
from dac.datasets.simulator import resimulate
from dac.rows import layout
from dac.rows.raw import RawDataset


def recorded(env_id: str, steps: int = 200) -> RawDataset:
    """Random actions in an environment."""
    env = envs.make(env_id)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    rows = []
    for step in range(steps):
        action = env.action_space.sample()
        following, reward, terminated, truncated, _ = env.step(action)
        rows.append((observation, action, reward, terminated, truncated or step == steps - 1))
        observation = env.reset()[0] if terminated or truncated else following
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return RawDataset(*(column.astype(np.float32) for column in columns[:3]), *columns[3:])  # type: ignore[arg-type]


@pytest.mark.parametrize("env_id", ["HalfCheetah-v4", "Hopper-v4", "D4RL/AntMaze_UMaze-v2", "InvertedPendulum-v5"])
def test_the_simulator_that_recorded_them_agrees(env_id: str) -> None:
    found = resimulate(recorded(env_id), env_id)
    assert found is not None
    assert found.rows > 50
    assert found.median < 1e-5
    assert found.upper < 1e-3


def test_rows_that_do_not_follow_each_other_are_seen() -> None:
    """A file whose episodes' ends are not marked where they are."""
    raw = recorded("Hopper-v4")
    shifted = RawDataset(raw.observations, np.roll(raw.actions, 1, axis=0), raw.rewards, raw.terminals, raw.timeouts)
    found = resimulate(shifted, "Hopper-v4")
    assert found is not None
    assert found.median > 0.1


def test_what_shows_no_whole_state_is_not_compared() -> None:
    assert resimulate(recorded("AdroitHandDoor-v1", steps=20), "AdroitHandDoor-v1") is None
    assert resimulate(recorded("Reacher-v5", steps=20), "Reacher-v5") is None
    assert resimulate(recorded("Hopper-v4"), "HalfCheetah-v4") is None


def test_recorded_walkers_tell_versions_apart(zoo: Path) -> None:
    """Recorded in v4; v5 has another friction at one of the feet."""
    raw = layout.read(zoo / "walker2d_medium-zoo-v0.hdf5")
    own, other = resimulate(raw, "Walker2d-v4"), resimulate(raw, "Walker2d-v5")
    assert own is not None
    assert other is not None
    assert own.upper < 1e-5
    assert other.upper > 0.1
