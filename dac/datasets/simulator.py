"""Does the simulator here do what the recorded one did? One step from recorded states, against the recorded next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.envs.mujoco.mujoco_env import MujocoEnv
from numpy.typing import NDArray

from dac import envs
from dac.rows.raw import RawDataset

ROWS = 1000
VELOCITY_LIMIT = 10.0  # Hopper and Walker2d show velocities clipped to this


@dataclass(frozen=True)
class Resimulation:
    """Deviation of a simulated step from the recorded one, as a part of the recorded change of the observation.

    Attributes:
        rows: steps that were compared.
        median, upper: of |simulated - recorded| / |recorded - state before|; upper is the 95 % quantile.
    """

    rows: int
    median: float
    upper: float


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
        rows = _usable_rows(raw, simulator.model.nv)
        if hidden not in (0, 1) or simulator.model.nu != raw.actions.shape[1] or not len(rows):
            return None
        env.reset(seed=0)
        if not _shows_its_state(simulator, hidden):
            return None
        return _compare(raw, rows, env, simulator, hidden)
    finally:
        env.close()


def _usable_rows(raw: RawDataset, velocities: int) -> NDArray[np.int64]:
    """Rows within an episode, at most ROWS of them spread over the data, whose velocities were not clipped."""
    inside = ~(raw.terminals | raw.timeouts)[:-1]
    clipped = (np.abs(raw.observations[:-1, -velocities:]) >= VELOCITY_LIMIT).any(axis=1)
    rows = np.flatnonzero(inside & ~clipped)
    return rows[:: max(1, len(rows) // ROWS)][:ROWS]


def _shows_its_state(simulator: Any, hidden: int) -> bool:
    """Whether the observation is [positions but the first `hidden`, velocities]."""
    state = np.concatenate([simulator.data.qpos[hidden:], simulator.data.qvel])
    return bool(
        np.allclose(simulator._get_obs() if hasattr(simulator, "_get_obs") else simulator.state_vector(), state)
    )


def _compare(
    raw: RawDataset, rows: NDArray[np.int64], env: envs.Environment, simulator: Any, hidden: int
) -> Resimulation:
    positions = simulator.model.nq - hidden
    deviations = []
    for row in rows:
        before, after = raw.observations[row].astype(np.float64), raw.observations[row + 1]
        # One reset for all: the step limit counts on, and its truncation changes nothing here.
        simulator.set_state(np.concatenate([np.zeros(hidden), before[:positions]]), before[positions:])
        found = env.step(raw.actions[row])[0]
        change = np.linalg.norm(after - before)
        deviations.append(np.linalg.norm(found - after) / max(float(change), 1e-6))
    return Resimulation(len(rows), float(np.median(deviations)), float(np.quantile(deviations, 0.95)))
