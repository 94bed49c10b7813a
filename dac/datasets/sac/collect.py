"""Data of one's own: train SAC (Stable-Baselines3) and keep what it experienced or what it then does.

One training serves all levels of a recipe. What a level contains depends on the recipe's seed, its `sac`
section and the level's own settings alone, and not on which other levels are asked for.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dac import envs
from dac.datasets.sac.checkpoint import Checkpoint, Moment
from dac.datasets.sac.process_state import random_state, torch_threads
from dac.datasets.sac.recipe import SacRecipe, new_sac, sac_recipe, wanted_level
from dac.datasets.sac.recorder import Recorder
from dac.datasets.sac.taker import Log, Taker
from dac.system.progress import Bar
from dac.system.signals import Interrupted, Stopped, StopRequest, stop_request

if TYPE_CHECKING:
    from stable_baselines3 import SAC

_PIECE = 10  # steps between two looks at the clock and at signals, rounded up to whole rounds of `train_freq`


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
        checkpoint_seconds: the state is saved after so long, again and again.

    Raises:
        UserError: unknown environment or level, a wrong recipe, or a threshold that training did not reach.
        Interrupted: SIGTERM or SIGINT came; the state is saved, where `train_freq` steps were done.
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
        _learn(model, sac, taker, checkpoint, stop, checkpoint_seconds)
        taker.check_all_taken()
        checkpoint.remove()


def _learn(
    model: SAC, sac: SacRecipe, taker: Taker, checkpoint: Checkpoint, stop: StopRequest, checkpoint_seconds: float
) -> None:
    """Train to the end or until all levels are taken, in pieces between which the state can be saved.

    Pieces of `learn` add up to one whole: Stable-Baselines3 keeps all that it needs between them in the model. It
    learns after rounds of `train_freq` steps, and makes no part of one. A round in which the taker evaluates or rolls
    out is a piece of its own: where a signal ends that, the round, from which nothing was learned yet, is taken back.
    """
    saved = time.monotonic()
    while taker.pending and model.num_timesteps < sac.steps:
        if stop:
            _save_and_end(model, checkpoint.moment(model) if model.num_timesteps else None, taker, checkpoint, stop)
        if model.num_timesteps and time.monotonic() - saved > checkpoint_seconds:
            checkpoint.save(model, checkpoint.moment(model), taker.pending_settings(), taker.notes())
            saved = time.monotonic()
        undisturbed = _undisturbed(taker, model.num_timesteps, sac)
        before = None if undisturbed or not model.num_timesteps else checkpoint.moment(model)
        try:
            model.learn(undisturbed or sac.train_freq, callback=taker, reset_num_timesteps=model.num_timesteps == 0)
        except Stopped:
            _save_and_end(model, before, taker, checkpoint, stop)


def _undisturbed(taker: Taker, done: int, sac: SacRecipe) -> int:
    """Steps of the next piece: whole rounds before one in which the taker evaluates or rolls out; 0 if the next is."""
    starts = range(done, min(done + _PIECE, sac.steps), sac.train_freq)
    for start in starts:
        if any(taker.looks_at(step + 1) for step in range(start, start + sac.train_freq)):
            return start - done
    return len(starts) * sac.train_freq


def _save_and_end(
    model: SAC, moment: Moment | None, taker: Taker, checkpoint: Checkpoint, stop: StopRequest
) -> NoReturn:
    """Save the training as it was at a moment, None in its first round, which has none before; raises Interrupted."""
    assert stop.signal is not None
    said = "interrupted in SAC's first steps, before there is a state; run again to start anew"
    if moment is not None:
        checkpoint.save(model, moment, taker.pending_settings(), taker.notes())
        said = f"interrupted at SAC step {moment.steps}, which is saved; run again to go on"
    raise Interrupted(f"{taker.env_id}: {said}", stop.signal)
