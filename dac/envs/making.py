"""Gymnasium tasks as the agent sees them.

Every environment made here takes actions in [-1, 1] and gives flat float32 observations. The same
environments collect data and evaluate policies, so a policy acts in the space that it was trained in.
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from dac.envs import drawing, minari_spec
from dac.envs.registry import register_others, suggestions
from dac.envs.spaces import Environment, FlatObservation, rescale_actions
from dac.study import datasets_lock
from dac.study.identity import Dataset, recovered_from
from dac.system.errors import UserError


def make(env_id: str, render_mode: str | None = None) -> Environment:
    """Make an environment with actions in [-1, 1] and flat float32 observations.

    Packages that register environments only when imported are imported only for an id that needs it.

    Args:
        env_id: Gymnasium's, `<module>:<id>` for one that importing a module registers (a user's own word: no data may
            say so, see `registered`), or a dataset's, such as `minari:<id>`, for the one that it is to be evaluated in.
        render_mode: Gymnasium's, such as `rgb_array`, which `gymnasium.wrappers.RecordVideo` needs; None draws nothing.

    Raises:
        UserError: unknown id, a missing package, or spaces that are not vectors with finite action bounds.
    """
    if dataset := recovered_from(env_id):
        return FlatObservation(rescale_actions(drawing.prepared(_recovered(dataset, render_mode))))
    if env_id not in gym.registry:
        register_others()
    try:
        env = _make(env_id, render_mode)
    except gym.error.UnregisteredEnv as error:
        raise UserError(f"Environment {env_id!r} is unknown. {suggestions(env_id)}") from error
    except (gym.error.Error, ImportError, ValueError) as error:
        raise UserError(f"Environment {env_id!r} cannot be made: {error}. {suggestions(env_id)}") from error
    return FlatObservation(rescale_actions(drawing.prepared(env)))


def _make(what: str | EnvSpec, render_mode: str | None) -> Environment:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)  # v4 is meant
        # An environment that draws nothing need not know the argument.
        drawn: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        return gym.make(what, disable_env_checker=True, **drawn)


def _recovered(dataset: Dataset, render_mode: str | None) -> Environment:
    """The environment that a dataset names, from what this machine's packages register under that name."""
    env_id, data = dataset.id, dataset.path / "data"
    spec = minari_spec.evaluation_spec(data)
    known = datasets_lock.entry(env_id).get("evaluation_env")
    if known is not None and known != minari_spec.evaluation_digest(data):
        raise UserError(
            f"{data}/metadata.json: the environment that it names is {spec.id} with {spec.kwargs}, which is not what "
            f"it was when {datasets_lock.LOCK_FILE} recorded it and runs were evaluated in it. Put the metadata back; "
            "or give the task's env in params.yaml, which makes other runs."
        )
    try:
        return _make(spec, render_mode)
    except Exception as error:  # whatever an environment raises on arguments that were recorded with another version
        raise UserError(
            f"Environment {env_id!r} cannot be made: {spec.id} with the recorded arguments {spec.kwargs}: "
            f"{type(error).__name__}: {error}. Give the task's env in params.yaml."
        ) from error
