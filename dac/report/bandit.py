"""The bandit of Fig. 2: what is measured of the drawn actions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dac.envs.bandit import behaviour, quality
from dac.report.data import Experiment, ReportData, select

MEASURES = ("reward", "inside", "modes")
_FRESH = "behaviour"


def measures(data: ReportData, experiment: Experiment) -> pd.DataFrame:
    """Quality of the drawn actions of every run, and of fresh actions of the behaviour set itself, seed 0.

    Returns:
        task, variant (of the set: `fresh_name`), seed, reward (mean expected reward), inside (per cent inside the
        support), modes (covered).
    """
    rows = []
    for task in experiment.tasks:
        bandit = data.bandits[experiment.name, task]
        draws = {(fresh_name(experiment), 0): behaviour(bandit.set, 1).actions}
        actions = select(data.actions, experiment.name, task)
        for variant in experiment.variants:
            for seed, group in actions[actions["variant"] == variant].groupby("seed"):
                draws[variant, int(str(seed))] = group[["x", "y"]].to_numpy()
        for (variant, seed), points in draws.items():
            found = quality(points, bandit.behaviour)
            rows.append((task, variant, seed, found.reward, 100 * found.inside, found.modes))
    return pd.DataFrame(rows, columns=["task", "variant", "seed", *MEASURES])


def fresh_name(experiment: Experiment) -> str:
    """What the behaviour set itself is called among the variants, none of which has that name."""
    name = _FRESH
    while name in experiment.variants:
        name = f"{name} set"
    return name


def level_grid(points: int = 81) -> np.ndarray:
    """Coordinates of the grid on which the learned Q is drawn, (points,)."""
    return np.linspace(-1.05, 1.05, points)
