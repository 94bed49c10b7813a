"""From the rows of a recorded dataset to the transitions that the agent trains on (arXiv 2405.20555)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dac.system.errors import UserError

FloatArray = NDArray[np.float32]

# Actions at the very border make the inverse of a squashing function infinite; D4RL users clip by convention.
ACTION_LIMIT = 1.0 - 1e-5
REWARD_RANGE = 1000.0
REWARD_SCALINGS = ("locomotion", "antmaze-shift", "none")


@dataclass(frozen=True)
class RawDataset:
    """Rows in D4RL's layout, in the order of recording: row i + 1 follows row i unless an episode ends at i.

    Attributes:
        observations: (n, O) float32.
        actions: (n, A) float32.
        rewards: (n,) float32, as the environment gave them.
        terminals: (n,) bool, the episode ended in a terminal state after this row.
        timeouts: (n,) bool, the episode was cut off after this row.
    """

    observations: FloatArray
    actions: FloatArray
    rewards: FloatArray
    terminals: NDArray[np.bool_]
    timeouts: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rewards)


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


def check_finite(where: Path, raw: RawDataset) -> None:
    """Refuse NaN and infinity in observations, actions and rewards.

    Raises:
        UserError: names `where`, the array, and the first row.
    """
    for key in ("observations", "actions", "rewards"):
        finite = np.isfinite(getattr(raw, key))
        if not finite.all():
            bad = np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1))
            raise UserError(
                f"{where}: {key} has NaN or infinity in {len(bad)} rows, the first is row {bad[0]}. "
                f"Repair the file or leave out those episodes."
            )


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
    return Transitions(
        observations=raw.observations[kept],
        actions=np.clip(raw.actions[kept], -ACTION_LIMIT, ACTION_LIMIT).astype(np.float32),
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


def episode_slices(raw: RawDataset) -> list[slice]:
    """The rows of each episode, in order; rows after the last recorded end form one more, partial episode."""
    ends = np.flatnonzero(raw.terminals | raw.timeouts) + 1
    if len(raw) and (len(ends) == 0 or ends[-1] != len(raw)):
        ends = np.append(ends, len(raw))
    starts = np.concatenate([[0], ends[:-1]])
    return [slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def episode_returns(raw: RawDataset) -> NDArray[np.float64]:
    """Undiscounted return of each episode, (episodes,) float64, a partial last one included."""
    rewards = raw.rewards.astype(np.float64)
    return np.array([rewards[rows].sum() for rows in episode_slices(raw)])


def content_hash(raw: RawDataset) -> str:
    """The sha256, in hex, of names, dtypes, shapes and bytes of the arrays: equal data give equal hashes.

    Files that hold equal data can differ in their bytes (HDF5 stores chunks, filters and times), so this, and
    not the hash of a file, tells whether two collected datasets are the same.
    """
    digest = hashlib.sha256()
    for field in fields(raw):
        array = np.ascontiguousarray(getattr(raw, field.name))
        little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{field.name} {little_endian.dtype.str} {little_endian.shape}\n".encode())
        digest.update(little_endian.data)
    return digest.hexdigest()


def statistics(raw: RawDataset) -> dict[str, Any]:
    """Counts and the distribution of episode returns, as plain numbers.

    Returns:
        episodes, steps; under `return`: mean, std (population), min, max, and the 10, 25, 50, 75 and 90 per
        cent quantiles; under `length`: mean, min, max, in steps.
    """
    slices = episode_slices(raw)
    if not slices:
        raise UserError("The dataset has no rows. Collect or fetch it again.")
    returns = episode_returns(raw)
    lengths = np.array([rows.stop - rows.start for rows in slices])
    return {
        "episodes": len(slices),
        "steps": len(raw),
        "return": {
            "mean": float(returns.mean()),
            "std": float(returns.std()),
            "min": float(returns.min()),
            "max": float(returns.max()),
            "quantiles": {f"{q}%": float(np.percentile(returns, q)) for q in (10, 25, 50, 75, 90)},
        },
        "length": {"mean": float(lengths.mean()), "min": int(lengths.min()), "max": int(lengths.max())},
    }
