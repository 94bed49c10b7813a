"""From a planned dataset to its arrays on this machine: fetched, converted, checked."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dac.datasets import bandit, behaviours, convert, d4rl, flat, folder, minari, mixture, references
from dac.datasets.sac import collect as collecting
from dac.envs import minari_spec
from dac.rows import checks
from dac.rows.raw import RawDataset, content_hash, episode_stops
from dac.study import datasets_lock, store
from dac.study.catalog import d4rl_file, minari_returns, policy_file, usable_returns
from dac.study.identity import Dataset, Group
from dac.study.params import Params
from dac.study.task_data import dataset_of
from dac.system import locks
from dac.system.errors import UserError

LOG = logging.getLogger(__name__)


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """A dataset's rows and their sha256: of the file where it is one, else of the contents.

    A file that was not converted yet is converted first.

    Raises:
        UserError: it is not there, is not readable, or its contents are not what its identity or its note says.
    """
    if dataset.source == "bandit":
        rows = bandit.dataset(dataset.name)
        return rows, content_hash(rows)
    if dataset.file is not None:
        _convert(dataset, dataset.file)
        return folder.load(dataset.path), dataset.file_sha256
    raw, digest = folder.load(dataset.path), str(folder.describe(dataset.path)["sha256"])
    if dataset.source == "minari":
        _compare_or_lock(dataset, digest)
    return raw, digest


def _convert(dataset: Dataset, path: Path) -> None:
    """Make the folder of a dataset that is a file, unless it is there; one process at a time."""
    with _lock(dataset):
        if store.folder_problem(dataset):
            convert.convert(dataset, path)
        elif path.is_file() and convert.source_changed(dataset, path):
            convert.check_source(dataset, path)


def _lock(dataset: Dataset) -> Any:
    return locks.lock(Path("work/locks") / f"dataset-{dataset.path.name}", LOG.info)


def fetch_d4rl(dataset_id: str, mirrors: Sequence[str]) -> None:
    """Download one of D4RL's files and check it; one without a published sha256 is recorded in datasets.lock.

    Raises:
        UserError: an unknown id, or no address gives the file.
    """
    file = d4rl_file(dataset_id)
    known = datasets_lock.entry(f"d4rl:{dataset_id}").get("sha256")
    path = Path("data/d4rl") / f"{dataset_id}.hdf5"
    if file.sha256:
        d4rl.fetch(file, path, mirrors)
        return
    try:
        d4rl.fetch(dataclasses.replace(file, sha256=known), path, mirrors)
    except UserError as error:
        if known is None:
            raise
        raise UserError(
            f"{error}\nNo sha256 is published for {dataset_id}: the expected one is that of the file that was fetched "
            f"first, from {datasets_lock.LOCK_FILE}. If that one was wrong, delete the entry d4rl:{dataset_id} in it "
            "and fetch again: the runs on it are made anew."
        ) from error
    datasets_lock.locked_file(f"d4rl:{dataset_id}", path)


def fetch(dataset: Dataset, mirrors: Sequence[str]) -> None:
    """Bring a dataset here, ready to train on: downloaded where it has to be, checked and converted.

    Raises:
        UserError: it cannot be had, or its contents are not usable.
    """
    if dataset.source == "bandit":
        raise UserError(f"{dataset.id} is drawn when it is needed; there is nothing to fetch.")
    if dataset.source == "collect":
        raise UserError(f"{dataset.id} is collected, not fetched: `snakemake <study>_datasets` does so.")
    if dataset.source == "minari":
        _fetch_minari(dataset)
    elif dataset.file is not None:
        if dataset.source == "d4rl" and store.folder_problem(dataset):
            fetch_d4rl(dataset.name, mirrors)
        _convert(dataset, dataset.file)


def _fetch_minari(dataset: Dataset) -> None:
    """Make the folder of a Minari dataset: a link to Minari's own copy, checked and described."""
    with _lock(dataset):
        if store.folder_problem(dataset):
            data = minari.fetch(dataset.name, LOG.info).resolve()
            # Before the note of what was fetched gives way to that of something else.
            raw = minari.read(data.parent)
            _refuse_other_contents(dataset, content_hash(raw), data)
            clipped = checks.clipped_rows_of_minari(dataset.name, str(data.parent), raw)
            description: dict[str, Any] = {
                "dataset": dataset.id,
                "env_id": minari_spec.recorded_env(data),
                "reference_returns": references.of_minari(dataset.name, minari_spec.metadata(data)),
                "rows_with_clipped_actions": clipped,
                "source": {"path": str(data)},
            }
            many = len(episode_stops(raw)) > flat.MOST_GROUPS  # every training would read all of their groups

            def fill(directory: Path) -> None:
                (directory / "data").symlink_to(data, target_is_directory=True)
                if many:
                    flat.write(directory, raw, None, description["env_id"])

            size = folder.size_on_disk(raw.nbytes, 1) if many else 0.0
            folder.publish(dataset.path, fill, description, size, content_hash(raw))
        else:
            folder.load(dataset.path)  # by its contents: sizes do not tell of every change
        _compare_or_lock(dataset, str(folder.describe(dataset.path)["sha256"]))


def _compare_or_lock(dataset: Dataset, digest: str) -> None:
    """Compare a Minari dataset's contents with datasets.lock; what is not there yet is recorded.

    Raises:
        UserError: datasets.lock has other contents.
    """
    note = folder.describe(dataset.path)
    _refuse_other_contents(dataset, digest, note["source"]["path"])
    known, environment = datasets_lock.entry(dataset.id), minari_spec.evaluation_digest(dataset.path / "data")
    evaluated = {"evaluation_env": environment} if environment else {}
    reference = usable_returns(note["reference_returns"])
    own = {"reference_returns": list(reference)} if reference and minari_returns(dataset.name) is None else {}
    facts = {"sha256": digest, **evaluated, **own}
    if not facts.keys() <= known.keys():  # what was of no use when it was first seen may be mended
        datasets_lock.record(dataset.id, {**facts, **known})


def _refuse_other_contents(dataset: Dataset, digest: str, source: object) -> None:
    known = datasets_lock.entry(dataset.id).get("sha256", digest)
    if known == digest:
        return
    raise UserError(
        f"{dataset.id}: the contents of {source} have the sha256 {digest[:12]}…, but {datasets_lock.LOCK_FILE} says "
        f"{known[:12]}…: episodes were added or changed since. Put the copy of then back; or give the new data an id "
        "of their own (the next -v<n>), which is another dataset; or, if they are to replace the old ones, delete the "
        f"entry in {datasets_lock.LOCK_FILE} and the runs on it. A copy that was downloaded can be had again: move it "
        f"and {dataset.path} away and `dac fetch` it."
    )


def refuse_other_version(group: Group) -> None:
    """Stop where a Minari dataset was recorded in another version of the environment that its task is evaluated in.

    Raises:
        UserError: names both.
    """
    if group.dataset.source != "minari" or group.env == group.dataset.id:
        return
    recorded = folder.describe(group.dataset.path)["env_id"]
    if recorded is None or _unprefixed(recorded) == _unprefixed(group.env):
        return
    if _family(recorded) != _family(group.env):
        LOG.info("%s: recorded in %s, evaluated in %s", group.dataset.id, recorded, group.env)
        return
    raise UserError(
        f"params.yaml: tasks.{group.task}.env: found {group.env}; {group.dataset.id} was recorded in {recorded}, "
        f"and versions of an environment differ in observations and rewards. Give {recorded}, or a dataset of "
        f"{group.env}."
    )


def _unprefixed(env_id: str) -> str:
    """An environment's id without the module that registers it."""
    return env_id.rpartition(":")[2]


def _family(env_id: str) -> str:
    """An environment's id without its version."""
    return re.sub(r"-v\d+$", "", _unprefixed(env_id))


def collect(params: Params, env: str, fingerprints: list[str]) -> None:
    """Collect datasets of one environment by their fingerprints, with one SAC training for all, or recorded policies.

    Raises:
        UserError: params.yaml no longer describes one of them, or a policy's file is not usable.
        Interrupted: SIGTERM or SIGINT came; the same call goes on from there.
    """
    tasks = (name for name, task in params.tasks.items() if task.dataset.startswith(f"collect:{env}/"))
    known = {dataset.fingerprint: dataset for dataset in (dataset_of(params, name) for name in tasks)}
    gone = [name for name in fingerprints if name not in known]
    if gone:
        raise UserError(
            f"params.yaml changed since this job was planned: its recipe for {env} no longer gives "
            f"{', '.join(gone)}. Nothing was written. Start again: the new plan is used."
        )
    collection = f"collect-{known[fingerprints[0]].collection}"
    with locks.lock(Path("work/locks") / collection, LOG.info):
        wanted = [known[name] for name in fingerprints if store.dataset_problem(known[name])]
        if wanted:
            levels = {dataset.name.rpartition("/")[2]: dataset.path for dataset in wanted}
            _collect_levels(params, env, levels, store.WORK / collection)
    for dataset in wanted:
        store.journal("collect", dataset=dataset.id)


def _collect_levels(params: Params, env: str, levels: Mapping[str, Path], work: Path) -> None:
    settings = params.collect[env]
    recipe = {key: value for key, value in settings.model_dump(mode="json").items() if value is not None}
    if settings.policies is None:
        seconds = params.compute.checkpoint_seconds
        collecting.collect(env, recipe, levels, work, LOG.info, checkpoint_seconds=seconds)
    else:
        policies = [behaviours.load(policy_file(name)) for name in settings.policies.files]
        mixture.collect(env, recipe, policies, levels, LOG.info)
