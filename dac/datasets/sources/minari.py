"""`minari:<id>`: one of Minari's datasets, its own copy or downloaded, and linked to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dac.datasets import flat, folder, minari, references
from dac.envs import minari_spec
from dac.rows import checks
from dac.rows.raw import RawDataset, content_hash, episode_stops
from dac.study import datasets_lock, store
from dac.study.catalog import minari_returns, usable_returns
from dac.study.identity import Dataset
from dac.system.errors import UserError

LOG = logging.getLogger(__name__)


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """The rows and the sha256 of their contents, which are those of datasets.lock."""
    raw, digest = folder.load(dataset.path), str(folder.describe(dataset.path)["sha256"])
    _compare_or_lock(dataset, digest)
    return raw, digest


def fetch(dataset: Dataset, mirrors: Sequence[str] | None) -> None:
    """Make the folder of a Minari dataset: a link to Minari's own copy, checked and described."""
    with folder.lock(dataset.path):
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


def place(dataset: Dataset, mirrors: Sequence[str] | None) -> str:
    """Minari's own copy if there is one."""
    copy = minari.root() / dataset.name
    return str(copy) if copy.exists() else "Minari's server"


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
    known = str(datasets_lock.entry(dataset.id).get("sha256", digest))
    if known == digest:
        return
    raise UserError(
        f"{dataset.id}: the contents of {source} have the sha256 {digest[:12]}…, but {datasets_lock.LOCK_FILE} says "
        f"{known[:12]}…: episodes were added or changed since. Put the earlier copy back; or give the new data an id "
        "of their own (the next -v<n>), which is another dataset; or, if they are to replace the old ones, delete the "
        f"entry in {datasets_lock.LOCK_FILE} and the runs on it. A downloaded copy can be fetched again: move it "
        f"and {dataset.path} away and `dac fetch` it."
    )
