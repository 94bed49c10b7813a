"""From a planned dataset to its arrays on this machine, with its contents checked."""

from __future__ import annotations

import json
import logging

import numpy as np

from dac import bandit, store
from dac.datasets import collect as collecting
from dac.datasets import d4rl
from dac.datasets.lock import sha256_of
from dac.datasets.transitions import RawDataset, content_hash
from dac.errors import UserError
from dac.params import Params
from dac.plan import Dataset, dataset_of

# Rounding may carry an action of a `file:` dataset this far outside of [-1, 1]; more is another scale.
ACTION_MARGIN = 1e-3

LOG = logging.getLogger(__name__)


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """A dataset's rows and the sha256 of its contents.

    Raises:
        UserError: it is not there, is not readable, or its contents are not what its identity or its note says.
    """
    if dataset.source == "bandit":
        rows = bandit.dataset(dataset.name)
        return rows, content_hash(rows)
    if dataset.source == "collect":
        # Its hash is of the arrays, which collecting.load compares with the recorded one.
        return collecting.load(dataset.path), str(collecting.describe(dataset.path)["sha256"])
    raw = d4rl.read(dataset.path)
    expected = json.loads(dataset.identity)["sha256"]
    found = sha256_of(dataset.path)
    if found != expected:
        raise UserError(
            f"{dataset.path}: its sha256 is {found[:12]}…, but {dataset.id} is {expected[:12]}… (the catalog's or "
            "datasets.lock's). Put the right file back; or, if the data changed on purpose, delete its entry in "
            "datasets.lock and start again: the runs on it are made anew."
        )
    _check_rows(dataset, raw)
    return raw, found


def _check_rows(dataset: Dataset, raw: RawDataset) -> None:
    """Refuse rows that would train without a complaint and mean nothing."""
    if not len(raw):
        raise UserError(f"{dataset.path}: it has no rows. Give another file.")
    if not (raw.terminals | raw.timeouts).any():
        raise UserError(
            f"{dataset.path}: no episode ends: terminals and timeouts are false in all {len(raw)} rows. Mark the last "
            "row of every episode, as a terminal state or as a time-out."
        )
    beyond = np.abs(raw.actions) > 1.0
    rows, most = int(beyond.any(axis=1).sum()), float(np.abs(raw.actions).max())
    if dataset.source == "file" and most > 1.0 + ACTION_MARGIN:
        raise UserError(
            f"{dataset.path}: actions reach {most:.4g}, outside of [-1, 1], in {rows} of {len(raw)} rows. Scale them "
            "to [-1, 1], the range that policies act in here."
        )
    if rows:
        LOG.info("%s: actions of %d rows reach %.6g; they are clipped to [-1, 1]", dataset.id, rows, most)


def collect(params: Params, env: str, fingerprints: list[str]) -> None:
    """Collect datasets of one environment by their fingerprints, with one SAC training for all.

    Raises:
        UserError: params.yaml no longer describes one of them.
    """
    tasks = (name for name, task in params.tasks.items() if task.dataset.startswith(f"collect:{env}/"))
    known = {dataset.fingerprint: dataset for dataset in (dataset_of(params, name) for name in tasks)}
    gone = [name for name in fingerprints if name not in known]
    if gone:
        raise UserError(
            f"params.yaml changed since this job was planned: its recipe for {env} no longer gives "
            f"{', '.join(gone)}. Nothing was written. Start again: the new plan is used."
        )
    wanted = [known[name] for name in fingerprints if store.dataset_problem(known[name])]
    if wanted:
        levels = {dataset.name.rpartition("/")[2]: dataset.path for dataset in wanted}
        collecting.collect(env, params.collect[env].model_dump(mode="json"), levels, LOG.info)
    for dataset in wanted:
        store.journal("collect", dataset=dataset.id)
