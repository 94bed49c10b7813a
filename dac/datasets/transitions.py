"""From the rows of a recorded dataset to the transitions that the agent trains on (arXiv 2405.20555)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dac.rows.raw import FloatArray, RawDataset, episode_returns
from dac.system.errors import UserError

# Actions at the very border make the inverse of a squashing function infinite; D4RL users clip by convention.
ACTION_LIMIT = 1.0 - 1e-5
REWARD_RANGE = 1000.0
REWARD_SCALINGS = ("locomotion", "antmaze-shift", "none")


@dataclass(frozen=True)
class Transitions:
    """Transitions (s, a, r, s', done), ready for training.

    Attributes:
        observations: (n, O) float32.
        actions: (n, A) float32, clipped to ±(1 - 1e-5).
        rewards: (n,) float32, scaled.
        next_observations: (n, O) float32; where `dones` is 1 it is a row of the next episode: mask it.
        dones: (n,) float32, 1 where the episode terminated. A time-out is not a termination.
    """

    observations: FloatArray
    actions: FloatArray
    rewards: FloatArray
    next_observations: FloatArray
    dones: FloatArray

    def __len__(self) -> int:
        return len(self.rewards)


def to_transitions(raw: RawDataset, reward_scaling: str) -> Transitions:
    """Pair consecutive rows, leaving out pairs that span two episodes, and scale the rewards.

    A row that ends its episode by time-out has no recorded next state and is left out. A terminal row stays
    (its next state is masked by `done`), also when it is marked as a time-out too. The last row of the
    dataset has no successor and is left out.

    Args:
        reward_scaling: `locomotion` (r · 1000 / (best - worst episode return), over all episodes, a partial
            last one included), `antmaze-shift` (r - 1) or `none`.

    Raises:
        UserError: fewer than two rows, an unknown `reward_scaling`, or `locomotion` on equal returns.
    """
    if len(raw) < 2:
        raise UserError(f"The dataset has {len(raw)} rows; a transition needs two. Make it again.")
    kept = np.flatnonzero(raw.terminals[:-1] | ~raw.timeouts[:-1])
    actions = raw.actions[kept].astype(np.float32, copy=False)
    return Transitions(
        observations=raw.observations[kept],
        actions=np.clip(actions, -ACTION_LIMIT, ACTION_LIMIT, out=actions),  # in place, for the sake of memory
        rewards=_scaled_rewards(raw, reward_scaling)[kept],
        next_observations=raw.observations[kept + 1],
        dones=raw.terminals[kept].astype(np.float32),
    )


def _scaled_rewards(raw: RawDataset, reward_scaling: str) -> FloatArray:
    if reward_scaling == "none":
        return raw.rewards
    if reward_scaling == "antmaze-shift":
        return raw.rewards - np.float32(1.0)
    if reward_scaling != "locomotion":
        raise UserError(f"reward_scaling: found {reward_scaling!r}; allowed: {', '.join(REWARD_SCALINGS)}.")
    returns = episode_returns(raw)
    spread = float(returns.max() - returns.min())
    if spread == 0.0:
        raise UserError(
            f"reward_scaling: found 'locomotion', which divides by the best minus the worst episode return, "
            f"but all {len(returns)} episodes of this dataset have the return {returns[0]:g}. Use 'none'."
        )
    return (raw.rewards * (REWARD_RANGE / spread)).astype(np.float32)
