"""`collect:<env>/<level>`: data collected here by a recipe of params.yaml, several levels in one go."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from dac.datasets import behaviours, folder, mixture
from dac.datasets.sac import collect as sac
from dac.rows.raw import RawDataset
from dac.study import store
from dac.study.catalog import policy_file
from dac.study.identity import Dataset
from dac.study.params import Params
from dac.study.task_data import dataset_of
from dac.system import locks, paths
from dac.system.errors import UserError, closest

LOG = logging.getLogger(__name__)


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """The rows and the sha256 of their contents."""
    return folder.load(dataset.path), str(folder.describe(dataset.path)["sha256"])


def fetch(dataset: Dataset, mirrors: Sequence[str] | None) -> None:
    """Refused: one level is not made without the others."""
    raise UserError(f"{dataset.id} {dataset.kind.not_by_name}.")


def collect(params: Params, env: str, fingerprints: list[str]) -> None:
    """Collect datasets of one environment by their fingerprints, with one SAC training for all, or recorded policies.

    Raises:
        UserError: params.yaml has no recipe for it, or no longer describes one of them; a policy's file is not usable.
        Interrupted: SIGTERM or SIGINT came; the same call goes on from there.
    """
    if env not in params.collect:
        raise UserError(f"params.yaml: collect: no environment {env!r}; {closest(env, list(params.collect))}")
    tasks = (name for name, task in params.tasks.items() if task.dataset.startswith(f"collect:{env}/"))
    known = {dataset.fingerprint: dataset for dataset in (dataset_of(params, name) for name in tasks)}
    gone = [name for name in fingerprints if name not in known]
    if gone:
        raise UserError(
            f"params.yaml changed since this job was planned: its recipe for {env} no longer gives "
            f"{', '.join(gone)}. Nothing was written. Start again: the new plan is used."
        )
    collection = f"collect-{known[fingerprints[0]].collection}"
    with locks.lock(paths.LOCKS / collection, LOG.info):
        wanted = [known[name] for name in fingerprints if store.dataset_problem(known[name])]
        if wanted:
            levels = {dataset.name.rpartition("/")[2]: dataset.path for dataset in wanted}
            _collect_levels(params, env, levels, paths.WORK / collection)
    for dataset in wanted:
        store.journal("collect", dataset=dataset.id)


def _collect_levels(params: Params, env: str, levels: Mapping[str, Path], work: Path) -> None:
    settings = params.collect[env]
    recipe = {key: value for key, value in settings.model_dump(mode="json").items() if value is not None}
    if settings.policies is None:
        seconds = params.compute.checkpoint_seconds
        sac.collect(env, recipe, levels, work, LOG.info, checkpoint_seconds=seconds)
    else:
        policies = [behaviours.load(policy_file(name)) for name in settings.policies.files]
        mixture.collect(env, recipe, policies, levels, LOG.info)
