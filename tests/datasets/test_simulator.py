"""One step from recorded states: the simulator that recorded them agrees, another one does not."""

from __future__ import annotations

import dataclasses
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


def shifted(raw: RawDataset, by: int) -> RawDataset:
    """All ends marked some rows later."""
    flags = []
    for ends in (raw.terminals, raw.timeouts):
        places = np.flatnonzero(ends) + by
        moved = np.zeros(len(raw), np.bool_)
        moved[places[(places >= 0) & (places < len(raw))]] = True
        flags.append(moved)
    return dataclasses.replace(raw, terminals=flags[0], timeouts=flags[1])


def doubts(raw: RawDataset, env_id: str) -> str:
    found = resimulate(raw, env_id)
    assert found is not None
    return "; ".join(found.doubts)


MISPLACED = [(3, "3 rows late"), (1, "1 row late"), (-1, "1 row early"), (-4, "4 rows early")]


@pytest.mark.parametrize(("by", "said"), MISPLACED)
def test_ends_that_are_marked_elsewhere(by: int, said: str) -> None:
    raw = recorded("Hopper-v4", steps=600)
    assert doubts(raw, "Hopper-v4") == ""
    assert doubts(shifted(raw, by), "Hopper-v4").startswith(
        f"ends seem to be marked {said}: the steps {said[:-5].strip()}"
    )


@pytest.mark.parametrize("name", ["halfcheetah_medium_replay", "walker2d_medium_expert", "hopper_medium"])
def test_recorded_ends_raise_no_alarm_and_misplaced_ones_do(zoo: Path, name: str) -> None:
    """Also of 200 episodes of a thousand steps each, in which three rows at an end are three in a thousand."""
    raw = layout.read(zoo / f"{name}-zoo-v0.hdf5")
    env_id = {"half": "HalfCheetah-v4", "walk": "Walker2d-v4", "hopp": "Hopper-v4"}[name[:4]]
    assert doubts(raw, env_id) == ""
    for by, said in MISPLACED:
        assert doubts(shifted(raw, by), env_id).startswith(f"ends seem to be marked {said}")


def test_an_end_that_is_not_marked() -> None:
    raw = recorded("Hopper-v4", steps=600)
    row = int(np.flatnonzero(raw.terminals)[4])
    raw.terminals[row] = False
    assert doubts(raw, "Hopper-v4").startswith("1 of the 200 largest changes within episodes are no steps of this sim")
    assert f"the first from row {row} to the next" in doubts(raw, "Hopper-v4")


def test_ends_after_which_episodes_go_on() -> None:
    """Each recorded episode cut into pieces of ten, though it went on."""
    raw = recorded("HalfCheetah-v4", steps=200)
    cut = dataclasses.replace(raw, timeouts=np.arange(200) % 10 == 9)
    assert doubts(cut, "HalfCheetah-v4").startswith("episodes seem to go on after their ends (19 looked at)")


def test_rows_out_of_order() -> None:
    raw = recorded("Hopper-v4")
    order = np.random.default_rng(0).permutation(len(raw))
    permuted = dataclasses.replace(raw, observations=raw.observations[order], actions=raw.actions[order])
    assert doubts(permuted, "Hopper-v4") == "the rows do not follow from one another, or are of another environment"


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
