"""A bandit's behaviour set as recorded rows."""

from __future__ import annotations

import numpy as np

from dac.envs.bandit import REWARD_NOISE, SEED, behaviour, expected_reward
from dac.rows.raw import RawDataset
from dac.study.catalog import BANDIT_SETS


def dataset(name: str) -> RawDataset:
    """A behaviour set as recorded rows: observation 0, action, noisy reward, terminal."""
    actions = behaviour(name).actions
    generator = np.random.default_rng([SEED, BANDIT_SETS.index(name), 0, 1])
    rewards = expected_reward(actions) + REWARD_NOISE * generator.normal(size=len(actions))
    return RawDataset(
        observations=np.zeros((len(actions), 1), np.float32),
        actions=actions.astype(np.float32),
        rewards=rewards.astype(np.float32),
        terminals=np.ones(len(actions), np.bool_),
        timeouts=np.zeros(len(actions), np.bool_),
    )
