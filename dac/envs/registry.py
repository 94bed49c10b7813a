"""Which environments there are: of Gymnasium, of installed packages, and those that are made here."""

from __future__ import annotations

import difflib
import importlib

import gymnasium as gym

from dac.system.errors import UserError


def registered(env_id: str) -> str:
    """An id that data give, as it is.

    Making an environment runs code, so data may name one that installed packages register, and say nothing of where
    its code is: no module to import, no entry point.

    Raises:
        UserError: no installed package registers it.
    """
    if env_id not in gym.registry:
        register_others()
    if env_id in gym.registry:
        return env_id
    raise UserError(
        f"the data name the environment {env_id!r}, which no installed package registers. Give the task's env in "
        "params.yaml; `env: module:Id` there imports the module that registers it."
    )


def register_others() -> None:
    """Register the environments that are made here, and those of gymnasium-robotics; it takes a second."""
    for module in ("dac.envs.bandit", "dac.envs.d4rl_tasks"):  # these register themselves
        importlib.import_module(module)


def suggestions(env_id: str) -> str:
    """A sentence with the registered environments that have names like this, or how to list all."""
    close = difflib.get_close_matches(env_id, list(gym.registry), n=5, cutoff=0.6)
    if close:
        return f"Close matches: {', '.join(close)}."
    return "`python -c 'import gymnasium; gymnasium.pprint_registry()'` lists what is installed."
