"""Rows of recorded steps: their episodes, returns, statistics, and the hash of their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dac.system.errors import UserError

FloatArray = NDArray[np.float32]


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

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in vars(self).values())


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
                f"{where}: {key} has NaN or infinity in {len(bad)} rows, the first is {place(raw, int(bad[0]))}. "
                f"Repair the file or leave out those episodes."
            )


def flags(where: str, values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Flags as booleans, where they are 0 and 1.

    Raises:
        UserError: names `where`, the first row of another value, and that.
    """
    wrong = np.flatnonzero(~((values == 0) | (values == 1)))  # NaN is neither
    if len(wrong):
        raise UserError(
            f"{where} is neither 0 nor 1 in {len(wrong)} of {len(values)} rows, the first is row {wrong[0]} "
            f"({values[wrong[0]]}). Write 1 (true) at an episode's last row, for how it ended, and 0 (false) elsewhere."
        )
    return values.astype(np.bool_, copy=False)


def episode_stops(raw: RawDataset) -> NDArray[np.int64]:
    """The row after each episode's last, in order; rows after the last recorded end form one more, partial episode."""
    ends = np.flatnonzero(raw.terminals | raw.timeouts) + 1
    if len(raw) and (len(ends) == 0 or ends[-1] != len(raw)):
        ends = np.append(ends, len(raw))
    return ends


def place(raw: RawDataset, row: int) -> str:
    """A row, for people: also by its episode, of those that have rows; all counted from 0."""
    stops = episode_stops(raw)
    number = int(np.searchsorted(stops, row, side="right"))
    return f"row {row} (row {row - (int(stops[number - 1]) if number else 0)} of episode {number})"


def episode_slices(raw: RawDataset) -> Iterator[slice]:
    """The rows of each episode, in order, see `episode_stops`."""
    start = 0
    for stop in episode_stops(raw):
        yield slice(start, int(stop))
        start = int(stop)


def closed(raw: RawDataset) -> RawDataset:
    """The same rows with one end for each episode, as Minari has it: a terminal state is no time-out as well, and a
    last episode without an end is cut off at the last row.
    """
    timeouts = raw.timeouts & ~raw.terminals
    timeouts[-1:] |= ~raw.terminals[-1:]
    return replace(raw, timeouts=timeouts)


def episode_returns(raw: RawDataset) -> NDArray[np.float64]:
    """Undiscounted return of each episode, (episodes,) float64, a partial last one included."""
    rewards = raw.rewards.astype(np.float64)
    return np.fromiter((rewards[rows].sum() for rows in episode_slices(raw)), np.float64)


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
    lengths = np.diff(episode_stops(raw), prepend=0)
    if not len(lengths):
        raise UserError("The dataset has no rows. Collect or fetch it again.")
    returns = episode_returns(raw)
    return {
        "episodes": len(lengths),
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
