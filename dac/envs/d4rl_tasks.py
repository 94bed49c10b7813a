"""D4RL's tasks that Gymnasium has in another form, registered under the namespace `D4RL/` when this is imported.

Each class says what D4RL's own version of the task does, and where the facts are from. docs/tasks.md has the table of
all tasks, and what still differs from D4RL's simulator.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import gymnasium_robotics
import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_env import MujocoEnv, expand_model_path
from numpy.typing import NDArray

gym.register_envs(gymnasium_robotics)

# Mazes of Farama-Foundation/D4RL, d4rl/locomotion/maze_env.py (U_MAZE_TEST, BIG_MAZE_TEST, HARDEST_MAZE_TEST):
# `#` a wall, S the cell of the start, G the goal's.
MAZES = {
    "UMaze": (
        "#####",
        "#S  #",
        "### #",
        "#G  #",
        "#####",
    ),
    "Medium": (
        "########",
        "#S ##  #",
        "#  #   #",
        "##   ###",
        "#  #   #",
        "# #  # #",
        "#   # G#",
        "########",
    ),
    "Large": (
        "############",
        "#S   #     #",
        "# ## # # # #",
        "#      #   #",
        "# #### ### #",
        "#  # #     #",
        "## # # # ###",
        "#  #   # G #",
        "############",
    ),
}
CELL = 4.0  # metres; walls are half as high
GOAL_RADIUS = 0.5


class AntMaze(MujocoEnv):
    """D4RL's AntMaze: an ant walks from its start cell to a goal, which ends the episode with reward 1.

    The observation is (29,): position and joint angles (15), then velocities (14); the goal is not in it. Facts from
    Farama-Foundation/D4RL, d4rl/locomotion (ant.py, maze_env.py, goal_reaching_env.py, assets/ant.xml): the start cell
    is the origin and rows go along y; torques up to 30 N m, 0.02 s a simulation step and 5 of those an action, where
    Gymnasium's ant has 150 and 0.01; contacts with solimp (0.8, 0.8, 0.01); no end when the ant falls over. The goal
    is drawn in its cell at every reset, as in D4RL's v2 environments; those of v0 draw it once for all episodes.

    Args:
        maze: a key of MAZES.
    """

    metadata = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"]}  # noqa: RUF012 - as MujocoEnv has it

    def __init__(self, maze: str, **kwargs: Any) -> None:
        self._cells = {(x, y): mark for y, row in enumerate(MAZES[maze]) for x, mark in enumerate(row)}
        (self._start,) = (cell for cell, mark in self._cells.items() if mark == "S")
        (goal,) = (cell for cell, mark in self._cells.items() if mark == "G")
        self.goal_cell: NDArray[np.float64] = self._position(goal)
        self.goal = self.goal_cell
        space = gym.spaces.Box(-np.inf, np.inf, (29,), np.float64)
        super().__init__("ant.xml", frame_skip=5, observation_space=space, **kwargs)

    def _position(self, cell: tuple[int, int]) -> NDArray[np.float64]:
        """The middle of a cell, (x, y) in metres."""
        return CELL * (np.array(cell, np.float64) - np.array(self._start, np.float64))

    def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Gymnasium's ant, whose body is D4RL's, with D4RL's motors and time step, in the maze."""
        spec = mujoco.MjSpec.from_file(expand_model_path("ant.xml"))
        spec.option.timestep = 0.02
        for actuator in spec.actuators:
            gear = actuator.gear.copy()
            gear[0] = 30.0
            actuator.gear = gear
        for x, y in (cell for cell, mark in self._cells.items() if mark == "#"):
            spec.worldbody.add_geom(
                name=f"wall_{y}_{x}",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=[*self._position((x, y)), CELL / 4],
                size=[CELL / 2, CELL / 2, CELL / 4],
                contype=1,
                conaffinity=1,
                rgba=[0.7, 0.5, 0.3, 1.0],
            )
        for geom in spec.geoms:
            geom.solimp = [0.8, 0.8, 0.01, 0.5, 2.0]
        model = spec.compile()
        return model, mujoco.MjData(model)

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float64], Any, bool, bool, dict[str, Any]]:
        self.do_simulation(action, self.frame_skip)
        reached = bool(np.linalg.norm(self.data.qpos[:2] - self.goal) <= GOAL_RADIUS)
        return self.state_vector(), float(reached), reached, False, {"success": reached}

    def reset_model(self) -> NDArray[np.float64]:
        quarter, eighth = CELL / 4, CELL / 8
        noise = self.np_random.uniform(0, quarter, 2) + self.np_random.uniform(0, eighth, 2)
        self.goal = np.maximum(self.goal_cell + noise, 0.0)
        qpos = self.init_qpos + self.np_random.uniform(-0.1, 0.1, self.model.nq)
        qvel = self.init_qvel + 0.1 * self.np_random.standard_normal(self.model.nv)
        self.set_state(qpos, qvel)  # type: ignore[no-untyped-call]
        return self.state_vector()


class EndWhenDropped(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """The episode ends when the pen falls below 0.075 m, as in d4rl/hand_manipulation_suite/pen_v0.py."""

    HEIGHT = 0.075

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        hand: Any = self.env.unwrapped
        dropped = bool(hand.data.xpos[hand.obj_body_id][2] < self.HEIGHT)
        return observation, reward, terminated or dropped, truncated, info


class ReachPenalty(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Rewards with D4RL's sign for the distance from the palm to the object.

    D4RL subtracts a tenth of that distance (d4rl/hand_manipulation_suite/door_v0.py and those of hammer and relocate),
    and so do the rewards in its files. The dense rewards of gymnasium-robotics 1.4.2 add it, as its pull request 220
    explains.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward) - 0.2 * self._distance(), terminated, truncated, info

    def _distance(self) -> float:
        hand: Any = self.env.unwrapped
        if hasattr(hand, "handle_site_id"):  # the door's
            palm, held = hand.data.site_xpos[hand.grasp_site_id], hand.data.site_xpos[hand.handle_site_id]
        else:
            palm, held = hand.data.site_xpos[hand.S_grasp_site_id], hand.data.xpos[hand.obj_body_id]
        return float(np.linalg.norm(palm - held))


class KitchenObservation(gym.ObservationWrapper[Any, Any, Any], gym.utils.RecordConstructorArgs):
    """FrankaKitchen's dictionary as the 60 numbers of D4RL's kitchen files.

    Those are the 9 positions of the robot, the 21 of the objects, and a goal of 30 numbers: zero but for the places of
    the task's objects (d4rl/kitchen/kitchen_envs.py). Gymnasium's `observation` has 59: robot positions 9 and
    velocities 9, object positions 21 and velocities 20.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        from gymnasium_robotics.envs.franka_kitchen.kitchen_env import OBS_ELEMENT_GOALS, OBS_ELEMENT_INDICES

        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (60,), np.float32)
        kitchen: Any = env.unwrapped
        self._goal = np.zeros(30, np.float32)
        for element in kitchen.goal:
            self._goal[OBS_ELEMENT_INDICES[element]] = OBS_ELEMENT_GOALS[element]

    def observation(self, observation: Any) -> NDArray[np.float32]:
        numbers = observation["observation"]
        return np.concatenate([numbers[:9], numbers[18:39], self._goal]).astype(np.float32)


def _bare(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """One of gymnasium-robotics without its step limit: the id registered here has D4RL's."""
    return gym.make(env_id, max_episode_steps=-1, disable_env_checker=True, **kwargs)


def make_pen(**kwargs: Any) -> gym.Env[Any, Any]:
    """D4RL's pen task, without its limit of 100 steps."""
    return EndWhenDropped(_bare("AdroitHandPen-v1", **kwargs))


def make_hand(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """D4RL's door, hammer or relocate task, without its limit of 200 steps."""
    return ReachPenalty(_bare(env_id, **kwargs))


def make_kitchen(elements: tuple[str, ...], **kwargs: Any) -> gym.Env[Any, Any]:
    """D4RL's kitchen with the objects of one task, without its limit of 280 steps."""
    # D4RL's noise on what the robot and the objects report is a tenth of the configured amplitudes
    # (kitchen_multitask_v0.py); Gymnasium's defaults are less.
    noise = {"robot_noise_ratio": 0.1, "object_noise_ratio": 0.1}
    return KitchenObservation(_bare("FrankaKitchen-v1", tasks_to_complete=list(elements), **noise, **kwargs))


def _register() -> None:
    # Step limits: d4rl/locomotion/__init__.py, d4rl/hand_manipulation_suite/__init__.py, d4rl/kitchen/__init__.py.
    for maze, steps in {"UMaze": 700, "Medium": 1000, "Large": 1000}.items():
        _register_one(f"AntMaze_{maze}-v2", "AntMaze", steps, maze=maze)
    _register_one("AdroitHandPen-v1", "make_pen", 100)
    for hand in ("AdroitHandDoor-v1", "AdroitHandHammer-v1", "AdroitHandRelocate-v1"):
        _register_one(hand, "make_hand", 200, env_id=hand)
    kitchens = {
        "MicrowaveKettleLightSlider": ("microwave", "kettle", "light switch", "slide cabinet"),
        "MicrowaveKettleBottomBurnerLight": ("microwave", "kettle", "bottom burner", "light switch"),
    }
    for name, elements in kitchens.items():
        _register_one(f"Kitchen_{name}-v0", "make_kitchen", 280, elements=elements)


def _register_one(name: str, maker: str, steps: int, **arguments: Any) -> None:
    # The maker as text: a specification with it can be written into a dataset's metadata.
    gym.register(f"D4RL/{name}", entry_point=f"{__name__}:{maker}", max_episode_steps=steps, kwargs=arguments)


_register()
