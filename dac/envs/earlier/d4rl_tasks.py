"""Where D4RL's tasks were when data of before were recorded: their metadata name `dac.d4rl_tasks:AntMaze`, say."""

from dac.envs.d4rl_tasks import AntMaze, make_hand, make_kitchen, make_pen

__all__ = ["AntMaze", "make_hand", "make_kitchen", "make_pen"]
