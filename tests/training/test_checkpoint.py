"""States, policies and curves that were damaged: none of it is ever used or published."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import torch
from damage import empty, flip, make_unreadable, truncate
from tiny import COMPUTE, Project, write_rows
from trained import (
    curve_of,
    forget,
    largest_difference,
    metadata_of,
    policy_of,
    published,
    replace_state,
    state_paths,
)

from dac.study import store
from dac.study.identity import Group, Run
from dac.system import files, locks
from dac.system.errors import UserError
from dac.training import checkpoint
from dac.training.pack import Pack
from dac.training.publish import Publisher
from dac.training.trainer import _Trainer, train

ROOT = Path(__file__).parents[2]
DATA = "d" * 64


DAMAGES = [flip, truncate, empty, make_unreadable]


class CrashError(RuntimeError):
    """What ends a training here without a word to it."""


def crash_at(group: Group, seeds: list[int], step: int, saved: set[int]) -> None:
    """Train until a step of the log, where the process would be killed; states are saved at some steps before."""

    def save_there(trainer: _Trainer, pack: Pack) -> None:
        if pack.agent.step in saved:
            trainer._checkpoint(pack)

    def crash(_: Pack, now: int, *__: object) -> None:
        if now == step:
            raise CrashError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Trainer, "_checkpoint_if_due", save_there)
        patch.setattr(Pack, "log", crash)
        with pytest.raises(CrashError):
            train(group, seeds, COMPUTE, 1)


@pytest.fixture
def run(project: Project) -> Run:
    """Seed 0, crashed at step 35 with states of the steps 25 and 34; its policy of step 30 is kept."""
    found = Run(project.group(), 0)
    crash_at(found.group, [0], 35, {15, 25, 34})
    assert [metadata_of(path)["step"] for path in state_paths(found)] == ["34", "25"]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What seed 0 publishes when nothing happens to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        write_rows(Path("data/pendulum.hdf5"))
        found = Run(Project().group(), 0)
        train(found.group, [0], COMPUTE, 1)
        return published(found)


def resumed_from(run: Run) -> int:
    made = files.read_json(store.run_directory(run) / "provenance.json")
    assert made is not None
    return int(made["resumed_from_step"])


# States


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_set_aside_and_the_one_before_used(
    damage: Callable[[Path], None], run: Run, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    newest = state_paths(run)[0]
    damage(newest)
    damaged = newest.with_name(f"{newest.name}.damaged")
    seen: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Trainer, "_checkpoint_if_due", lambda *_: seen.append(damaged.exists()))
        train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert resumed_from(run) == 25
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{newest}: ")
    assert warning.endswith(f"; kept as {newest.name}.damaged. {run} goes on from step 25 instead")
    assert seen and all(seen)


def test_a_deleted_state_leaves_the_one_before(run: Run, undisturbed: dict[str, bytes]) -> None:
    state_paths(run)[0].unlink()
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert resumed_from(run) == 25


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_state_a_run_starts_anew(
    damage: Callable[[Path], None], run: Run, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    for path in state_paths(run):
        damage(path)
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert resumed_from(run) == 0
    assert caplog.text.count(f"{run} starts anew instead") == 2


@pytest.mark.parametrize("under_its_own_name", [True, False])
def test_a_state_of_another_run_is_not_used(
    under_its_own_name: bool, run: Run, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    other = Run(run.group, 1)
    crash_at(run.group, [1], 35, {34})
    theirs, ours = state_paths(other)[0], state_paths(run)[0]
    shutil.copy(theirs, store.work_directory(run) / (theirs.name if under_its_own_name else ours.name))
    if under_its_own_name:
        ours.unlink()
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    reason = f"the state of seed 1 of {run.group.fingerprint} at step 34" if under_its_own_name else "its sha256 is not"
    assert reason in caplog.text
    assert f"{run} goes on from step 25 instead" in caplog.text


@pytest.mark.parametrize("key", ["fingerprint", "seed", "step", "dataset_sha256", "curve", "policies", "seconds"])
def test_a_state_that_lacks_something_is_not_used(
    key: str, run: Run, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    metadata = metadata_of(state_paths(run)[0])
    replace_state(
        run, {"a": torch.zeros(3)}, {name: value for name, value in metadata.items() if name != key} | {"x": ""}, 34
    )
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert f"not a state of this program (KeyError: '{key}'); kept as state-34-" in caplog.text


def test_a_state_without_a_checksum_is_not_used(
    run: Run, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    state_paths(run)[0].rename(store.work_directory(run) / "state.safetensors")
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert "state.safetensors: not a state with a sha256 in its name (an earlier version's?); kept as" in caplog.text


def test_what_a_killed_process_was_writing_is_removed(run: Run, undisturbed: dict[str, bytes]) -> None:
    left = store.work_directory(run) / ".state-35-0123456789abcdef.safetensors.99.tmp"
    left.write_bytes(b"half")
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert not store.work_directory(run).exists()


def test_two_generations_of_different_steps_are_kept(project: Project) -> None:
    state = checkpoint.RunState(Run(project.group(), 0), 0, {"a": torch.zeros(3)}, pd.DataFrame(columns=["step"]))
    for step, seconds in ((10, 1.0), (20, 2.0), (20, 3.0), (30, 4.0), (30, 5.0)):
        state.step, state.wall_seconds = step, seconds
        checkpoint.save(state, DATA)
    assert [json.loads(metadata_of(path)["seconds"])[1] for path in state_paths(state.run)] == [5.0, 3.0]


def test_evaluations_beyond_a_state_are_not_in_it(project: Project) -> None:
    """A stretch that the device's memory ended has evaluated, and kept policies, beyond the state that it began at."""
    curve = pd.DataFrame([[0, 0, 1.0, 2], [10, 0, 1.0, 2], [20, 0, 1.0, 2]], columns=checkpoint.CURVE_COLUMNS)
    state = checkpoint.RunState(Run(project.group(), 0), 15, {}, curve)
    for step in (10, 20):
        checkpoint.keep_policy(state, step, {"a": torch.zeros(3)})
    checkpoint.save(state, DATA)
    found = checkpoint.newest(state.run, DATA, {10, 20})
    assert found is not None
    assert found.curve["step"].tolist() == [0, 10]
    assert found.policies == {10: state.policies[10]}


def test_a_pack_with_one_damaged_state_is_brought_level(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    runs = [Run(project.group(), seed) for seed in (0, 1, 2)]
    train(runs[0].group, [0, 1, 2], COMPUTE, 1)
    expected = [(curve_of(run), policy_of(run, 40)) for run in runs]
    forget()
    crash_at(runs[0].group, [0, 1, 2], 35, {25, 34})
    flip(state_paths(runs[1])[0])
    train(runs[0].group, [0, 1, 2], COMPUTE, 1)
    assert [resumed_from(run) for run in runs] == [34, 25, 34]
    assert f"{runs[1]} goes on from step 25 instead" in caplog.text
    for run, (curve, policy) in zip(runs, expected, strict=True):
        assert curve_of(run)[["step", "episode"]].equals(curve[["step", "episode"]])
        assert largest_difference(policy_of(run, 40), policy) < 1e-4  # a pack of one rounds differently


# Kept policies


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
@pytest.mark.parametrize("before", ["whole", "damaged"])
def test_a_damaged_policy_is_made_again_from_the_state_before_it(
    before: str,
    damage: Callable[[Path], None],
    run: Run,
    undisturbed: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = store.work_directory(run) / "policy-30.safetensors"
    damage(policy)
    if before == "damaged":
        truncate(state_paths(run)[1])
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert resumed_from(run) == (25 if before == "whole" else 0)
    instead = "goes on from step 25" if before == "whole" else "starts anew"
    assert f"{run} {instead} instead" in caplog.text
    assert f"{policy}: " in caplog.text


def test_a_policy_of_another_run_is_made_again(run: Run, undisturbed: dict[str, bytes]) -> None:
    crash_at(run.group, [1], 35, {34})
    shutil.copy(
        store.work_directory(Run(run.group, 1)) / "policy-30.safetensors",
        store.work_directory(run) / "policy-30.safetensors",
    )
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert resumed_from(run) == 25


@contextmanager
def before_publishing(act: Callable[[Run], None], times: int) -> Iterator[None]:
    """Something happens to every run when it is about to be published, the first few times."""
    publish, left = Publisher.publish_whole, iter(range(times))

    def act_and_publish(publisher: Publisher, states: list[checkpoint.RunState]) -> list[checkpoint.RunState]:
        for state in states:
            if next(left, None) is not None:
                act(state.run)
        return publish(publisher, states)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Publisher, "publish_whole", act_and_publish)
        yield


def damage_policy(run: Run) -> None:
    flip(store.work_directory(run) / "policy-40.safetensors")


def test_a_policy_that_is_damaged_at_the_end_is_made_again(
    run: Run, undisturbed: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with before_publishing(damage_policy, 1):
        train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed
    assert f"{run} goes on from step 34 instead" in caplog.text
    assert resumed_from(run) == 34


def test_a_disk_that_damages_every_policy_is_named(run: Run, undisturbed: dict[str, bytes]) -> None:
    folder = store.work_directory(run)
    with (
        before_publishing(damage_policy, 100),
        pytest.raises(UserError, match=rf"^{folder}: policies .* damaged or missing .* again after .* at that disk"),
    ):
        train(run.group, [0], COMPUTE, 1)
    assert store.run_problem(run) == "missing"
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed


# Publication


@pytest.mark.parametrize("name", ["policy-30.safetensors", "curve.csv"])
def test_a_byte_that_flips_on_the_way_into_the_store_is_found(
    name: str, run: Run, undisturbed: dict[str, bytes]
) -> None:
    copy = shutil.copyfile

    def copy_badly(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == name:
            flip(target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "copyfile", copy_badly)
        with pytest.raises(UserError, match=rf"{name}: its contents are not what was to be published \(sha256 "):
            train(run.group, [0], COMPUTE, 1)
    assert store.run_problem(run) == "missing"
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed


def test_a_curve_that_is_damaged_in_work_is_found(run: Run, undisturbed: dict[str, bytes]) -> None:
    copy = shutil.copyfile

    def damage_and_copy(source: Path, target: Path) -> None:
        if source.name == "curve.csv":
            flip(source)
        copy(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "copyfile", damage_and_copy)
        with pytest.raises(UserError, match=r"curve.csv: its contents are not what was to be published"):
            train(run.group, [0], COMPUTE, 1)
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed


# The disk


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: what stands in for a full disk."""
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, allowed[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)


def test_a_state_that_the_disk_does_not_take_leaves_the_one_before(project: Project) -> None:
    state = checkpoint.RunState(Run(project.group(), 0), 10, {"a": torch.zeros(3)}, pd.DataFrame(columns=["step"]))
    checkpoint.save(state, DATA)
    before = state_paths(state.run)
    state.step = 20
    folder = store.work_directory(state.run)
    with (
        largest_file(100),
        pytest.raises(
            UserError, match=rf"^{folder}: its state at step 20 was not saved: .*goes on from the state before"
        ),
    ):
        checkpoint.save(state, DATA)
    assert list(folder.iterdir()) == before
    with largest_file(10), pytest.raises(UserError, match=rf"^{folder}: its policy of step 20 was not saved: "):
        checkpoint.keep_policy(state, 20, {"a": torch.zeros(3)})
    assert list(folder.iterdir()) == before


def test_a_folder_that_takes_nothing_costs_no_state(
    run: Run, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read-only when the state is saved, and when the run is published."""
    before = [path.read_bytes() for path in state_paths(run)]

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(
            UserError, match=rf"^{store.work_directory(run)}: its policy of step 40 was not saved: .*Read-only"
        ):
            train(run.group, [0], COMPUTE, 1)
    assert [path.read_bytes() for path in state_paths(run)] == before
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", refuse)
        with pytest.raises(UserError, match=rf"^{store.run_directory(run)}: not published: .*Read-only"):
            train(run.group, [0], COMPUTE, 1)
    assert store.run_problem(run) == "missing"
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == undisturbed


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_a_lock_is_a_sentence(
    number: int, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "lock", refuse)
    with pytest.raises(UserError, match=rf"{os.strerror(number)}\. Make room in work/, logs/ and results/"):
        train(project.group(), [0], COMPUTE, 1)


# Real processes

TRAIN = """
import logging, sys
from tiny import COMPUTE, Project
from dac.training import trainer
logging.basicConfig(level=logging.INFO, stream=sys.stdout, force=True)
compute = COMPUTE.model_copy(update={"checkpoint_seconds": 0})
group = Project().set("studies.tiny.settings.steps", 400).set("studies.tiny.settings.eval_interval", 50).group()
trainer.train(group, [0], compute, 1)
"""


@pytest.mark.parametrize("damage", [flip, truncate])
def test_a_killed_process_whose_newest_state_is_damaged(damage: Callable[[Path], None], project: Project) -> None:
    """SIGKILL while a state is saved after every step."""
    project.set("studies.tiny.settings.steps", 400).set("studies.tiny.settings.eval_interval", 50)
    run = Run(project.group(), 0)
    train(run.group, [0], COMPUTE, 1)
    expected = published(run)
    forget()
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "step 100: return" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    newest, before = state_paths(run)[:2]
    damage(newest)
    train(run.group, [0], COMPUTE, 1)
    assert published(run) == expected
    assert resumed_from(run) == int(before.name.split("-")[1]) > 0
