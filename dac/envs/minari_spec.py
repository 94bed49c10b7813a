"""The environment that a Minari dataset names: an id and plain arguments, and nothing that runs code.

Gymnasium's specification of an environment has entry points, of the environment and of its wrappers: names of anything
that can be imported, called when it is made. Who reads data must not run them, so they are never looked at: what is
made is what this machine's packages register under the recorded id.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from dac.envs.registry import registered
from dac.study.identity import fingerprint
from dac.system.errors import UserError

# Minari keeps the data of dataset <id> in <root>/<id>/data.
DATA_FOLDER = "data"

# A user's own recording may be the only copy: nothing here advises to delete it.
AGAIN = (
    "Restore it from a copy, or record it again; one that was downloaded or made here is made again once its folder is "
    "moved away (`dac fetch <task>`, or snakemake)."
)

# Wrappers that change nothing a policy sees, or that `envs.make` applies by itself.
_WITHOUT_EFFECT = frozenset(
    {
        "dac.envs:FlatObservation",
        "dac.envs:UnitAction",
        "gymnasium.wrappers.common:OrderEnforcing",
        "gymnasium.wrappers.common:PassiveEnvChecker",
        "gymnasium.wrappers.common:RecordEpisodeStatistics",
    }
)
_GIVE_ENV = "Give the task's env in params.yaml, which replaces all that the data say of it"


def metadata(data: Path) -> dict[str, Any]:
    """The metadata of the Minari dataset whose `data` folder is given.

    Raises:
        UserError: they are missing or not readable.
    """
    path = data / "metadata.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(
            f"{data.parent}: no Minari dataset here (it would have {DATA_FOLDER}/metadata.json). If a program still "
            f"records into it, let that end: the dataset is whole after its create_dataset. {AGAIN}"
        ) from None
    except PermissionError as error:
        raise UserError(f"{path}: it may not be read ({error}). Correct the permissions and run it again.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({error}). {AGAIN}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object. {AGAIN}")
    return content


def evaluation_spec(data: Path) -> EnvSpec:
    """The specification of the environment to evaluate in: the dataset's own for that purpose, else the recorded one.

    Episodes end, and count, as the paper's do, also where the data were recorded without an end.

    Args:
        data: the dataset's `data` folder.

    Returns:
        the registry's specification of the recorded id, with the recorded arguments and step limit.

    Raises:
        UserError: the dataset is not here, or names no environment, or one that cannot be had from its id and plain
            arguments.
    """
    facts = metadata(data)
    for key in ("eval_env_spec", "env_spec"):
        if facts.get(key):
            return _from_registry(f"{data}/metadata.json: {key}", _content(facts[key]))
    raise UserError(f"{data}: the dataset names no environment. {_GIVE_ENV}.")


def evaluation_digest(data: Path) -> str | None:
    """Fingerprint of the environment to evaluate in: its id, arguments and step limit; None where there is none."""
    try:
        spec = evaluation_spec(data)
    except UserError:
        return None
    return fingerprint([spec.id, spec.kwargs, spec.max_episode_steps])


def recorded_env(data: Path) -> str | None:
    """Id of the environment that a dataset says it was recorded in, None where it says nothing readable."""
    found = _content(metadata(data).get("env_spec"))
    return str(found["id"]) if found and isinstance(found.get("id"), str) else None


def _content(text: Any) -> dict[str, Any] | None:
    """The fields of a specification from its JSON, whatever version of Gymnasium wrote them."""
    try:
        content = json.loads(text)
    except (TypeError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _from_registry(where: str, content: Mapping[str, Any] | None) -> EnvSpec:
    if content is None or not isinstance(content.get("id"), str):
        raise UserError(f"{where} is not readable. {_GIVE_ENV}.")
    try:
        known: EnvSpec = gym.registry[registered(content["id"])]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    kwargs = content.get("kwargs") or {}
    limit = content.get("max_episode_steps")
    if not isinstance(kwargs, dict) or not (limit is None or (isinstance(limit, int) and limit > 0)):
        raise UserError(f"{where}: kwargs {kwargs!r} and max_episode_steps {limit!r} cannot be used. {_GIVE_ENV}.")
    for text in _texts(kwargs):
        if any(sign in text for sign in ":/\\"):
            raise UserError(
                f"{where}: the argument {text!r} could name a file or a module, which data may not. {_GIVE_ENV}."
            )
    if changed := _wrappers(content) - _WITHOUT_EFFECT:
        raise UserError(
            f"{where}: {content['id']} cannot be made as it was recorded, inside of {', '.join(sorted(changed))}: code "
            f"that data name is not run. {_GIVE_ENV}."
        )
    recorded = {key: value for key, value in kwargs.items() if key != "render_mode"}
    arguments = {**copy.deepcopy(known.kwargs), **recorded}
    return dataclasses.replace(
        copy.deepcopy(known),
        kwargs={**arguments, **_as_scored(known.id, arguments)},
        max_episode_steps=known.max_episode_steps if limit is None else limit,
    )


def _as_scored(env_id: str, arguments: Mapping[str, Any]) -> dict[str, bool]:
    """Arguments that the returns which are scores 0 and 100 are of, whatever the data were recorded with.

    A maze's episode ends at the goal. Not so with dense rewards: they add up until the step limit, and whoever is late
    would have the most. A kitchen's object counts once, not in every step after.
    """
    if "Maze" in env_id and arguments.get("reward_type") != "dense":
        return {"continuing_task": False}
    return {"remove_task_when_completed": True} if env_id.startswith("FrankaKitchen-") else {}


def _wrappers(content: Mapping[str, Any]) -> set[str]:
    """Entry points of the wrappers that a specification lists, as texts."""
    listed = content.get("additional_wrappers") or []
    if not isinstance(listed, list):
        return {"wrappers that are no list"}
    return {str(item.get("entry_point")) if isinstance(item, dict) else str(item) for item in listed}


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
