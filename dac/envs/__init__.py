"""Tasks to act in: Gymnasium environments as the agent sees them, and episodes in them."""

from dac.envs.episodes import Episodes, EpisodeVector, OneEpisode, episode_vector, normalised_score, rollout
from dac.envs.making import make
from dac.envs.registry import registered
from dac.envs.spaces import Environment, FlatObservation, UnitAction, flatten, is_point_maze, vector_keys

__all__ = [
    "Environment",
    "EpisodeVector",
    "Episodes",
    "FlatObservation",
    "OneEpisode",
    "UnitAction",
    "episode_vector",
    "flatten",
    "is_point_maze",
    "make",
    "normalised_score",
    "registered",
    "rollout",
    "vector_keys",
]
