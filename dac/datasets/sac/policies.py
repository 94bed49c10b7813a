"""Behaviour policies of one's own: Soft Actor-Critic trains, and the policies of some steps are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from dac import envs
from dac.datasets import behaviours
from dac.datasets.sac.recipe import SacRecipe, new_sac
from dac.datasets.sac.recorder import Recorder
from dac.rows.raw import FloatArray
from dac.system.errors import UserError

if TYPE_CHECKING:
    from stable_baselines3 import SAC

EPISODES = 3  # of the recorded policy, for its note


def record(env_id: str, steps: Sequence[int], directory: Path, seed: int, log: Callable[[str], None]) -> list[Path]:
    """Train SAC with small networks and write its policy of each of these steps, `<env>-<step>.safetensors`.

    The bytes depend on the machine, as SAC's numbers do; what a written file does, does not.

    Args:
        steps: environment steps, ascending.
        log: takes one line for every policy: its file and mean return.

    Returns:
        the files.

    Raises:
        UserError: unknown environment, steps that do not ascend, or a file that cannot be written.
    """
    if min(steps) < 1 or any(before >= after for before, after in pairwise(steps)):
        raise UserError(
            f"--steps: found {' '.join(map(str, steps))}; give whole numbers from 1 on, in ascending order."
        )
    recipe = SacRecipe(max(steps), batch_size=128, hidden_sizes=(64, 64), learning_rate=1e-3, tau=0.01)
    torch.set_num_threads(1)
    files = []
    with Recorder(envs.make(env_id), recording=False) as recorder:
        model = new_sac(recorder, recipe, seed)
        for before, step in pairwise([0, *steps]):
            model.learn(step - before, reset_num_timesteps=before == 0)
            path = directory / f"{env_id.replace('/', '-')}-{step}.safetensors"
            behaviours.save(path, _layers(model), env_id, f"SAC on {env_id}, {step} steps, seed {seed}")
            log(f"{path}: mean return {_mean_return(path):.1f} in {EPISODES} episodes")
            files.append(path)
    return files


def _layers(model: SAC) -> list[tuple[FloatArray, FloatArray]]:
    state = {name: tensor.detach().numpy() for name, tensor in model.policy.actor.state_dict().items()}
    names = [*sorted({name.rpartition(".")[0] for name in state if name.startswith("latent_pi.")}), "mu"]
    return [(state[f"{name}.weight"].T, state[f"{name}.bias"]) for name in names]


def _mean_return(path: Path) -> float:
    policy = behaviours.load(path)
    vector = envs.episode_vector(policy.env, EPISODES)
    try:
        act = lambda states: np.stack([policy.act(state) for state in states])  # noqa: E731
        return float(envs.rollout(vector, act, range(EPISODES)).returns.mean())
    finally:
        vector.close()
