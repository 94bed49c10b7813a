"""Data of one's own: train SAC (Stable-Baselines3) and keep what it experienced or what it then does.

One training serves all levels of a recipe. What a level contains depends on the recipe's seed, its `sac`
section and the level's own settings alone, and not on which other levels are asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dac import envs
from dac.datasets import folder
from dac.datasets.sac.checkpoint import Checkpoint
from dac.datasets.sac.log import without_log
from dac.datasets.sac.recorder import Recorder
from dac.system import provenance
from dac.system.errors import UserError
from dac.system.progress import Bar
from dac.system.signals import Interrupted, StopRequest, stop_request

if TYPE_CHECKING:
    from stable_baselines3 import SAC

Log = Callable[[str], None]

_PACKAGES = ("gymnasium", "minari", "mujoco", "numpy", "stable-baselines3", "torch")
_LOGS_PER_TRAINING = 10
_PIECE = 100  # steps between two looks at the clock


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
    wanted = [_level(name, directory, recipe) for name, directory in levels.items()]
    with (
        _torch_threads(threads),
        _random_state(recipe["seed"], "training"),
        Recorder(envs.make(env_id), recording=any(level.transitions is None for level in wanted)) as recorder,
        Bar(total=sac.steps, desc=f"SAC on {env_id}", unit="step", disable=None) as bar,
        stop_request() as stop,
    ):
        taker = _Taker(env_id, recipe, sac, wanted, recorder, bar, log, stop)
        training = {"env_id": env_id, "seed": recipe["seed"], "sac": dataclasses.asdict(sac)}
        checkpoint = Checkpoint(work, taker.pending_settings(), recorder, training)
        model = checkpoint.resume(log) or new_sac(recorder, sac, recipe["seed"])
        taker.resumed(checkpoint.notes)
        _learn(model, sac.steps, taker, checkpoint, stop, checkpoint_seconds)
        taker.check_all_taken()
        checkpoint.remove()


def _learn(
    model: SAC, steps: int, taker: _Taker, checkpoint: Checkpoint, stop: StopRequest, checkpoint_seconds: float
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


def _level(name: str, directory: Path, recipe: Mapping[str, Any]) -> Level:
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


class _Taker:
    """Stable-Baselines3 calls this after every step of training; it takes each level when it is due."""

    def __init__(
        self,
        env_id: str,
        recipe: Mapping[str, Any],
        sac: SacRecipe,
        levels: list[Level],
        recorder: Recorder,
        bar: Bar,
        log: Log,
        stop: StopRequest,
    ) -> None:
        self.env_id, self._recipe, self._sac, self._recorder, self._log = env_id, recipe, sac, recorder, log
        self._bar, self._stop = bar, stop
        self.pending = levels
        self._best_return = float("-inf")
        self._start = time.perf_counter()

    def pending_settings(self) -> dict[str, Any]:
        """The levels that are not taken yet, with their settings: what a saved state must have ahead of it."""
        return {level.name: self._recipe["levels"][level.name] for level in self.pending}

    def notes(self) -> dict[str, float]:
        """What an earlier process knew, for `resumed`."""
        return {"seconds": self.seconds, "best_return": self._best_return}

    def resumed(self, notes: Mapping[str, float]) -> None:
        """Count the steps, the time and the best return of an earlier process."""
        self._bar.update(self._recorder.steps)
        self._start -= notes.get("seconds", 0.0)
        self._best_return = notes.get("best_return", self._best_return)
        if all(level.transitions is not None for level in self.pending):
            self._recorder.stop()  # what it recorded is taken

    @property
    def seconds(self) -> float:
        """Time spent on this training so far."""
        return time.perf_counter() - self._start

    def __call__(self, local_variables: dict[str, Any], _: dict[str, Any]) -> bool:
        """Returns whether training has to go on, which is Stable-Baselines3's convention."""
        model, step = local_variables["self"], self._recorder.steps
        self._bar.update()
        evaluated = self._evaluate(model, step)
        for level in [level for level in self.pending if self._reached(level, step, evaluated)]:
            self._take(level, model, step)
            self.pending.remove(level)
        if step % max(1, self._sac.steps // _LOGS_PER_TRAINING) == 0:
            self._log(
                f"{self.env_id}: SAC step {step}/{self._sac.steps}, last 10 episodes "
                f"{self._recorder.recent_return():.1f}, {self.seconds:.0f} s"
            )
        return bool(self.pending)

    def check_all_taken(self) -> None:
        """Raise the UserError for thresholds that were not reached."""
        if not self.pending:
            return
        missed = ", ".join(f"{level.name} ({level.threshold})" for level in self.pending)
        evaluated = self._best_return > float("-inf")
        best = f" The best evaluated return was {self._best_return:.1f}." if evaluated else ""
        raise UserError(
            f"Collecting {self.env_id}: SAC ended after sac.steps = {self._sac.steps} without reaching "
            f"{missed}.{best} Raise sac.steps, or lower at_step or at_return of the level in params.yaml; either is "
            "another recipe, for which SAC starts anew."
        )

    def _evaluate(self, model: SAC, step: int) -> float | None:
        """Mean return of the deterministic policy, if a level waits for one and an evaluation is due."""
        due = step % self._sac.eval_interval == 0 and step >= self._sac.learning_starts
        if not due or all(level.at_return is None for level in self.pending):
            return None
        with _random_state(self._recipe["seed"], f"evaluation {step}") as seed:
            vector = envs.episode_vector(self.env_id, self._sac.eval_episodes)
            seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(self._sac.eval_episodes)]
            returns = envs.rollout(vector, lambda obs: model.predict(obs, deterministic=True)[0], seeds).returns
            vector.close()
        mean = float(returns.mean())
        self._best_return = max(self._best_return, mean)
        self._log(f"{self.env_id}: evaluation at step {step}: return {mean:.1f} ± {returns.std():.1f}")
        return mean

    @staticmethod
    def _reached(level: Level, step: int, evaluated: float | None) -> bool:
        if level.at_step is not None:
            return step >= level.at_step
        return evaluated is not None and level.at_return is not None and evaluated >= level.at_return

    def _take(self, level: Level, model: SAC, step: int) -> None:
        if level.transitions is None:
            recorder = self._recorder
        else:
            with _random_state(self._recipe["seed"], level.name) as seed:
                recorder = self._roll_out(model, level.transitions, seed)
        description = {
            "env_id": self.env_id,
            "level": level.name,
            "recipe": {**self._recipe, "levels": {level.name: self._recipe["levels"][level.name]}},
            "taken_at_step": step,
            "seconds": round(self.seconds, 1),
            "versions": {package: provenance.version(package) for package in _PACKAGES},
        }
        name, note = f"{self.env_id}/{level.name}-v0", f"The recipe is in {folder.DESCRIPTION_FILE}."
        written = folder.publish(
            level.directory, lambda directory: recorder.write(directory, name, note), description, recorder.size_on_disk
        )
        if recorder is self._recorder:
            recorder.stop()
        mean = written["return"]["mean"]
        self._log(f"{self.env_id}: {level.name} taken at step {step}, mean episode return {mean:.1f}")

    def _roll_out(self, model: SAC, transitions: int, seed: int) -> Recorder:
        """`transitions` recorded steps of the stochastic policy; the last episode is cut off there.

        Raises:
            Interrupted: a signal came. The training goes on from its last saved state.
        """
        recorder = Recorder(envs.make(self.env_id))
        observation, _ = recorder.reset(seed=seed)
        while recorder.steps < transitions:
            if self._stop.signal is not None:
                raise Interrupted(f"{self.env_id}: stopped by a signal in a roll-out", self._stop.signal)
            action, _ = model.predict(observation, deterministic=False)
            observation, _, terminated, truncated, _ = recorder.step(action)
            if terminated or truncated:
                observation, _ = recorder.reset()
        return recorder


@contextmanager
def _random_state(seed: int, purpose: str) -> Iterator[int]:
    """Seed the global generators for one purpose and restore them, so that training around it is unchanged.

    Yields:
        a seed for that purpose, for environments.
    """
    import torch

    derived = int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:4], "little")
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(derived)
    np.random.seed(derived)
    torch.manual_seed(derived)
    try:
        yield derived
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
