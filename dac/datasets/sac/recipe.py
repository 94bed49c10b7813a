"""The recipe of a training with SAC: its settings, the levels to take from it, and the model that it begins with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dac.datasets.sac.log import without_log
from dac.datasets.sac.recorder import Recorder
from dac.system.errors import UserError

if TYPE_CHECKING:
    from stable_baselines3 import SAC


@dataclasses.dataclass(frozen=True)
class SacRecipe:
    """The `sac` section of a recipe; defaults are those of Stable-Baselines3, but for `learning_starts`.

    Attributes:
        steps: environment steps of training at most; training ends early once all levels are taken.
        eval_interval, eval_episodes: how often, in steps, and over how many episodes the deterministic policy
            is evaluated while a level waits for its `at_return`.
    """

    steps: int
    learning_starts: int = 1000
    batch_size: int = 256
    hidden_sizes: tuple[int, ...] = (256, 256)
    learning_rate: float = 3e-4
    train_freq: int = 1
    gradient_steps: int = 1
    gamma: float = 0.99
    tau: float = 0.005
    buffer_size: int = 1_000_000
    eval_interval: int = 1000
    eval_episodes: int = 5


@dataclasses.dataclass(frozen=True)
class Level:
    """When and how one dataset is taken from the training.

    Attributes:
        name: `medium-replay` keeps all experience up to the threshold; any other name keeps `transitions`
            steps of the stochastic policy as it is at the threshold.
        at_step: threshold in environment steps, or None.
        at_return: threshold as the mean return of the deterministic policy in an evaluation, or None.
        transitions: steps to roll out, None for `medium-replay`.
        directory: where the dataset goes.
    """

    name: str
    at_step: int | None
    at_return: float | None
    transitions: int | None
    directory: Path

    @property
    def threshold(self) -> str:
        return f"at_step {self.at_step}" if self.at_step is not None else f"at_return {self.at_return:g}"


def sac_recipe(settings: Mapping[str, Any]) -> SacRecipe:
    """The `sac` section of a recipe.

    Raises:
        UserError: it has an unknown key, or no `steps`.
    """
    known = [field.name for field in dataclasses.fields(SacRecipe)]
    unknown = sorted(set(settings) - set(known))
    if unknown or "steps" not in settings:
        found = f"unknown key {unknown[0]!r}" if unknown else "the key 'steps' is missing"
        raise UserError(f"Recipe, section sac: {found}; allowed: {', '.join(known)}.")
    sizes = tuple(settings.get("hidden_sizes", SacRecipe.hidden_sizes))
    return SacRecipe(**{**settings, "hidden_sizes": sizes})


def wanted_level(name: str, directory: Path, recipe: Mapping[str, Any]) -> Level:
    """A level of a recipe, checked.

    Args:
        recipe: see `collect`.

    Raises:
        UserError: the recipe has no such level, or the level's settings are wrong.
    """
    if name not in recipe["levels"]:
        raise UserError(f"Level {name!r} is not in the recipe; allowed: {', '.join(recipe['levels'])}.")
    settings = recipe["levels"][name]
    level = Level(
        name, settings.get("at_step"), settings.get("at_return"), settings.get("transitions"), Path(directory)
    )
    if (level.at_step is None) == (level.at_return is None):
        raise UserError(f"Recipe, level {name!r}: found {dict(settings)}; give one of at_step and at_return.")
    if (level.transitions is None) != (name == "medium-replay"):
        rule = "has none, it is all experience so far" if name == "medium-replay" else "is required"
        raise UserError(f"Recipe, level {name!r}: found transitions {level.transitions}; it {rule}.")
    return level


def new_sac(env: Recorder, recipe: SacRecipe, seed: int) -> SAC:
    """Stable-Baselines3's SAC before its first step."""
    from stable_baselines3 import SAC

    model = SAC(
        "MlpPolicy",
        env,
        learning_rate=recipe.learning_rate,
        # A buffer longer than the training holds the same experience and only takes memory.
        buffer_size=min(recipe.buffer_size, recipe.steps),
        learning_starts=recipe.learning_starts,
        batch_size=recipe.batch_size,
        tau=recipe.tau,
        gamma=recipe.gamma,
        train_freq=recipe.train_freq,
        gradient_steps=recipe.gradient_steps,
        policy_kwargs={"net_arch": list(recipe.hidden_sizes)},
        seed=seed,
        device="cpu",
    )
    return without_log(model)
