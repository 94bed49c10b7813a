"""Where `Bandit` was when data of before were recorded: their metadata name `dac.bandit:Bandit`."""

from dac.envs.bandit import Bandit

__all__ = ["Bandit"]
