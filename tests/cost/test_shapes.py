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


def test_an_environment_that_is_not_in_the_table_counts_as_a_locomotion_task() -> None:
    assert shapes.dimensions("Own-v0") == (17, 6)
    assert shapes.dimensions("Ant-v5") == (105, 8)
    assert shapes.dimensions("AntMaze_Large_Diverse_GR-v5") == (29, 8)
