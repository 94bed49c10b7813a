"""Data of one's own: train SAC (Stable-Baselines3) and keep what it experienced or what it then does.

One training serves all levels of a recipe. What a level contains depends on the recipe's seed, its `sac`
section and the level's own settings alone, and not on which other levels are asked for.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dac import envs
from dac.datasets.sac.checkpoint import Checkpoint
from dac.datasets.sac.process_state import random_state, torch_threads
from dac.datasets.sac.recipe import new_sac, sac_recipe, wanted_level
from dac.datasets.sac.recorder import Recorder
from dac.datasets.sac.taker import Log, Taker
from dac.system.progress import Bar
from dac.system.signals import Interrupted, StopRequest, stop_request

if TYPE_CHECKING:
    from stable_baselines3 import SAC

_PIECE = 100  # steps between two looks at the clock


def collect(
    env_id: str,
    recipe: Mapping[str, Any],
    levels: Mapping[str, Path],
    work: Path,
    log: Log,
    *,
    threads: int = 1,
    checkpoint_seconds: float = 300.0,
) -> None:
    """Train SAC on `env_id` and write the datasets asked for, each at once when its threshold is reached.

    On one machine, with the same package versions and number of threads, the same recipe gives the same data,
    bit for bit, also where the training was interrupted and resumed.

    Args:
        recipe: `seed`, `sac` (see `SacRecipe`) and `levels`: for each level exactly one of `at_step` and
            `at_return`, and `transitions` for all but `medium-replay`.
        levels: the levels to write, each with the directory that is to hold it. A directory appears complete
            or not at all, and replaces an older one.
        work: folder of the resumable state; removed at the end.
        log: takes one line of progress at a time.
        threads: of PyTorch. Networks this small are fastest on one; another number rounds sums, and so the data,
            differently.
        checkpoint_seconds: the state is saved at the first end of an episode after so long.

    Raises:
        UserError: unknown environment or level, a wrong recipe, or a threshold that training did not reach.
        Interrupted: SIGTERM or SIGINT came; the state is saved.
    """
    sac = sac_recipe(recipe["sac"])
    wanted = [wanted_level(name, directory, recipe) for name, directory in levels.items()]
    with (
        torch_threads(threads),
        random_state(recipe["seed"], "training"),
        Recorder(envs.make(env_id), recording=any(level.transitions is None for level in wanted)) as recorder,
        Bar(total=sac.steps, desc=f"SAC on {env_id}", unit="step", disable=None) as bar,
        stop_request() as stop,
    ):
        taker = Taker(env_id, recipe, sac, wanted, recorder, bar, log, stop)
        training = {"env_id": env_id, "seed": recipe["seed"], "sac": dataclasses.asdict(sac)}
        checkpoint = Checkpoint(work, taker.pending_settings(), recorder, training)
        model = checkpoint.resume(log) or new_sac(recorder, sac, recipe["seed"])
        taker.resumed(checkpoint.notes)
        _learn(model, sac.steps, taker, checkpoint, stop, checkpoint_seconds)
        taker.check_all_taken()
        checkpoint.remove()


def _learn(
    model: SAC, steps: int, taker: Taker, checkpoint: Checkpoint, stop: StopRequest, checkpoint_seconds: float
) -> None:
    """Train to the end or until all levels are taken, in pieces between which the state can be saved.

    Pieces of `learn` add up to one whole: Stable-Baselines3 keeps all that it needs between them in the model.
    """
    saved = time.monotonic()
    while taker.pending and model.num_timesteps < steps:
        due = stop or time.monotonic() - saved > checkpoint_seconds
        piece = 1 if due else min(_PIECE, steps - model.num_timesteps)
        model.learn(total_timesteps=piece, callback=taker, reset_num_timesteps=model.num_timesteps == 0)
        if due and checkpoint.possible and taker.pending:
            checkpoint.save(model, taker.pending_settings(), taker.notes())
            saved = time.monotonic()
            if stop.signal is not None:
                where = f"stopped by a signal at SAC step {model.num_timesteps}"
                raise Interrupted(f"{taker.env_id}: {where}; state saved", stop.signal)
