"""Shapes, and the sizes of environments."""

from __future__ import annotations

import pytest

from dac import envs
from dac.cost import shapes


@pytest.mark.parametrize(
    "env",
    [
        "HalfCheetah-v5",
        "Hopper-v5",
        "Walker2d-v4",
        "InvertedPendulum-v5",
        "AntMaze_UMaze-v4",
        "PointMaze_UMaze-v3",
        "FrankaKitchen-v1",
        "D4RL/AntMaze_Large-v2",
        "D4RL/AdroitHandPen-v1",
        "D4RL/Kitchen_MicrowaveKettleLightSlider-v0",
    ],
)
def test_sizes_of_environments(env: str) -> None:
    made = envs.make(env)
    assert made.observation_space.shape is not None
    assert made.action_space.shape is not None
    assert shapes.dimensions(env) == (made.observation_space.shape[0], made.action_space.shape[0])
    made.close()


@pytest.mark.parametrize(
    ("dataset", "env"),
    [
        ("mujoco/hopper/medium-v0", "Hopper-v5"),
        ("mujoco/walker2d/expert-v0", "Walker2d-v5"),
        ("mujoco/ant/expert-v0", "Ant-v5"),
        ("D4RL/antmaze/umaze-diverse-v1", "AntMaze_UMaze-v4"),
        ("D4RL/pointmaze/open-dense-v2", "PointMaze_Open-v3"),
        ("D4RL/pen/human-v2", "AdroitHandPen-v1"),
        ("D4RL/door/human-v2", "AdroitHandDoor-v1"),
        ("D4RL/hammer/cloned-v2", "AdroitHandHammer-v1"),
        ("D4RL/relocate/expert-v2", "AdroitHandRelocate-v1"),
        ("D4RL/kitchen/mixed-v2", "FrankaKitchen-v1"),
    ],
)
def test_what_minaris_data_recover_has_the_sizes_of_their_environment(dataset: str, env: str) -> None:
    assert shapes.dimensions(f"minari:{dataset}") == shapes.dimensions(env)


def test_an_environment_that_is_not_in_the_table_counts_as_a_locomotion_task() -> None:
    assert shapes.dimensions("Own-v0") == (17, 6)
    assert shapes.dimensions("Ant-v5") == (105, 8)
    assert shapes.dimensions("AntMaze_Large_Diverse_GR-v5") == (29, 8)
