"""D4RL's tasks, against D4RL's own numbers and real recordings."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from shared import shared_data

from dac import envs
from dac.envs.d4rl_tasks import GOAL_RADIUS, MAZES, AntMaze
from dac.study.catalog import d4rl_ids, environment_of, reference_returns

SIZES = {
    "halfcheetah": (17, 6), "hopper": (11, 3), "walker2d": (17, 6), "antmaze": (29, 8), "pen": (45, 24),
    "door": (39, 28), "hammer": (46, 26), "relocate": (39, 30), "kitchen": (60, 9),
}  # fmt: skip
LIMITS = {
    "halfcheetah": 1000, "hopper": 1000, "walker2d": 1000, "antmaze-umaze": 700, "antmaze-medium": 1000,
    "antmaze-large": 1000, "pen": 100, "door": 200, "hammer": 200, "relocate": 200, "kitchen": 280,
}  # fmt: skip


@pytest.mark.parametrize("env_id", sorted({environment_of(name) for name in d4rl_ids()}))
def test_every_dataset_has_an_environment_of_its_sizes_and_its_limit(env_id: str) -> None:
    names = [name for name in d4rl_ids() if environment_of(name) == env_id]
    env = envs.make(env_id)
    (sizes,) = {SIZES[name.partition("-")[0]] for name in names}
    assert env.observation_space.shape == (sizes[0],)
    space: Any = env.action_space
    assert (space.shape, space.low.min(), space.high.max()) == ((sizes[1],), -1.0, 1.0)
    assert env.spec is not None
    assert env.spec.max_episode_steps in {limit for key, limit in LIMITS.items() if names[0].startswith(key)}
    first, again = env.reset(seed=3)[0], env.reset(seed=3)[0]
    assert (first == again).all()
    assert (env.reset(seed=4)[0] != first).any()
    assert reference_returns(env_id) == reference_returns(names[0])
    env.close()


# AntMaze


@pytest.fixture
def maze() -> AntMaze:
    return AntMaze("Large")


def test_the_ant_is_d4rls(maze: AntMaze) -> None:
    """Numbers of d4rl/locomotion/assets/ant.xml, in the compiled model."""
    model = maze.model
    assert (model.opt.timestep, maze.dt) == (0.02, pytest.approx(0.1))
    assert model.opt.integrator == 1, "Runge-Kutta"
    assert (model.actuator_gear[:, 0] == 30.0).all()
    assert (model.actuator_ctrlrange == [-1.0, 1.0]).all()
    assert (model.geom_solimp[:, :3] == [0.8, 0.8, 0.01]).all()
    assert (model.geom_friction == [1.0, 0.5, 0.5])[~(model.geom_type == 6)].all()
    assert (model.dof_armature[6:] == 1.0).all()
    assert (model.dof_damping[6:] == 1.0).all()
    assert model.body_mass.sum() == pytest.approx(gym.make("Ant-v4").unwrapped.model.body_mass.sum())  # type: ignore[attr-defined]


def test_walls_stand_around_the_start_at_the_origin(maze: AntMaze) -> None:
    boxes = maze.model.geom_type == 6
    places = {tuple(place) for place in maze.model.geom_pos[boxes].tolist()}
    expected = {
        (4.0 * (x - 1), 4.0 * (y - 1), 1.0)
        for y, row in enumerate(MAZES["Large"])
        for x, mark in enumerate(row)
        if mark == "#"
    }
    assert places == expected
    assert (maze.model.geom_size[boxes] == [2.0, 2.0, 1.0]).all()


def test_a_wall_stops_the_ant(maze: AntMaze) -> None:
    maze.reset(seed=0)
    push = maze.init_qvel.copy()
    for _ in range(30):
        push[0] = -5.0  # towards the wall at x = -2
        maze.set_state(maze.data.qpos.copy(), push)  # type: ignore[no-untyped-call]
        maze.step(np.zeros(8, np.float32))
    assert -2.0 < maze.data.qpos[0] < -0.5


def test_starts_and_goals_are_drawn_as_in_d4rl(maze: AntMaze) -> None:
    """The goal within 1.5 m of its cell's middle, to the right and above; the start within 0.1 of the origin."""
    starts, goals = [], []
    for seed in range(200):
        observation, _ = maze.reset(seed=seed)
        starts.append(observation[:2])
        goals.append(maze.goal - maze.goal_cell)
    assert maze.goal_cell.tolist() == [32.0, 24.0]
    assert np.abs(starts).max() <= 0.1
    assert np.abs(starts).max() > 0.09
    assert 0.0 <= np.min(goals) < 0.2
    assert 1.3 < np.max(goals) <= 1.5
    assert np.mean(goals) == pytest.approx(0.75, abs=0.05), "uniform in [0, 1] plus uniform in [0, 0.5]"


@pytest.mark.parametrize(("distance", "reached"), [(GOAL_RADIUS - 0.05, True), (GOAL_RADIUS + 0.05, False)])
def test_the_goal_ends_the_episode_with_reward_one(distance: float, reached: bool) -> None:
    env = envs.make("D4RL/AntMaze_UMaze-v2")
    env.reset(seed=0)
    inner: Any = env.unwrapped
    inner.goal = inner.data.qpos[:2] + np.array([distance, 0.0])
    # One step of a resting ant moves it by millimetres.
    observation, reward, terminated, truncated, _ = env.step(np.zeros(8, np.float32))
    assert (float(reward), terminated, truncated) == (float(reached), reached, False)
    assert observation[:2] == pytest.approx(inner.data.qpos[:2], abs=1e-6)
    assert observation[15:] == pytest.approx(inner.data.qvel, abs=1e-5)


def test_a_fallen_ant_goes_on(maze: AntMaze) -> None:
    maze.reset(seed=0)
    over = maze.init_qpos.copy()
    over[2], over[3:7] = 0.3, [0.0, 1.0, 0.0, 0.0]
    maze.set_state(over, maze.init_qvel)  # type: ignore[no-untyped-call]
    assert maze.step(np.zeros(8, np.float32))[2] is False


# Adroit


def test_the_pen_that_falls_ends_the_episode() -> None:
    env, plain = envs.make("D4RL/AdroitHandPen-v1"), envs.make("AdroitHandPen-v1")
    env.reset(seed=0)
    plain.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(100):
        action = env.action_space.sample()
        *_, terminated, truncated, _ = env.step(action)
        assert not plain.step(action)[2], "gymnasium-robotics' own goes on"
        height = env.unwrapped.data.xpos[env.unwrapped.obj_body_id][2]  # type: ignore[attr-defined]
        assert terminated == (height < 0.075)
        if terminated:
            break
    assert terminated
    assert not truncated


@pytest.mark.parametrize("name", ["AdroitHandDoor-v1", "AdroitHandHammer-v1", "AdroitHandRelocate-v1"])
def test_the_distance_to_the_object_is_subtracted(name: str) -> None:
    """From the observation alone: the part of the reward that D4RL and gymnasium-robotics write with other signs."""
    env, plain = envs.make(f"D4RL/{name}"), envs.make(name)
    env.reset(seed=1)
    plain.reset(seed=1)
    action = np.full(env.action_space.shape, 0.3, np.float32)  # type: ignore[arg-type]
    for _ in range(5):
        observation, reward, *_ = env.step(action)
        other = plain.step(action)[1]
    palm_to_object = {
        "AdroitHandDoor-v1": observation[35:38],
        "AdroitHandHammer-v1": observation[33:36] - observation[36:39],
        "AdroitHandRelocate-v1": observation[30:33],
    }[name]
    assert float(reward) == pytest.approx(float(other) - 0.2 * np.linalg.norm(palm_to_object), abs=1e-6)


def test_the_door_rewards_as_in_real_demonstrations() -> None:
    """Reward and observation of people's demonstrations obey one formula, which is that of the environment here."""
    with h5py.File(shared_data("adroit") / "door_human.hdf5") as file:
        observations, rewards, ends = (file[key][:] for key in ("observations", "rewards", "timeouts"))
    going = ~ends[:-1]
    recorded = (rewards[:-1] - door_reward(observations[1:]))[going]
    env = envs.make("D4RL/AdroitHandDoor-v1")
    env.reset(seed=0)
    env.action_space.seed(0)
    made = []
    for _ in range(200):
        observation, reward, *_ = env.step(env.action_space.sample())
        made.append(float(reward) - float(door_reward(observation[None])[0]))
    # What is left is the penalty on velocities, 1e-5 |v|^2, which observations do not show.
    for rest in (recorded, np.array(made)):
        assert rest.max() < 1e-4
        assert rest.min() > -0.1


def door_reward(observations: np.ndarray) -> np.ndarray:
    """d4rl/hand_manipulation_suite/door_v0.py, without the penalty on velocities."""
    distance, angle = np.linalg.norm(observations[:, 35:38], axis=1), observations[:, 28]
    bonus = 2.0 * (angle > 0.2) + 8.0 * (angle > 1.0) + 10.0 * (angle > 1.35)
    result: np.ndarray = -0.1 * distance - 0.1 * (angle - 1.57) ** 2 + bonus
    return result


# Kitchen


def test_the_kitchens_sixty_numbers() -> None:
    env = envs.make("D4RL/Kitchen_MicrowaveKettleLightSlider-v0")
    observation, _ = env.reset(seed=0)
    kitchen: Any = env.unwrapped
    qpos = kitchen.data.qpos
    assert observation[:9] == pytest.approx(qpos[:9], abs=0.03), "noise of up to a tenth of 0.1 and more"
    assert observation[9:30] == pytest.approx(qpos[9:30], abs=0.03)
    goal = np.zeros(30)
    goal[[17, 18]], goal[19], goal[22] = [-0.69, -0.05], 0.37, -0.75
    goal[23:30] = [-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06]
    assert observation[30:] == pytest.approx(goal)


def test_the_kitchen_counts_each_object_once_and_ends_with_the_last() -> None:
    env = envs.make("D4RL/Kitchen_MicrowaveKettleBottomBurnerLight-v0")
    env.reset(seed=0)
    kitchen: Any = env.unwrapped
    places = {"microwave": [22], "kettle": range(23, 30), "bottom burner": [11, 12], "light switch": [17, 18]}
    rewards = []
    for element, numbers in places.items():
        kitchen.data.qpos[list(numbers)] = kitchen.goal[element]
        for _ in range(2):
            _, reward, terminated, truncated, _ = env.step(np.zeros(9, np.float32))
            rewards.append(float(reward))
            if terminated:
                break
    assert rewards == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert terminated
    assert not truncated


def test_the_specification_recreates_the_environment() -> None:
    spec = gym.envs.registration.EnvSpec.from_json(envs.make("D4RL/AntMaze_Medium-v2").spec.to_json())  # type: ignore[union-attr]
    made = gym.make(spec)
    assert made.observation_space.shape == (29,)
    assert isinstance(made.unwrapped, AntMaze)
