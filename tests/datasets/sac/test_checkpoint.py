"""Saved states of collections that were damaged: the data are what they would have been."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import empty, flip, truncate

from dac.datasets import folder
from dac.datasets.sac import collect
from dac.datasets.sac.checkpoint import Checkpoint, Moment
from dac.rows.raw import content_hash
from dac.system.files import file_entry, write_json
from dac.system.hashing import sha256_of

pytestmark = pytest.mark.xdist_group("sac-checkpoint")
RECIPE: dict[str, Any] = {
    "seed": 3,
    "sac": {"steps": 300, "learning_starts": 100, "batch_size": 16, "hidden_sizes": [16]},
    "levels": {"medium-replay": {"at_step": 300}, "medium": {"at_step": 150, "transitions": 60}},
}
FILES = ["model.zip", "replay-buffer.pkl", "recording.pt", "manifest.json"]


class CrashError(RuntimeError):
    """What ends a collection here without a word to it."""


def run(directory: Path, recipe: dict[str, Any] = RECIPE, checkpoint_seconds: float = 1000.0) -> list[str]:
    """Collect what is not in the folder yet; returns the lines logged."""
    lines: list[str] = []
    levels = {level: directory / level for level in recipe["levels"] if not (directory / level).exists()}
    work = directory / "work"
    collect.collect("InvertedPendulum-v5", recipe, levels, work, lines.append, checkpoint_seconds=checkpoint_seconds)
    return lines


def crash(directory: Path, after: int, recipe: dict[str, Any] = RECIPE) -> None:
    """Collect, with a state saved between all pieces of the training, until the first after some steps is."""
    save = Checkpoint.save

    def save_and_crash(self: Checkpoint, model: Any, *more: Any) -> None:
        save(self, model, *more)
        if model.num_timesteps > after:
            raise CrashError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_crash)
        with pytest.raises(CrashError):
            run(directory, recipe, 0.0)


def states(directory: Path) -> list[Path]:
    """The saved states, the newest first."""
    return sorted(directory.glob("work/*/steps-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)


def hashes(directory: Path) -> dict[str, str]:
    return {level: content_hash(folder.load(directory / level)) for level in RECIPE["levels"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("undisturbed")
    run(directory)
    return hashes(directory)


@pytest.fixture(scope="module")
def once_crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("crashed")
    crash(directory, 220)
    return directory


@pytest.fixture
def crashed(once_crashed: Path, tmp_path: Path) -> Path:
    """A collection that crashed after `medium` was taken; two states are there."""
    directory = tmp_path / "collection"
    shutil.copytree(once_crashed, directory)
    assert (directory / "medium").is_dir()
    assert not (directory / "medium-replay").exists()
    assert len(states(directory)) == 2
    return directory


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip, truncate, empty, Path.unlink])
def test_a_damaged_state_is_set_aside_and_the_one_before_used(
    damage: Callable[[Path], None],
    name: str,
    crashed: Path,
    undisturbed: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    newest, before = states(crashed)
    damage(newest / name)
    lines = run(crashed)
    assert any(line.startswith(f"resumed at SAC step {before.name.split('-')[1]},") for line in lines)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{newest}: {name} is ")
    assert f"kept as {newest.name}.damaged until another state" in warning
    assert warning.endswith(f"SAC goes on from {before} instead")
    assert hashes(crashed) == undisturbed
    assert not (crashed / "work").exists()


@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_without_a_whole_state_the_collection_starts_anew(
    damage: Callable[[Path], None], crashed: Path, undisturbed: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    newest, before = states(crashed)
    damage(newest / "model.zip")
    damage(before / "replay-buffer.pkl")
    assert not any("resumed" in line for line in run(crashed))
    assert caplog.text.count("SAC starts anew instead") == 2
    assert hashes(crashed) == undisturbed


def test_a_deleted_state_leaves_the_one_before(crashed: Path, undisturbed: dict[str, str]) -> None:
    newest, before = states(crashed)
    shutil.rmtree(newest)
    assert any(line.startswith(f"resumed at SAC step {before.name.split('-')[1]},") for line in run(crashed))
    assert hashes(crashed) == undisturbed


def test_the_state_of_another_training_is_not_used(crashed: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    other = {**RECIPE, "seed": 4}
    crash(tmp_path / "other", 220, other)
    for ours in states(crashed):
        shutil.rmtree(ours)
    theirs = states(tmp_path / "other")[0]
    shutil.copytree(theirs, crashed / "work" / theirs.parent.name / theirs.name)
    assert not any("resumed" in line for line in run(crashed))
    assert hashes(crashed) == undisturbed


def test_another_trainings_file_in_a_state_is_found(
    crashed: Path, undisturbed: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crash(tmp_path / "other", 220, {**RECIPE, "seed": 4})
    newest, before = states(crashed)
    shutil.copy(states(tmp_path / "other")[0] / "model.zip", newest / "model.zip")
    run(crashed)
    assert f"model.zip is damaged, its sha256 is not the one in manifest.json; kept as {newest.name}.dam" in caplog.text
    assert f"SAC goes on from {before} instead" in caplog.text
    assert hashes(crashed) == undisturbed


def test_a_state_without_checksums_is_not_used(
    crashed: Path, undisturbed: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    for state in states(crashed):
        state.rename(state.with_name("-".join(state.name.split("-")[:2])))
    assert not any("resumed" in line for line in run(crashed))
    assert caplog.text.count("no state of a training, its name has no sha256") == 2
    assert hashes(crashed) == undisturbed


def test_a_state_of_before_that_does_not_know_its_episodes_actions(
    tmp_path: Path, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions saved at the start of an episode only, and noted no actions."""
    save = Checkpoint.save

    def save_and_crash(self: Checkpoint, model: Any, moment: Moment, *more: Any) -> None:
        if moment.steps > 220 and not moment.recorder["actions"]:
            save(self, model, moment, *more)
            raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_crash)
        patch.setattr(collect, "_PIECE", 1)  # so that also an episode's start is between two pieces
        with pytest.raises(CrashError):
            run(tmp_path, checkpoint_seconds=0.0)
    (state,) = states(tmp_path)
    recording = torch.load(state / "recording.pt", weights_only=False)
    assert recording["recorder"].pop("actions") == []
    torch.save(recording, state / "recording.pt")
    manifest = json.loads((state / "manifest.json").read_text())
    manifest["files"]["recording.pt"] = file_entry(state / "recording.pt")
    write_json(state / "manifest.json", manifest)
    steps = state.name.split("-")[1]
    state.rename(state.with_name(f"steps-{steps}-{sha256_of(state / 'manifest.json')[:16]}"))
    assert any(line.startswith(f"resumed at SAC step {steps},") for line in run(tmp_path))
    assert hashes(tmp_path) == undisturbed


def test_two_states_are_kept_also_where_a_level_is_taken_between_them(tmp_path: Path) -> None:
    """While a state is written there is only the one before: replay buffers are large."""
    counts: list[int] = []
    write = Checkpoint._write

    def count_and_write(self: Checkpoint, *more: Any) -> None:
        counts.append(len(states(tmp_path)))
        write(self, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "_write", count_and_write)
        crash(tmp_path, 149)
        first = [path.parent.name for path in states(tmp_path)]
        crash(tmp_path, 220)
    assert first == ["medium-replay", "medium-medium-replay"]
    assert [path.parent.name for path in states(tmp_path)] == ["medium-replay", "medium-replay"]
    assert counts[0] == 0
    assert set(counts[1:]) == {1}
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["medium-replay"]


def test_the_state_before_serves_a_level_that_the_newest_has_passed(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    crash(tmp_path, 149)
    shutil.rmtree(tmp_path / "medium")
    before = states(tmp_path)[1]
    assert any(line.startswith(f"resumed at SAC step {before.name.split('-')[1]},") for line in run(tmp_path))
    assert hashes(tmp_path) == undisturbed


def test_seconds_count_over_resumptions(crashed: Path) -> None:
    spent = torch.load(states(crashed)[0] / "recording.pt", weights_only=False)["notes"]["seconds"]
    newest = states(crashed)[0]
    lines = run(crashed)
    assert f"resumed at SAC step {newest.name.split('-')[1]}, after {spent:.0f} s" in lines
    assert json.loads((crashed / "medium-replay/dataset.json").read_text())["seconds"] >= round(spent, 1) > 0


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a new model nor of a resumed one; Stable-Baselines3 would make a folder for the log of each."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.delenv("SB3_LOGDIR", raising=False)
    crash(tmp_path, 220)
    assert any(line.startswith("resumed at SAC step") for line in run(tmp_path))
    assert list(temporary.iterdir()) == []
