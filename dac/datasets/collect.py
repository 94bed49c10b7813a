"""Data of one's own: train SAC (Stable-Baselines3) and keep what it experienced or what it then does.

One training serves all levels of a recipe. What a level contains depends on the recipe's seed, its `sac`
section and the level's own settings alone, and not on which other levels are asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import minari as minari_package
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dac import envs
from dac.datasets import minari
from dac.datasets.transitions import RawDataset, content_hash, episode_returns, statistics
from dac.errors import UserError

if TYPE_CHECKING:
    from stable_baselines3 import SAC

Log = Callable[[str], None]

DESCRIPTION_FILE = "dataset.json"
_PACKAGES = ("gymnasium", "minari", "mujoco", "numpy", "stable-baselines3", "torch")
_LOGS_PER_TRAINING = 10


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


def collect(env_id: str, recipe: Mapping[str, Any], levels: Mapping[str, Path], log: Log, *, threads: int = 1) -> None:
    """Train SAC on `env_id` and write the datasets asked for, each at once when its threshold is reached.

    On one machine, with the same package versions and number of threads, the same recipe gives the same data,
    bit for bit.

    Args:
        recipe: `seed`, `sac` (see `SacRecipe`) and `levels`: for each level exactly one of `at_step` and
            `at_return`, and `transitions` for all but `medium-replay`.
        levels: the levels to write, each with the directory that is to hold it. A directory appears complete
            or not at all, and replaces an older one.
        log: takes one line of progress at a time.
        threads: of PyTorch. Networks this small are fastest on one; another number rounds sums, and so the data,
            differently.

    Raises:
        UserError: unknown environment or level, a wrong recipe, or a threshold that training did not reach.
    """
    # Minari imports JAX at the first step, which draws from numpy's global generator; so it must be before seeding.
    import jax.tree_util  # noqa: F401

    sac = _sac_recipe(recipe["sac"])
    wanted = [_level(name, directory, recipe) for name, directory in levels.items()]
    with (
        tempfile.TemporaryDirectory() as scratch,
        _torch_threads(threads),
        _random_state(recipe["seed"], "training"),
        Recorder(envs.make(env_id), Path(scratch) / "training") as recorder,
        tqdm(total=sac.steps, desc=f"SAC on {env_id}", unit="step", disable=None) as bar,
    ):
        taker = _Taker(env_id, recipe, sac, wanted, recorder, Path(scratch), bar, log)
        _sac(recorder, sac, recipe["seed"]).learn(total_timesteps=sac.steps, callback=taker)
        taker.check_all_taken()


def load(directory: Path) -> RawDataset:
    """Read a collected dataset and check its contents against the recorded hash.

    Raises:
        UserError: the directory is no complete collected dataset, or its contents have changed.
    """
    description = describe(directory)
    raw = minari.read(directory)
    found, recorded = content_hash(raw), description.get("sha256")
    if found != recorded:
        raise UserError(
            f"{directory}: the data have the content hash {found}, but {DESCRIPTION_FILE} records "
            f"{recorded}. They were changed or damaged; delete the folder and collect again."
        )
    return raw


def describe(directory: Path) -> dict[str, Any]:
    """The `dataset.json` of a collected dataset: environment, recipe, content hash, statistics, versions.

    Raises:
        UserError: it is missing or not readable.
    """
    path = directory / DESCRIPTION_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({error}). Delete the folder and collect it again.") from error
    return content


def _sac_recipe(settings: Mapping[str, Any]) -> SacRecipe:
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


class Recorder(minari_package.DataCollector):  # type: ignore[misc]
    """Minari's DataCollector, made repeatable, and able to step on after its dataset was taken.

    Attributes:
        steps: environment steps so far, also those after the dataset was taken.
    """

    def __init__(self, env: envs.Environment, scratch: Path) -> None:
        with minari.root(scratch):
            super().__init__(env)
        self._scratch = scratch
        self._taken = False
        self.steps = 0
        self._returns: list[float] = []
        self._return = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self._return = 0.0
        target: Any = self.env if self._taken else super()
        # By itself the collector seeds such a reset from the system's entropy, and no recipe could be repeated.
        result: tuple[NDArray[np.float32], dict[str, Any]] = target.reset(
            seed=seed, options={**(options or {}), "minari_autoseed": False}
        )
        return result

    def step(self, action: Any) -> tuple[NDArray[np.float32], Any, bool, bool, dict[str, Any]]:
        action = np.array(action, dtype=np.float32)  # a copy: Stable-Baselines3 passes views of its own buffer
        target: Any = self.env if self._taken else super()
        result: tuple[NDArray[np.float32], Any, bool, bool, dict[str, Any]] = target.step(action)
        self.steps += 1
        self._return += float(result[1])
        if result[2] or result[3]:
            self._returns.append(self._return)
        return result

    def take(self, directory: Path, dataset_id: str) -> None:
        """Move what was recorded into `directory` as a Minari dataset; an episode still running is cut off there."""
        with minari.root(self._scratch), warnings.catch_warnings():
            # Minari asks for an author and an address, which a dataset made on the user's own machine has no need of.
            warnings.simplefilter("ignore", UserWarning)
            self.create_dataset(
                dataset_id,
                algorithm_name="SAC (Stable-Baselines3)",
                description=f"The recipe is in {DESCRIPTION_FILE}.",
            )
        self._taken = True
        shutil.move(self._scratch / dataset_id / "data", directory / "data")

    def recent_return(self, count: int = 10) -> float:
        """Mean return of the last `count` episodes that ended, NaN before the first."""
        returns = self._returns[-count:]
        return float(np.mean(returns)) if returns else float("nan")


def _sac(env: Recorder, recipe: SacRecipe, seed: int) -> SAC:
    from stable_baselines3 import SAC

    return SAC(
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


class _Taker:
    """Stable-Baselines3 calls this after every step of training; it takes each level when it is due."""

    def __init__(
        self,
        env_id: str,
        recipe: Mapping[str, Any],
        sac: SacRecipe,
        levels: list[Level],
        recorder: Recorder,
        scratch: Path,
        bar: tqdm[NoReturn],
        log: Log,
    ) -> None:
        self._env_id, self._recipe, self._sac, self._recorder, self._log = env_id, recipe, sac, recorder, log
        self._scratch, self._bar = scratch, bar
        self._pending = levels
        self._best_return = float("-inf")
        self._start = time.perf_counter()

    def __call__(self, local_variables: dict[str, Any], _: dict[str, Any]) -> bool:
        """Returns whether training has to go on, which is Stable-Baselines3's convention."""
        model, step = local_variables["self"], self._recorder.steps
        self._bar.update()
        evaluated = self._evaluate(model, step)
        for level in [level for level in self._pending if self._reached(level, step, evaluated)]:
            self._take(level, model, step)
            self._pending.remove(level)
        if step % max(1, self._sac.steps // _LOGS_PER_TRAINING) == 0:
            self._log(
                f"{self._env_id}: SAC step {step}/{self._sac.steps}, last 10 episodes "
                f"{self._recorder.recent_return():.1f}, {time.perf_counter() - self._start:.0f} s"
            )
        return bool(self._pending)

    def check_all_taken(self) -> None:
        """Raise the UserError for thresholds that were not reached."""
        if not self._pending:
            return
        missed = ", ".join(f"{level.name} ({level.threshold})" for level in self._pending)
        evaluated = self._best_return > float("-inf")
        best = f" The best evaluated return was {self._best_return:.1f}." if evaluated else ""
        raise UserError(
            f"Collecting {self._env_id}: SAC ended after sac.steps = {self._sac.steps} without reaching "
            f"{missed}.{best} Raise sac.steps, or lower at_step or at_return of the level in params.yaml."
        )

    def _evaluate(self, model: SAC, step: int) -> float | None:
        """Mean return of the deterministic policy, if a level waits for one and an evaluation is due."""
        due = step % self._sac.eval_interval == 0 and step >= self._sac.learning_starts
        if not due or all(level.at_return is None for level in self._pending):
            return None
        with _random_state(self._recipe["seed"], f"evaluation {step}") as seed:
            vector = envs.episode_vector(self._env_id, self._sac.eval_episodes)
            seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(self._sac.eval_episodes)]
            returns = envs.rollout(vector, lambda obs: model.predict(obs, deterministic=True)[0], seeds).returns
            vector.close()
        mean = float(returns.mean())
        self._best_return = max(self._best_return, mean)
        self._log(f"{self._env_id}: evaluation at step {step}: return {mean:.1f} ± {returns.std():.1f}")
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
                recorder = _roll_out(model, self._env_id, self._scratch / level.name, level.transitions, seed)
        description = {
            "env_id": self._env_id,
            "level": level.name,
            "recipe": {**self._recipe, "levels": {level.name: self._recipe["levels"][level.name]}},
            "taken_at_step": step,
            "seconds": round(time.perf_counter() - self._start, 1),
            "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
        }
        mean = _write(level.directory, recorder, description)
        self._log(f"{self._env_id}: {level.name} taken at step {step}, mean episode return {mean:.1f}")


def _roll_out(model: SAC, env_id: str, scratch: Path, transitions: int, seed: int) -> Recorder:
    """`transitions` recorded steps of the stochastic policy; the last episode is cut off there."""
    recorder = Recorder(envs.make(env_id), scratch)
    observation, _ = recorder.reset(seed=seed)
    while recorder.steps < transitions:
        action, _ = model.predict(observation, deterministic=False)
        observation, _, terminated, truncated, _ = recorder.step(action)
        if terminated or truncated:
            observation, _ = recorder.reset()
    return recorder


def _write(directory: Path, recorder: Recorder, description: Mapping[str, Any]) -> float:
    """Write Minari dataset and description, complete or not at all; returns the mean episode return."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        recorder.take(temporary, f"{description['env_id']}/{description['level']}-v0")
        raw = minari.read(temporary)
        numbers = statistics(raw)
        content = {
            **description,
            "sha256": content_hash(raw),
            **numbers,
            "episode_returns": [float(value) for value in episode_returns(raw)],
            "files": {
                str(path.relative_to(temporary)): {"size": path.stat().st_size}
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            },
        }
        (temporary / DESCRIPTION_FILE).write_text(json.dumps(content, indent=2) + "\n")
        if directory.exists():
            shutil.rmtree(directory)
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return float(numbers["return"]["mean"])


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
