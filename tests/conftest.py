from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_box import Box, make_box
from shared import shared_data
from tiny import Project, write_rows

from dac.rows.raw import RawDataset

LONGEST_FIRST = ("slurm", "workflow", "soak", "browser")  # markers; what begins last keeps no worker alone for long
MOST_WORKERS = 8

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A script that starts the tests in the background has Ctrl-C ignored, also by all that they start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # heeded by Triton when it is imported, which PyTorch's compiler may do first


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, for `-n auto`: many tests wait for processes, or for a clock."""
    return min(MOST_WORKERS, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take long."""

    def place(item: pytest.Item) -> int:
        own = {mark.name for mark in item.iter_markers()}
        return next((index for index, name in enumerate(LONGEST_FIRST) if name in own), len(LONGEST_FIRST))

    items.sort(key=place)


@pytest.fixture(autouse=True)
def no_files_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """D4RL's files that somebody has here are not found, and no mirror that somebody uses."""
    monkeypatch.setenv("D4RL_DATASET_DIR", "/no/d4rl")
    monkeypatch.delenv("DAC_D4RL_MIRROR", raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A folder of its own, made the current one, with a dataset of 240 random rows in episodes of 12."""
    monkeypatch.chdir(tmp_path)
    write_rows(Path("data/pendulum.hdf5"))
    return Project()


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """Sets the GPUs of this machine, which at first has none."""
    return make_box(tmp_path, monkeypatch)


@pytest.fixture
def zoo() -> Path:
    """The folder of recorded locomotion data that the tests of real files read."""
    return shared_data("zoo")


@pytest.fixture
def raw() -> RawDataset:
    """Nine rows: an episode that times out (3), one that terminates (2), one that does both (2), a partial one (2)."""
    rows = np.arange(9, dtype=np.float32)
    return RawDataset(
        observations=np.stack([rows, 10 * rows], axis=1),
        actions=np.array([[-1.0], [0.5], [1.0], [0.0], [0.0], [0.0], [0.0], [0.0], [0.0]], dtype=np.float32),
        rewards=np.array([1, 1, 2, 0, 1, -3, 0, 5, 2], dtype=np.float32),
        terminals=np.isin(rows, [4, 6]),
        timeouts=np.isin(rows, [2, 6]),
    )
