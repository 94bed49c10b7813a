"""Faults around a training, injected for real: it ends with the bytes of an undisturbed one, or says what to do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import reliability
from interrupting import before_gradient_step
from processes import children
from tiny import COMPUTE, Project
from trained import forget, published
from unprivileged import somebody_else

from dac.datasets import load
from dac.study import store
from dac.study.identity import Run
from dac.study.task_data import dataset_of
from dac.system import paths
from dac.system.errors import UserError
from dac.training.curve import Overlapped
from dac.training.policies import PolicyState
from dac.training.trainer import train

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parents[2]
ALWAYS = COMPUTE.model_copy(update={"checkpoint_seconds": 0})


@pytest.fixture
def undisturbed(project: Project) -> dict[str, bytes]:
    """What seed 0 publishes; the store and work/ are empty again."""
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    return expected


@pytest.mark.parametrize("step", [3, 25, 39])
def test_work_deleted_in_the_middle(step: int, project: Project, undisturbed: dict[str, bytes]) -> None:
    """Policies that were kept there are made again; of its locks the training has no more than it holds."""
    run, times = Run(project.group(), 0), iter([1])

    def delete() -> None:
        if next(times, None):
            shutil.rmtree("work")

    with before_gradient_step(step, delete):
        train(run.group, [0], ALWAYS, 1)
    assert next(times, None) is None
    assert published(run) == undisturbed
    reliability.record("fault", "work/ deleted in the middle of a training", "it goes on; what was kept is made again")


def test_a_clock_that_goes_backwards(
    project: Project, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [2e9]

    def earlier() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", earlier)
    monkeypatch.setattr(time, "time_ns", lambda: int(earlier() * 1e9))
    run = Run(project.group(), 0)
    train(run.group, [0], ALWAYS, 1)
    assert now[0] < 2e9
    assert published(run) == undisturbed
    reliability.record("fault", "a clock that goes back whenever it is read", "nothing: no result depends on it")


def test_a_renderer_that_is_not_there(project: Project, undisturbed: dict[str, bytes]) -> None:
    run = Run(project.group(), 0)
    command = [sys.executable, "-m", "dac", "train", run.group.task, run.group.name, "--seeds", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MUJOCO_GL": "nonsense"}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=900)
    assert published(run) == undisturbed
    reliability.record("fault", "MUJOCO_GL names no renderer", "nothing: no training renders")


def test_a_killed_worker_of_the_evaluator(
    project: Project, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, submit = Run(project.group(), 0), Overlapped.submit

    def kill_and_submit(self: Overlapped, step: int, states: list[PolicyState]) -> None:
        if step == 20:
            os.kill(children(self.pid)[0], signal.SIGKILL)
        submit(self, step, states)

    two = COMPUTE.model_copy(update={"evaluation_workers": 2})
    with monkeypatch.context() as patch:
        patch.setattr(Overlapped, "submit", kill_and_submit)
        with pytest.raises(UserError, match=r"training is saved at step \d+\. The environment worker process \(pid"):
            train(run.group, [0], two, 1)
    started = time.monotonic()
    train(run.group, [0], two, 1)
    assert published(run) == undisturbed
    reliability.record(
        "kill",
        "SIGKILL of a process that steps environments, during an evaluation",
        "the training saves itself and ends with a message; it goes on from there",
        recovery_s=time.monotonic() - started,
    )


def test_a_store_that_takes_no_files_is_found_out_before_training(project: Project) -> None:
    group = project.group()
    shutil.rmtree(paths.WORK)  # whoever made it
    paths.RUNS.mkdir(parents=True)
    paths.RUNS.chmod(0o555)

    def never() -> None:
        pytest.fail("a gradient step")

    refused = pytest.raises(UserError, match=rf"^{store.group_directory(group)}: nothing can be written there \(Perm")
    with somebody_else(), before_gradient_step(0, never), refused:
        train(group, [0], COMPUTE, 1)
    assert list(paths.RUNS.iterdir()) == []
    reliability.record("fault", "a folder of results that takes no files", "refused before the first step")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def change_a_value(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        rows: list[h5py.Dataset] = []
        file.visititems(lambda _, item: rows.append(item) if isinstance(item, h5py.Dataset) and item.size else None)
        values = np.array(rows[0])
        values.flat[0] += 1
        rows[0][...] = values


@pytest.mark.parametrize("damage", [flip, change_a_value, lambda path: path.write_bytes(b""), Path.unlink])
def test_a_damaged_minari_folder(damage: Callable[[Path], None], project: Project) -> None:
    """It is never trained on; the message names the folder."""
    params = project.load()
    dataset = dataset_of(params, "pendulum")
    load.fetch(dataset, None)
    (data,) = (path for path in dataset.path.rglob("*.hdf5"))
    damage(data)
    run = Run(project.group(), 0)
    try:
        train(run.group, [0], COMPUTE, 1)
    except UserError as error:
        assert str(dataset.path) in str(error)
        assert store.run_problem(run) == "missing"
        return
    # A byte that is no row's, or data that were converted anew from the file: the same rows as before the damage.
    assert store.read_run(run)["status"] == "complete"
