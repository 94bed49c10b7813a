"""The data of a task: which they are, where its policies are evaluated, and which returns are scores 0 and 100."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dac.study import versions
from dac.study.catalog import (
    BANDIT_ENV,
    BANDIT_REFERENCE,
    d4rl_file,
    environment_of,
    minari_returns,
    policy_file,
    reference_returns,
    usable_returns,
)
from dac.study.datasets_lock import LOCK_FILE, compare_if_here, locked_file
from dac.study.datasets_lock import entry as locked_entry
from dac.study.identity import Dataset, canonical, minari_dataset
from dac.study.params import Params, Task
from dac.system.errors import UserError
from dac.system.hashing import sha256_of


def references(task: Task, name: str) -> tuple[float, float]:
    """Returns that are scores 0 and 100: the task's own, or D4RL's for its dataset or its environment."""
    if task.reference_returns is not None:
        return task.reference_returns
    source, _, rest = task.dataset.partition(":")
    if source == "bandit":
        return BANDIT_REFERENCE
    if source == "minari":
        found = minari_returns(rest) or locked_entry(task.dataset).get("reference_returns")
        if found is None:
            raise UserError(
                f"params.yaml: tasks.{name}: no reference returns are known for {task.dataset}. Set reference_returns: "
                f"[min, max]; or run `dac fetch {name}`, which takes them from Minari's metadata if they are there."
            )
        if (returns := usable_returns(found)) is None:
            raise UserError(
                f"{LOCK_FILE}: the reference_returns of {task.dataset} are {found}; allowed are two finite numbers, "
                f"the first the smaller. Set reference_returns: [min, max] of tasks.{name} in params.yaml, or restore "
                f"{LOCK_FILE} from git."
            )
        return returns
    try:
        return reference_returns(rest if source == "d4rl" else environment(task, name))
    except UserError as error:
        raise UserError(f"params.yaml: tasks.{name}: {error} Or set reference_returns: [min, max].") from None


def environment(task: Task, name: str) -> str:
    """The environment that a task's policies are evaluated in: its own `env`, or the one that its data name.

    Raises:
        UserError: the data name none.
    """
    source, _, rest = task.dataset.partition(":")
    if task.env is not None:
        return task.env
    if source == "d4rl":
        return environment_of(rest)
    if source == "minari":
        return task.dataset  # what that dataset recovers
    if source == "collect":
        return rest.rpartition("/")[0]
    if source == "bandit":
        return BANDIT_ENV
    found = locked_file(task.dataset, Path(rest)).get("env")
    if found is None:
        raise UserError(f"params.yaml: tasks.{name}: {rest} has no metadata/env_id; give the task's env.")
    if ":" in str(found):
        raise UserError(
            f"params.yaml: tasks.{name}: metadata/env_id of {rest} is {found!r}. Data may name an environment that "
            "installed packages register, and no module to import. Give the task's env, if you trust that module: "
            "`env: module:Id` imports it."
        )
    return str(found)


def dataset_of(params: Params, task_name: str) -> Dataset:
    """The dataset of a task, with its identity.

    Raises:
        UserError: an unknown D4RL id, a file that is neither present nor in datasets.lock, or one that is present and
            not the one of its identity.
    """
    try:
        dataset = dataset_named(params, params.tasks[task_name].dataset)
        if dataset.source == "d4rl" and dataset.file:
            compare_if_here(dataset.id, dataset.file, dataset.file_sha256)
        if dataset.source == "minari":
            _refuse_other_size(dataset)
    except UserError as error:
        raise UserError(f"params.yaml: tasks.{task_name}.dataset: {error}") from None
    return dataset


def _refuse_other_size(dataset: Dataset) -> None:
    """Stop where episodes were added to a Minari dataset, or taken away, since it was fetched.

    Its rows are hashed by whoever reads them; here is a look at the sizes of files alone.
    """
    try:
        noted = json.loads((dataset.path / "dataset.json").read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # it is not here, or has to be fetched again, which compares it
    known = {Path(name).parts[1] for name in noted}
    there = (path for path in (dataset.path / "data").glob("[0-9]*") if path.is_dir())  # an episode's, if not in HDF5
    if added := sorted(path.name for path in there if path.name not in known):
        raise UserError(
            f"{(dataset.path / 'data').resolve()} has more episodes than when it was fetched ({added[0]} is new), and "
            f"runs were trained on those. `dac fetch {dataset.id}` compares it with datasets.lock and says how to go "
            "on."
        )
    for name, entry in noted.items():
        path = dataset.path / name
        try:
            size = path.stat().st_size
        except OSError:
            continue  # a clone, or a disk that is not mounted
        if path.name != "metadata.json" and size != entry["size"]:
            raise UserError(
                f"{path.resolve()} has another size than when it was fetched, and runs were trained on that. "
                f"`dac fetch {dataset.id}` compares it with datasets.lock and says how to go on."
            )


def dataset_named(params: Params, dataset_id: str) -> Dataset:
    """The dataset of an id as a task has it, `<source>:<name>`; errors as of `dataset_of`, but for D4RL's files."""
    source, _, name = dataset_id.partition(":")
    if source == "collect":
        identity = _collected_identity(params, *name.rpartition("/")[::2])
    elif source == "bandit":
        identity = {"set": name}
    elif source == "minari":
        return minari_dataset(name)
    elif source == "d4rl":
        identity = {"sha256": d4rl_file(name).sha256 or locked_file(dataset_id)["sha256"]}
    else:
        identity = {"sha256": locked_file(dataset_id, Path(name))["sha256"]}
    return Dataset(source, name, canonical({"source": source, "version": versions.DATASET[source], **identity}))


def _collected_identity(params: Params, env: str, level: str) -> dict[str, Any]:
    recipe = params.collect[env]
    shared: dict[str, Any] = {"env": env, "seed": recipe.seed, "level": level}
    taken = recipe.levels[level].model_dump(mode="json")  # type: ignore[index]
    if recipe.policies is None:
        assert recipe.sac is not None  # the schema lets one of the two be absent
        return {**shared, "sac": recipe.sac.model_dump(mode="json"), "taken": taken}
    hashes = [_policy_sha256(env, name) for name in recipe.policies.files]
    policies = {**recipe.policies.model_dump(mode="json", exclude={"files"}), "sha256": hashes}
    return {**shared, "policies": policies, "taken": {"transitions": taken["transitions"]}}


def _policy_sha256(env: str, name: str) -> str:
    path = policy_file(name)
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(
            f"collect.{env}.policies.files: {path} is not readable ({error.strerror}). Put it there or correct the "
            "path, which counts from params.yaml's folder; `dac behaviours ENV` records such files."
        ) from None
