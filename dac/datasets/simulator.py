"""Does the simulator here do what the recorded one did? One step from recorded states, against the recorded next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.envs.mujoco.mujoco_env import MujocoEnv
from numpy.typing import NDArray

from dac import envs
from dac.rows.raw import RawDataset

Deviations = Callable[[NDArray[np.int64]], NDArray[np.float64]]  # of the steps from these rows

ROWS = 1000
PIECE = 200_000  # rows whose changes are computed at once, for the sake of memory
JUMPS = 200  # rows with the largest changes, which an end that is not marked is among
MARKS = 50  # ends, in whose neighbourhood steps are looked at
FEWEST = 8  # of the ends, if there are as many, whose step at some distance can be looked at
WINDOW = 10  # rows on either side of each
VELOCITY_LIMIT = 10.0  # Hopper and Walker2d show velocities clipped to this

# A step that deviates by more, as a part of its change, is no step of this simulator; by less, it is.
BROKEN = 0.5
SAME = 0.05


@dataclass(frozen=True)
class Resimulation:
    """Deviation of a simulated step from the recorded one, as a part of the recorded change of the observation.

    Attributes:
        rows: steps within episodes that were compared, spread over the data.
        median, upper: of |simulated - recorded| / |recorded - state before|; upper is the 95 % quantile.
        doubts: sentences on steps that do not follow from one another, and ends that seem to be marked elsewhere.
    """

    rows: int
    median: float
    upper: float
    doubts: tuple[str, ...] = ()


def resimulate(raw: RawDataset, env_id: str) -> Resimulation | None:
    """Compare single steps; None where an observation is not the simulator's whole state.

    It is in HalfCheetah, Hopper and Walker2d, but for the position along the track, on which nothing depends, and in
    D4RL's AntMaze. What the simulator keeps besides (its contact solver starts from the step before) is not in the
    data, so even the same simulator does not agree to the last digit.

    Raises:
        UserError: as `envs.make`.
    """
    env = envs.make(env_id)
    simulator: Any = env.unwrapped
    try:
        if not isinstance(simulator, MujocoEnv):
            return None
        hidden = simulator.model.nq + simulator.model.nv - raw.observations.shape[1]
        usable = _usable(raw, simulator.model.nv)
        rows = np.flatnonzero(usable & ~_ends(raw)[:-1])
        if hidden not in (0, 1) or simulator.model.nu != raw.actions.shape[1] or not len(rows):
            return None
        env.reset(seed=0)
        if not _shows_its_state(simulator, hidden):
            return None

        def deviations(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
            return _deviations(raw, chosen, env, simulator, hidden)

        found = deviations(rows[:: max(1, len(rows) // ROWS)][:ROWS])
        median = float(np.median(found))
        doubts: tuple[str | None, ...] = ()
        if median < SAME:
            doubts = (_misplaced(raw, usable, deviations), _broken(raw, rows, deviations))
        elif median > BROKEN:
            doubts = ("the rows do not follow from one another, or are of another environment",)
        return Resimulation(len(found), median, float(np.quantile(found, 0.95)), tuple(filter(None, doubts)))
    finally:
        env.close()


def _ends(raw: RawDataset) -> NDArray[np.bool_]:
    return raw.terminals | raw.timeouts


def _usable(raw: RawDataset, velocities: int) -> NDArray[np.bool_]:
    """Of every row but the last, whether its velocities were not clipped."""
    clipped: NDArray[np.bool_] = (np.abs(raw.observations[:-1, -velocities:]) == VELOCITY_LIMIT).any(axis=1)
    return ~clipped


def _broken(raw: RawDataset, rows: NDArray[np.int64], deviations: Deviations) -> str | None:
    """A sentence where the largest changes within episodes are not the simulator's."""
    changes = np.zeros(len(rows))
    for part in np.array_split(np.arange(len(rows)), 1 + len(rows) // PIECE):
        changes[part] = np.linalg.norm(raw.observations[rows[part] + 1] - raw.observations[rows[part]], axis=1)
    chosen = np.sort(rows[np.argsort(changes)[-JUMPS:]])
    broken = chosen[deviations(chosen) > BROKEN]
    if not len(broken):
        return None
    return (
        f"{len(broken)} of the {len(chosen)} largest changes within episodes are no steps of this simulator, the first "
        f"from row {broken[0]} to the next: an end is not marked there, or rows are missing or out of order"
    )


def _misplaced(raw: RawDataset, usable: NDArray[np.bool_], deviations: Deviations) -> str | None:
    """A sentence where episodes seem to end some rows from where their ends are marked."""
    ends = _ends(raw)
    marks = np.flatnonzero(ends[:-1])
    marks = marks[:: max(1, len(marks) // MARKS)][:MARKS]
    typical = {}
    for shift in range(-WINDOW, WINDOW + 1):
        rows = marks + shift
        rows = rows[(rows >= 0) & (rows < len(usable))]
        rows = rows[usable[rows] & (ends[rows] == (shift == 0))]
        if len(rows) >= min(FEWEST, max(1, len(marks) // 2)):
            typical[shift] = float(np.median(deviations(rows)))
    broken = [shift for shift, deviation in typical.items() if shift and deviation > BROKEN]
    if broken:
        shift = min(broken, key=abs)
        away = f"{abs(shift)} row{'' if abs(shift) == 1 else 's'}"
        return (
            f"ends seem to be marked {away} {'late' if shift < 0 else 'early'}: the steps {away} "
            f"{'before' if shift < 0 else 'after'} them ({len(marks)} looked at) are none of this simulator"
        )
    if typical.get(0, BROKEN) < SAME:
        return f"episodes seem to go on after their ends ({len(marks)} looked at): the next row follows from the last"
    return None


def _shows_its_state(simulator: Any, hidden: int) -> bool:
    """Whether the observation is [positions but the first `hidden`, velocities]."""
    state = np.concatenate([simulator.data.qpos[hidden:], simulator.data.qvel])
    return bool(
        np.allclose(simulator._get_obs() if hasattr(simulator, "_get_obs") else simulator.state_vector(), state)
    )


def _deviations(
    raw: RawDataset, rows: NDArray[np.int64], env: envs.Environment, simulator: Any, hidden: int
) -> NDArray[np.float64]:
    positions = simulator.model.nq - hidden
    deviations = []
    for row in rows:
        before, after = raw.observations[row].astype(np.float64), raw.observations[row + 1]
        # One reset for all: the step limit counts on, and its truncation changes nothing here.
        simulator.set_state(np.concatenate([np.zeros(hidden), before[:positions]]), before[positions:])
        found = env.step(raw.actions[row])[0]
        change = np.linalg.norm(after - before)
        deviations.append(np.linalg.norm(found - after) / max(float(change), 1e-6))
    return np.array(deviations)
