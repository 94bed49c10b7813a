"""`bandit:<set>`: the recorded rows of a behaviour set, drawn when they are needed."""

from __future__ import annotations

from collections.abc import Sequence

from dac.datasets import bandit
from dac.rows.raw import RawDataset, content_hash
from dac.study.identity import Dataset
from dac.system.errors import UserError


def load(dataset: Dataset) -> tuple[RawDataset, str]:
    """The rows and the sha256 of their contents."""
    rows = bandit.dataset(dataset.name)
    return rows, content_hash(rows)


def fetch(dataset: Dataset, mirrors: Sequence[str] | None) -> None:
    """Refused: nothing is kept."""
    raise UserError(f"{dataset.id} {dataset.kind.not_by_name}.")
