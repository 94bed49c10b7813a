"""The two-dimensional bandit (arXiv 2405.20555, Fig. 2): its behaviour sets, its environment, and what is measured.

The state is a constant 0, an action a point of the square [-1, 1]^2, the reward -|a - (0.4, -0.4)| + 0.5 N(0, 1), and
every transition ends its episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dac.study.catalog import BANDIT_ENV, BANDIT_SETS

Points = NDArray[np.float64]  # (n, 2)
Parts = NDArray[np.int64]  # (n,)

BEST_ACTION = (0.4, -0.4)
REWARD_NOISE = 0.5
# An action is inside the support if some recorded action is nearer than this; nearly all fresh actions of the behaviour
# are, which the report shows beside the policies.
SUPPORT_RADIUS = 0.05
# A mode counts as covered if at least this share of the drawn actions is inside the support and nearest to that mode.
MODE_SHARE = 0.01

SEED = 20240520
_GAUSSIAN_SCALE, _GAUSSIAN_POINTS = 0.1, 400
_CURVE_SCALE, _CENTRES, _POINTS_PER_CENTRE = 0.05, 40, 10


@dataclass(frozen=True)
class Behaviour:
    """Recorded actions of one behaviour set.

    Attributes:
        actions: (n, 2), in [-1, 1].
        modes: (n,), the Gaussian or moon that each was drawn from, from 0. The two circles are one mode: they are
            nearer to each other than their noise reaches, so an action does not tell which it is from.
    """

    actions: Points
    modes: Parts

    @property
    def mode_count(self) -> int:
        """Number of modes that an action can be told apart by."""
        return int(self.modes.max()) + 1


@cache
def behaviour(name: str, draw: int = 0) -> Behaviour:
    """The actions of a behaviour set, the same at every call.

    Args:
        name: one of `catalog.BANDIT_SETS`. draw: 0 for the recorded actions; others are fresh draws of equal size.
    """
    generator = np.random.default_rng([SEED, BANDIT_SETS.index(name), draw])
    centres, modes, scale = _CENTRES_OF[name]()
    actions = centres + generator.normal(scale=scale, size=centres.shape)
    return Behaviour(np.clip(actions, -1.0, 1.0), modes)


def _gaussians(*means: tuple[float, float]) -> Callable[[], tuple[Points, Parts, float]]:
    def centres() -> tuple[Points, Parts, float]:
        repeated = np.repeat(np.array(means), _GAUSSIAN_POINTS, axis=0)
        return repeated, np.repeat(np.arange(len(means)), _GAUSSIAN_POINTS), _GAUSSIAN_SCALE

    return centres


def _moons() -> tuple[Points, Parts, float]:
    """Two interleaving half circles."""
    angle = np.linspace(0.0, np.pi, _CENTRES // 2)
    upper = np.column_stack([np.cos(angle), np.sin(angle)])
    lower = np.column_stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)])
    return _around_centres(upper, lower)


def _circles() -> tuple[Points, Parts, float]:
    """A circle and, inside of it, one of 0.8 times its radius."""
    angle = np.linspace(0.0, 2.0 * np.pi, _CENTRES // 2, endpoint=False)
    outer = np.column_stack([np.cos(angle), np.sin(angle)])
    centres, modes, scale = _around_centres(outer, 0.8 * outer)
    return centres, np.zeros_like(modes), scale


def _around_centres(*curves: Points) -> tuple[Points, Parts, float]:
    """Both axes rescaled to [0, 1.1], shifted by (-0.8, -0.2), every centre repeated."""
    centres = np.concatenate(curves)
    low, high = centres.min(0), centres.max(0)
    placed = (centres - low) / (high - low) * 1.1 + np.array([-0.8, -0.2])
    modes = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    return np.repeat(placed, _POINTS_PER_CENTRE, axis=0), np.repeat(modes, _POINTS_PER_CENTRE), _CURVE_SCALE


_CENTRES_OF: dict[str, Callable[[], tuple[Points, Parts, float]]] = {
    "two-gaussians": _gaussians((-0.6, 0.6), (0.4, 0.2)),
    "three-gaussians": _gaussians((-0.6, 0.6), (0.4, 0.4), (-0.4, -0.4)),
    "two-moons": _moons,
    "two-circles": _circles,
}


def expected_reward(actions: Points) -> NDArray[np.float64]:
    """The reward without its noise, -|a - (0.4, -0.4)|: (n, 2) -> (n,)."""
    distance: NDArray[np.float64] = np.linalg.norm(actions - np.array(BEST_ACTION), axis=-1)
    return -distance


@dataclass(frozen=True)
class Quality:
    """What is measured of drawn actions.

    Attributes:
        reward: mean expected reward.
        inside: share of actions inside the support, 0 to 1.
        modes: number of modes covered.
    """

    reward: float
    inside: float
    modes: int


def quality(actions: Points, recorded: Behaviour) -> Quality:
    """Measure drawn actions (n, 2) against the recorded ones; the constants above define support and coverage."""
    from scipy.spatial import KDTree

    distance, nearest = KDTree(recorded.actions).query(actions)
    inside = distance < SUPPORT_RADIUS
    counts = np.bincount(recorded.modes[nearest[inside]], minlength=recorded.mode_count)
    return Quality(
        reward=float(expected_reward(actions).mean()),
        inside=float(inside.mean()),
        modes=int((counts >= MODE_SHARE * len(actions)).sum()),
    )


class Bandit(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The bandit as an environment of episodes with one step."""

    observation_space = gym.spaces.Box(0.0, 0.0, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        noise = REWARD_NOISE * self.np_random.normal()
        reward = float(expected_reward(np.asarray(action, np.float64))) + noise
        return np.zeros(1, np.float32), reward, True, False, {}


if BANDIT_ENV not in gym.registry:
    gym.register(BANDIT_ENV, entry_point="dac.envs.bandit:Bandit")
