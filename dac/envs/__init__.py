"""Tasks to act in: Gymnasium environments as the agent sees them, and episodes in them."""

from dac.envs.making import (
    Environment,
    Episodes,
    EpisodeVector,
    FlatObservation,
    OneEpisode,
    UnitAction,
    episode_vector,
    flatten,
    make,
    normalised_score,
    registered,
    rollout,
    vector_keys,
)

__all__ = [
    "Environment",
    "EpisodeVector",
    "Episodes",
    "FlatObservation",
    "OneEpisode",
    "UnitAction",
    "episode_vector",
    "flatten",
    "make",
    "normalised_score",
    "registered",
    "rollout",
    "vector_keys",
]
