"""Data of recorded policies: episodes of one policy each, with a share of noise drawn for the episode.

The same recipe gives the same bytes on every machine of one simulator, as far as can be: policies compute in whole
numbers (`dac.datasets.behaviours`), noise is drawn as whole numbers, and the simulator's state is rounded between
steps, so that a last bit in which the sines of two machines differ is gone before it grows.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from dac import envs
from dac.datasets import folder
from dac.datasets.behaviours import UNIT, RecordedPolicy
from dac.datasets.sac.recorder import Recorder
from dac.rows.raw import FloatArray
from dac.system.errors import UserError
from dac.system.progress import Bar
from dac.system.signals import Interrupted, stop_request

Log = Callable[[str], None]
Actions = NDArray[np.float64]  # (A,)
Mixture = Callable[[Actions, Actions, float, float], Actions]

# States, observations and rewards are multiples of 1 / GRID. Coarse enough that a step's rounding errors, some 1e-13,
# hardly ever fall on its edges; fine enough that no simulation notices.
GRID = 2.0**16
_PACKAGES = ("gymnasium", "minari", "mujoco", "numpy")


def _replaced(action: Actions, noise: Actions, share: float, draw: float) -> Actions:
    return noise if draw < share else np.rint(action * UNIT) / UNIT


def _blended(action: Actions, noise: Actions, share: float, draw: float) -> Actions:
    return np.rint(((1.0 - share) * action + share * noise) * UNIT) / UNIT


# With a share of noise p: an action is a uniform one instead with probability p; or is (1 - p) of it and p of that.
MIXTURES: dict[str, Mixture] = {"replace": _replaced, "blend": _blended}


def collect(
    env_id: str,
    recipe: Mapping[str, Any],
    policies: Sequence[RecordedPolicy],
    levels: Mapping[str, Path],
    log: Log,
) -> None:
    """Roll out policies with noise and write the datasets asked for.

    An episode follows one policy and has one share of noise p, both drawn for it, p between the two numbers of `noise`.

    Args:
        recipe: `seed`, `policies` with `noise` and `mixture`, and `levels`: for each level the `transitions` to record.
        policies: those of the recipe, in its order.
        levels: the levels to write, each with the directory that is to hold it. A directory appears complete
            or not at all, and replaces an older one.
        log: takes one line of progress at a time.

    Raises:
        UserError: unknown environment or level, or a policy of other dimensions than the environment.
        Interrupted: SIGTERM or SIGINT came; a level that was not complete begins anew.
    """
    for level, directory in levels.items():
        started = time.perf_counter()
        transitions = recipe["levels"][level]["transitions"]
        recorder = _roll_out(env_id, recipe, policies, transitions, level)
        description = {
            "env_id": env_id,
            "level": level,
            "recipe": {**recipe, "levels": {level: recipe["levels"][level]}},
            "policies": [policy.made for policy in policies],
            "seconds": round(time.perf_counter() - started, 1),
            "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
        }
        name, note = f"{env_id}/{level}-v0", f"The recipe is in {folder.DESCRIPTION_FILE}."
        written = folder.publish(
            directory,
            lambda place: recorder.write(place, name, note, "recorded policies with noise"),  # noqa: B023
            description,
            recorder.size_on_disk,
        )
        recorder.close()
        log(f"{env_id}: {level}, {written['episodes']} episodes, mean return {written['return']['mean']:.1f}")


def _roll_out(
    env_id: str, recipe: Mapping[str, Any], policies: Sequence[RecordedPolicy], transitions: int, level: str
) -> Recorder:
    """`transitions` recorded steps; the last episode is cut off there."""
    recorder = Recorder(Rounded(envs.make(env_id)))
    settings = recipe["policies"]
    _check_dimensions(env_id, recorder, settings["files"], policies)
    (low, high), mix = settings["noise"], MIXTURES[settings["mixture"]]
    bar = Bar(total=transitions, desc=f"{env_id} {level}", unit="step", disable=None)
    with bar, stop_request() as stop:
        episode, over, observation = -1, True, np.zeros(0, np.float32)
        while recorder.steps < transitions:
            if stop.signal is not None:
                raise Interrupted(f"{env_id}: stopped by a signal while {level} was collected", stop.signal)
            if over:
                episode += 1
                generator = np.random.default_rng(_derived(recipe["seed"], level, episode, "noise"))
                policy = policies[int(generator.integers(len(policies)))]
                share = low + (high - low) * (int(generator.integers(UNIT + 1)) / UNIT)
                seed = _derived(recipe["seed"], level, episode, "environment")
                observation, _ = recorder.reset(seed=seed)
            noise = generator.integers(-UNIT, UNIT + 1, policy.action_dim) / UNIT
            action = mix(policy.act(observation), noise, share, int(generator.integers(UNIT)) / UNIT)
            observation, _, terminated, truncated, _ = recorder.step(action)
            over = terminated or truncated
            bar.update()
    return recorder


def _check_dimensions(env_id: str, env: Recorder, files: Sequence[str], policies: Sequence[RecordedPolicy]) -> None:
    spaces: Any = (env.observation_space, env.action_space)
    wanted = (spaces[0].shape[0], spaces[1].shape[0])
    for name, policy in zip(files, policies, strict=True):
        found = (policy.observation_dim, policy.action_dim)
        if found != wanted:
            raise UserError(
                f"params.yaml: collect.{env_id}.policies.files: {name} was recorded in {policy.env} and takes "
                f"{found[0]} observations to {found[1]} actions; {env_id} has {wanted[0]} and {wanted[1]}. Name a "
                "policy of this environment; `dac behaviours ENV` records some."
            )


def _derived(seed: int, level: str, episode: int, purpose: str) -> int:
    digest = hashlib.sha256(f"{seed}/{level}/{episode}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


class Rounded(gym.Wrapper[FloatArray, Any, FloatArray, Any]):
    """An environment whose state, where it is a simulator's of MuJoCo or an array `state`, observations and rewards are
    rounded to multiples of 1 / GRID after every step.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._round_state()
        return _rounded(observation), info

    def step(self, action: Any) -> tuple[FloatArray, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._round_state()
        return _rounded(observation), float(np.rint(float(reward) * GRID) / GRID), terminated, truncated, info

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The wrapped environment's: what was recorded here is that environment's to anyone else."""
        return self.env.spec

    def _round_state(self) -> None:
        simulator: Any = self.env.unwrapped
        data: Any = getattr(simulator, "data", None)
        if data is not None and hasattr(data, "qpos"):
            arrays = [data.qpos, data.qvel, data.qacc_warmstart]
        else:
            state = getattr(simulator, "state", None)
            arrays = [state] if isinstance(state, np.ndarray) and state.dtype.kind == "f" else []
        for array in arrays:
            array[:] = np.rint(array * GRID) / GRID


def _rounded(observation: NDArray[Any]) -> FloatArray:
    values: FloatArray = (np.rint(observation.astype(np.float64) * GRID) / GRID).astype(np.float32)
    return values
