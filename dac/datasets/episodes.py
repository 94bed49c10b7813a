"""Recorded episodes: refused where their arrays do not belong together, and joined in D4RL's layout.

Rows of all episodes lie one after the other there, so an array that is a row longer or shorter than its episode would
shift every later row, unseen.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from dac.envs import flatten
from dac.rows.raw import FloatArray, RawDataset, flags
from dac.system.errors import UserError

BLOCK_BYTES = 4_000_000
STEPS = ("actions", "rewards", "terminations", "truncations")


@dataclass(frozen=True)
class Episode:
    """One recorded episode of T steps.

    Attributes:
        observations: (T + 1, O) float32, the one after the last step included.
        actions: (T, A) float32, in [-1, 1].
        rewards: (T,) float32.
        terminated: it ended in a terminal state; otherwise it was cut off.
    """

    observations: FloatArray
    actions: FloatArray
    rewards: FloatArray
    terminated: bool

    def __len__(self) -> int:
        return len(self.rewards)


def to_raw(episodes: Iterable[Episode]) -> RawDataset:
    """Concatenate episodes, one at least, in D4RL's layout, which leaves out each episode's last observation.

    Of episodes that nobody else holds there is never much more than one copy.
    """
    columns = {"observations": _Column(), "actions": _Column(), "rewards": _Column()}
    lengths, terminated = [], []
    for episode in episodes:
        columns["observations"].append(episode.observations[:-1])
        columns["actions"].append(episode.actions)
        columns["rewards"].append(episode.rewards)
        lengths.append(len(episode))
        terminated.append(episode.terminated)
    ends = np.cumsum(lengths) - 1
    terminals = np.zeros(int(ends[-1]) + 1, np.bool_)
    timeouts = terminals.copy()
    terminals[ends], timeouts[ends] = terminated, np.logical_not(terminated)
    return RawDataset(
        **{key: columns.pop(key).joined() for key in list(columns)}, terminals=terminals, timeouts=timeouts
    )


class _Column:
    """Arrays to join. Small ones become blocks at once, since the memory of very many small ones stays taken."""

    def __init__(self) -> None:
        self._blocks: list[FloatArray] = []
        self._parts: list[FloatArray] = []
        self._bytes = 0

    def append(self, part: FloatArray) -> None:
        self._parts.append(part)
        self._bytes += part.nbytes
        if self._bytes > BLOCK_BYTES:
            self._close()

    def joined(self) -> FloatArray:
        self._close()
        return self._blocks[0] if len(self._blocks) == 1 else np.concatenate(self._blocks)

    def _close(self) -> None:
        if self._parts:
            self._blocks.append(np.concatenate(self._parts).astype(np.float32, copy=False))
        self._parts, self._bytes = [], 0


@dataclass(frozen=True)
class Layout:
    """What every episode of a Minari dataset must be like.

    Attributes:
        keys: of dictionary observations that make the vector, none for vectors; see `envs.vector_keys`.
        observations, actions: the spaces.
        ends_at_goal: whether an episode that was cut off with a reward of 1 ended there: at the goal of a PointMaze,
            which gives no other. A row that was cut off has no successor and is not trained on.
    """

    keys: tuple[str, ...]
    observations: gym.Space[Any]
    actions: gym.spaces.Box
    ends_at_goal: bool = False

    def episode(self, where: str, arrays: Mapping[str, Any]) -> Episode | None:
        """An episode from its arrays; None where it has no steps.

        Args:
            where: dataset and episode, for messages.
            arrays: `observations`, or `observations/<key>` for each, and `STEPS`; h5py's, which are read here, or
                NumPy's.

        Raises:
            UserError: lengths, widths or flags that disagree.
        """
        length = self._length(where, arrays)
        if length == 0:
            return None
        self._check_widths(where, arrays)
        ends = {key: flags(f"{where}: {key}", arrays[key][()]) for key in STEPS[2:]}
        for key, ended in ends.items():
            if ended[:-1].any():
                raise UserError(
                    f"{where}: {key} is true at step {int(np.argmax(ended)) + 1} of {length}; an episode ends once, at "
                    "its last step. Record it again, or split it there."
                )
        observed = arrays["observations"][()] if not self.keys else None
        parts = {key: arrays[f"observations/{key}"][()] for key in self.keys}
        return Episode(
            observations=flatten(parts if observed is None else observed, self.keys),
            actions=_to_unit(arrays["actions"][()].astype(np.float32), self.actions),
            rewards=arrays["rewards"][()].astype(np.float32),
            terminated=bool(ends["terminations"][-1]) or (self.ends_at_goal and bool(arrays["rewards"][-1] == 1.0)),
        )

    def _length(self, where: str, arrays: Mapping[str, Any]) -> int:
        """T, to which the lengths of all arrays agree."""
        for key, array in arrays.items():
            if not array.shape:
                raise UserError(f"{where}: {key} is a single value; an array with a row per step is expected.")
            if array.dtype.kind not in "biuf" and (key in STEPS or key in self._observed):
                raise UserError(f"{where}: {key} holds {array.dtype}; only real numbers can be used.")
        length: int = statistics.mode(arrays[key].shape[0] for key in STEPS)
        for key, array in arrays.items():
            expected = length if key in STEPS else length + 1
            found = array.shape[0]
            if found == expected:
                continue
            after = " (one after the last step included)" if expected > length else ""
            why = (
                "the observation after the last step is missing, so every later row would be shifted"
                if expected > length and found == length
                else "every later row would be shifted"
            )
            raise UserError(
                f"{where}: {key} has {found} rows; expected are {expected}{after}, for {length} steps: {why}. "
                "Use a version of the dataset in which this is right, or record it again (Minari's DataCollector keeps "
                "all of them), or write it again without that episode."
            )
        return length

    @property
    def _observed(self) -> tuple[str, ...]:
        return tuple(f"observations/{key}" for key in self.keys) or ("observations",)

    def _check_widths(self, where: str, arrays: Mapping[str, Any]) -> None:
        spaces: dict[str, Any] = {"actions": self.actions}
        for name in self._observed:
            key = name.partition("/")[2]
            spaces[name] = self.observations[key] if key else self.observations  # type: ignore[index]
        wanted = {name: space.shape for name, space in spaces.items()} | dict.fromkeys(STEPS[1:], ())
        for key, shape in wanted.items():
            if arrays[key].shape[1:] != shape:
                raise UserError(
                    f"{where}: a row of {key} has shape {arrays[key].shape[1:]}; expected is {shape}, as metadata.json "
                    "says of all episodes. Record it again, or write it again without that episode."
                )


def _to_unit(actions: FloatArray, space: gym.spaces.Box) -> FloatArray:
    """Actions from the bounds of the recorded environment to [-1, 1], where policies act."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if not space.is_bounded() or ((low == -1.0).all() and (high == 1.0).all()):
        return actions
    return (2.0 * (actions - low) / (high - low) - 1.0).astype(np.float32)
