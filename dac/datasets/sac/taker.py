"""What looks at a training with SAC after every step, and takes each level from it when its threshold is reached."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dac import envs
from dac.datasets import folder
from dac.datasets.sac.process_state import random_state
from dac.datasets.sac.recipe import Level, SacRecipe
from dac.datasets.sac.recorder import Recorder
from dac.system import provenance
from dac.system.errors import UserError
from dac.system.progress import Bar
from dac.system.signals import Stopped, StopRequest

if TYPE_CHECKING:
    from stable_baselines3 import SAC

Log = Callable[[str], None]

_PACKAGES = ("gymnasium", "minari", "mujoco", "numpy", "stable-baselines3", "torch")
_LOGS_PER_TRAINING = 10


class Taker:
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

    def looks_at(self, step: int) -> bool:
        """Whether after that step a policy is evaluated or a level is taken."""
        reached = any(level.at_step is not None and step >= level.at_step for level in self.pending)
        return reached or self._evaluates_at(step)

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

    def _evaluates_at(self, step: int) -> bool:
        """Whether a level waits for a return, and an evaluation is due."""
        due = step % self._sac.eval_interval == 0 and step >= self._sac.learning_starts
        return due and any(level.at_return is not None for level in self.pending)

    def _evaluate(self, model: SAC, step: int) -> float | None:
        """Mean return of the deterministic policy, where an evaluation is due.

        Raises:
            Stopped: a signal came.
        """
        if not self._evaluates_at(step):
            return None

        def act(observations: Any) -> Any:
            self._end_if_asked()
            return model.predict(observations, deterministic=True)[0]

        vector = envs.episode_vector(self.env_id, self._sac.eval_episodes)
        with random_state(self._recipe["seed"], f"evaluation {step}") as seed, contextlib.closing(vector):
            seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(self._sac.eval_episodes)]
            returns = envs.rollout(vector, act, seeds).returns
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
            with random_state(self._recipe["seed"], level.name) as seed:
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
            Stopped: a signal came.
        """
        recorder = Recorder(envs.make(self.env_id))
        observation, _ = recorder.reset(seed=seed)
        while recorder.steps < transitions:
            self._end_if_asked()
            action, _ = model.predict(observation, deterministic=False)
            observation, _, terminated, truncated, _ = recorder.step(action)
            if terminated or truncated:
                observation, _ = recorder.reset()
        return recorder

    def _end_if_asked(self) -> None:
        if self._stop:
            raise Stopped
