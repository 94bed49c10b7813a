"""Offline datasets: where they come from, how they are read, and the transitions that the agent trains on.

Importing this package imports neither torch nor gymnasium: the planner needs `dac.datasets.catalog` alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dac.datasets.transitions import RawDataset


def load_d4rl(path: Path) -> RawDataset:
    """Read an HDF5 file in D4RL's layout; see `dac.datasets.d4rl.read`."""
    from dac.datasets import d4rl

    return d4rl.read(path)


def load_collected(directory: Path) -> RawDataset:
    """Read a dataset that `dac.datasets.collect` wrote, and check it against its recorded content hash.

    Raises:
        UserError: the directory is no complete collected dataset, or its contents have changed.
    """
    from dac.datasets import collect

    return collect.load(directory)
