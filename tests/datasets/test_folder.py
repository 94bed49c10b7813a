"""A folder that is made again, changed or damaged: nothing that may be an only copy is lost, or to be deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gymnasium as gym
import h5py
import pytest
from recorded_data import fetched, record, task
from tiny import Project

from dac.datasets import folder, load
from dac.study import store, task_data
from dac.study.identity import Dataset
from dac.system.errors import UserError

ID = "own/pendulum-v0"


@pytest.fixture
def linked(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A Minari dataset of one's own, fetched."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    record(gym.make("InvertedPendulum-v5"), ID)
    return fetched(task(project, ID, env="InvertedPendulum-v5"))


def test_what_was_put_into_the_place_of_a_link_is_kept(
    linked: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The copy in Minari's folder was moved here, and changed; then it was recorded anew there."""
    data = linked.path / "data"
    for number in (1, 2):
        data.unlink()
        shutil.copytree(tmp_path / "minari" / ID / "data", data)
        (data / "main_data.hdf5").write_bytes(b"only copy")
        assert store.folder_problem(linked) is not None
        load.fetch(linked, ())
        kept = Path(f"work/replaced/{linked.path.name}.{number}")
        assert f"{linked.path}: made again; what was there is kept as {kept}" in caplog.text
        assert (kept / "data/main_data.hdf5").read_bytes() == b"only copy"
        assert len(load.load(linked)[0]) == 60
    assert Path("work/replaced", f"{linked.path.name}.1/data/main_data.hdf5").read_bytes() == b"only copy"


def test_a_linked_dataset_that_changed_is_named_and_never_to_be_deleted(linked: Dataset, tmp_path: Path) -> None:
    data = tmp_path / "minari" / ID / "data"
    with h5py.File(data / "main_data.hdf5", "r+") as file:
        file["episode_0/rewards"][0] = 7.0
    with pytest.raises(
        UserError,
        match=rf"^{data}: its rows have the content hash \w+…, but had \w+… when it was fetched.* Put the earlier copy "
        rf"back; or move {linked.path}, which is a note and a link to it, away and `dac fetch` it",
    ) as error:
        load.load(linked)
    assert "elete" not in str(error.value)
    # What it advises leads on.
    linked.path.rename("aside")
    with pytest.raises(UserError, match=r"episodes were added or changed since. Put the earlier copy back"):
        load.fetch(linked, ())


def test_a_converted_folder_that_changed_is_moved_away_and_made_again(project: Project) -> None:
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.fetch(dataset, ())
    note = dataset.path / "dataset.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": "0" * 64}))
    with pytest.raises(UserError, match=r"changed or damaged; move the folder away and make it again"):
        load.load(dataset)
    note.write_text("{")
    with pytest.raises(UserError, match=r"dataset.json: not readable .*Move the folder away and make it again"):
        folder.describe(dataset.path)
    dataset.path.rename("aside")
    assert len(load.load(dataset)[0]) == 240
